/** Owns one local machine: its files before the first boot, boot and power, and commands run in it as root. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { execa, type Options, type Result } from 'execa';
import { cloneDir, systemPath } from '../parts/host.ts';
import { LocalPartsError, lastLines } from '../parts/problem.ts';
import { programOf, type Loader } from '../parts/programs.ts';
import { sshUser } from '../parts/sudoers.ts';
import type { Instance, Machine } from './instance.ts';
import { descendants, innermostPid, isAlive, processOf, type ProcessId } from './processes.ts';

const bootScript = join(cloneDir, 'deploy/local/nodes/boot.sh');
const bootWithinMs = 30_000;
const powerOffWithinMs = 15_000;

/** systemd's signal for "power off"; Node knows real-time signals by number only. */
const powerOffSignal = 34 + 4;

export interface MachineSpec extends Machine {
  readonly hostname: string;
  /** Files by path on the machine, beside those that every machine has. */
  readonly files: Readonly<Record<string, MachineFile>>;
  readonly directories: readonly MachineDirectory[];
  /** Units started at boot, beside sshd. */
  readonly units: readonly string[];
  /** Names for /etc/hosts. */
  readonly hosts: readonly { readonly name: string; readonly address: string }[];
}

export interface MachineFile {
  readonly text: string;
  readonly mode: number;
  /** A user of the image; default root. */
  readonly owner?: string;
}

export interface MachineDirectory {
  readonly path: string;
  readonly mode: number;
  readonly owner: string;
  /** A filesystem of its own, which outlasts a boot. */
  readonly isMount: boolean;
}

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

/** A machine that is running or not; made by `LocalMachine.prepare`. */
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
    const nspawn = programOf(this.#loader, 'usr/bin/systemd-nspawn', diskArgs(dir, this.#spec));
    const [program, ...args] = this.#instance.inside([
      'sh',
      bootScript,
      dir,
      id,
      this.#spec.id,
      this.#spec.hostname,
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

/**
 * Writes a machine's files for its first boot below `<dir>/machines/<id>`: names, host key, the SSH user's key and sudo
 * rights. Answers its public host key (`ssh-ed25519 …`).
 */
export async function prepareMachine(
  dir: string,
  spec: MachineSpec,
  options: { readonly loader: Loader; readonly authorizedKey: string },
): Promise<string> {
  const at = join(dir, 'machines', spec.id);
  const upper = join(at, 'upper');
  for (const part of [upper, join(at, 'work'), join(at, 'root')]) await mkdir(part, { recursive: true });
  const put = async (path: string, text: string, mode: number): Promise<void> => {
    const file = join(upper, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    await chmod(file, mode);
  };
  const hostKey = join(upper, 'etc/ssh/ssh_host_ed25519_key');
  await put('etc/hostname', `${spec.hostname}\n`, 0o644);
  await put('etc/hosts', hostsFile(spec), 0o644);
  await makeSshKey(options.loader, hostKey, spec.hostname);
  const own = async (path: string, owner = 'root'): Promise<void> => {
    const { uid, gid } = await userOf(options.loader, owner);
    await chown(path, uid, gid);
  };
  for (const [path, { text, mode, owner }] of Object.entries(spec.files)) {
    await put(path, text, mode);
    await own(join(upper, path), owner);
  }
  for (const { path, mode, owner, isMount } of spec.directories) {
    const real = isMount ? diskOf(dir, spec, path) : join(upper, path);
    await mkdir(real, { recursive: true });
    await chmod(real, mode);
    await own(real, owner);
  }
  for (const unit of spec.units) {
    await put(`etc/systemd/system/multi-user.target.d/${unit}.conf`, `[Unit]\nWants=${unit}\n`, 0o644);
  }
  await authorize(upper, options);
  return publicKeyOf(hostKey);
}

/** Makes an ed25519 pair `file`, `file.pub` without passphrase. */
export async function makeSshKey(loader: Loader, file: string, comment: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const [program, ...args] = programOf(loader, 'usr/bin/ssh-keygen', [
    '-q',
    '-t',
    'ed25519',
    '-N',
    '',
    '-C',
    comment,
    '-f',
    file,
  ]);
  await execa(program, args, { stdin: 'ignore' });
}

/** The public key of a pair as it stands in authorized_keys and known_hosts, without its comment. */
export async function publicKeyOf(file: string): Promise<string> {
  return (await readFile(`${file}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ').trim();
}

/** OpenSSH's fingerprint of a public key. */
export function fingerprint(publicKey: string): string {
  const blob = Buffer.from(publicKey.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

async function authorize(
  upper: string,
  { loader, authorizedKey }: { readonly loader: Loader; readonly authorizedKey: string },
): Promise<void> {
  const { uid, gid } = await userOf(loader, sshUser);
  const home = join(upper, 'home', sshUser);
  const file = join(home, '.ssh/authorized_keys');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, authorizedKey);
  await chmod(home, 0o700);
  await chmod(dirname(file), 0o700);
  await chmod(file, 0o600);
  for (const path of [home, dirname(file), file]) await chown(path, uid, gid);
}

/** A user of the image by number. */
export async function userOf(
  { rootfs }: Loader,
  name: string,
): Promise<{ readonly uid: number; readonly gid: number }> {
  const passwd = await readFile(join(rootfs, 'etc/passwd'), 'utf8');
  const [, , uid, gid] =
    passwd
      .split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.split(':') ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`The image has no user ${name}.`);
  return { uid: Number(uid), gid: Number(gid) };
}

/** The folder of ours that is mounted at `path` on the machine: the machine's own files are an overlay, so it is another filesystem. */
function diskOf(dir: string, { id }: Machine, path: string): string {
  return join(dir, 'machines', id, 'disks', encodeURIComponent(path));
}

function diskArgs(dir: string, spec: MachineSpec): string[] {
  const disks = spec.directories.filter(({ isMount }) => isMount);
  return disks.map(({ path }) => `--bind=${diskOf(dir, spec, path)}:${path}`);
}

function hostsFile(spec: MachineSpec): string {
  const others = spec.hosts.filter((host) => host.name !== spec.hostname);
  return [
    '127.0.0.1 localhost',
    '::1 localhost',
    `${spec.address} ${spec.hostname}`,
    ...others.map((host) => `${host.address} ${host.name}`),
    '',
  ].join('\n');
}
