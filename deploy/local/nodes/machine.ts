/** Owns one local machine: boot and power, and commands run in it as root. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { execa, type Options, type Result } from 'execa';
import { cloneDir, systemPath } from '../parts/host.ts';
import { LocalPartsError, lastLines } from '../parts/problem.ts';
import { programOf, type Loader } from '../parts/programs.ts';
import type { Instance } from './instance.ts';
import { diskArgs, type MachineSpec } from './prepare-machine.ts';
import { containerArgs } from './real-kubelet.ts';
import { descendants, innermostPid, isAlive, processOf, type ProcessId } from './processes.ts';

const bootScript = join(cloneDir, 'deploy/local/nodes/boot.sh');
const bootWithinMs = 30_000;
const powerOffWithinMs = 15_000;

/** systemd's signal for "power off"; Node knows real-time signals by number only. */
const powerOffSignal = 34 + 4;

export interface ExecOptions {
  readonly input?: string | Uint8Array;
  /** Default 60,000. */
  readonly timeoutMs?: number;
}

export interface ExecOutput {
  /** Undefined when a signal or the time limit ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A machine that is running or not; its files were written by `prepareMachine`. */
export class LocalMachine {
  readonly #spec: MachineSpec;
  readonly #instance: Instance;
  readonly #loader: Loader;
  #running: { readonly container: ChildProcess; readonly leader: ProcessId } | undefined;

  constructor(spec: MachineSpec, instance: Instance, loader: Loader) {
    this.#spec = spec;
    this.#instance = instance;
    this.#loader = loader;
  }

  /** Boots it; resolves when sshd answers. */
  async start(): Promise<void> {
    if (this.isRunning()) return;
    const { id, dir } = this.#instance;
    const log = await open(join(dir, 'machines', this.#spec.id, 'console.log'), 'a');
    const { kubernetes } = this.#spec;
    const nspawn = programOf(this.#loader, 'usr/bin/systemd-nspawn', [
      ...diskArgs(dir, this.#spec),
      ...(kubernetes === undefined ? [] : containerArgs(kubernetes)),
    ]);
    const [program, ...args] = this.#instance.inside([
      'sh',
      bootScript,
      dir,
      id,
      this.#spec.id,
      this.#spec.hostname,
      kubernetes === undefined ? 'systemd' : 'all',
      ...nspawn,
    ]);
    const container = spawn(program, args, {
      cwd: '/',
      env: { PATH: systemPath },
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    });
    await log.close();
    const deadline = Date.now() + bootWithinMs;
    const leader = await this.#leaderOf(container, deadline);
    this.#running = { container, leader };
    await this.#sshAnswers(deadline);
  }

  isRunning(): boolean {
    const container = this.#running?.container;
    return container !== undefined && container.exitCode === null && container.signalCode === null;
  }

  /** Powers it off as a person would; etcd and the rest are stopped in order. */
  async stop(): Promise<void> {
    await this.#end(powerOffSignal, powerOffWithinMs);
    await this.kill();
  }

  /** Pulls the plug. */
  async kill(): Promise<void> {
    await this.#end(constants.signals.SIGKILL, powerOffWithinMs);
    if (this.isRunning()) throw this.#problem('did not end when it was killed');
    this.#running = undefined;
  }

  /** The argv that runs `argv` on the machine as root. */
  inside(argv: readonly string[]): [string, ...string[]] {
    return this.#enter(argv, ['--uts', '--ipc', '--pid']);
  }

  /** Runs `argv` on the machine as root; a non-zero exit is a result. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecOutput> {
    return run(this.inside(argv), options);
  }

  /** Cuts the cable, or plugs it in again. */
  async setLink(state: 'up' | 'down'): Promise<void> {
    const ip = programOf(this.#loader, 'usr/bin/ip', ['link', 'set', this.#spec.id, state]);
    await this.#checked(this.#instance.inHub(ip));
  }

  /** Runs the image's iptables on the machine's network, e.g. `-A INPUT -p tcp --dport 22 -j DROP`; `-F` undoes it. */
  async iptables(args: readonly string[]): Promise<void> {
    await this.#checked(this.#enter(['iptables', '--wait', '5', ...args], []));
  }

  async write(path: string, text: string, mode: number): Promise<void> {
    const script = 'umask 077; mkdir -p "${1%/*}" && cat >"$1.part" && chmod "$2" "$1.part" && mv "$1.part" "$1"';
    await this.#checked(this.inside(['sh', '-c', script, 'sh', path, mode.toString(8)]), { input: text });
  }

  #enter(argv: readonly string[], namespaces: readonly string[]): [string, ...string[]] {
    if (this.#running === undefined) throw this.#problem('is not running');
    const target = ['--target', String(this.#running.leader.pid), '--mount', '--net', ...namespaces, '--root', '--wd'];
    const clean = ['env', '-i', `PATH=${machinePath}`, 'HOME=/root', 'LC_ALL=C.UTF-8'];
    return ['nsenter', ...target, '--', ...clean, ...argv];
  }

  async #end(signal: number, withinMs: number): Promise<void> {
    const running = this.#running;
    if (running === undefined || !this.isRunning()) return;
    const ended = once(running.container, 'exit');
    // Its systemd, not nspawn: a killed nspawn leaves the machine running.
    if (await isAlive(running.leader)) process.kill(running.leader.pid, signal);
    await Promise.race([ended, new Promise((done) => setTimeout(done, withinMs).unref())]);
  }

  /** The machine's own process 1, as seen from here. */
  async #leaderOf(container: ChildProcess, deadline: number): Promise<ProcessId> {
    while (Date.now() < deadline && container.exitCode === null && container.pid !== undefined) {
      for (const pid of await descendants(container.pid)) {
        const id = await processOf(pid);
        if (id !== undefined && (await innermostPid(pid)) === 1) return id;
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    throw this.#problem(`did not boot: ${await this.#consoleTail()}`);
  }

  async #sshAnswers(deadline: number): Promise<void> {
    const script = 'until (exec 3<>"/dev/tcp/$0/22") 2>/dev/null; do sleep 0.05; done';
    const argv = this.#instance.inHub(['bash', '-c', script, this.#spec.address]);
    const { code } = await run(argv, { timeoutMs: Math.max(1, deadline - Date.now()) });
    if (code !== 0) throw this.#problem(`does not answer on port 22: ${await this.#consoleTail()}`);
  }

  async #checked(argv: [string, ...string[]], options: ExecOptions = {}): Promise<void> {
    const output = await run(argv, options);
    if (output.code !== 0) throw this.#problem(`refused "${argv.join(' ')}": ${lastLines(output, 5)}`);
  }

  async #consoleTail(): Promise<string> {
    const file = join(this.#instance.dir, 'machines', this.#spec.id, 'console.log');
    return (await readFile(file, 'utf8').catch(() => '')).slice(-1_000);
  }

  #problem(what: string): LocalPartsError {
    return new LocalPartsError(`The local machine ${this.#spec.hostname} ${what}`, {
      hint: `Its files and its console's log are in ${join(this.#instance.dir, 'machines', this.#spec.id)}.`,
    });
  }
}

const machinePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

async function run([program, ...args]: [string, ...string[]], options: ExecOptions): Promise<ExecOutput> {
  const settings = {
    reject: false,
    timeout: options.timeoutMs ?? 60_000,
    stripFinalNewline: false,
    env: { PATH: systemPath },
    ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
  } as const satisfies Options;
  const result: Result<typeof settings> = await execa(program, args, settings);
  return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}
