/**
 * Owns an instance: one folder, one hub network, and a set of process, mount and network namespaces that end, with all
 * that lives in them, when this program does, even by kill -9.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { cloneDir, systemPath } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';
import { isAlive, processOf, type ProcessId } from './processes.ts';

const scripts = join(cloneDir, 'deploy/local/nodes');

/** Ending is the kernel's work and takes well under a second; more means that something is wrong. */
const endWithinMs = 15_000;

export interface Machine {
  /** Name of its link in the hub; at most 15 letters and digits. */
  readonly id: string;
  readonly address: string;
}

/** A folder that is ours alone, before anything runs. */
export interface ClaimedInstance {
  readonly id: string;
  readonly dir: string;
  /** Starts hub and machine networks. Needs `machines/<id>/{upper,work,root}` in the folder, for each. */
  run(): Promise<Instance>;
  /** Gives the folder back and removes it; safe twice. */
  stop(): Promise<void>;
}

export interface Instance {
  readonly id: string;
  readonly dir: string;
  /** The hub's network namespace by name, as `ip netns exec` takes it. */
  readonly netns: string;
  /** The same as a file, as `nsenter --net=` takes it; good for as long as the instance runs. */
  readonly netnsFile: string;
  /** The argv that runs `argv` in the hub network only; files and processes stay the caller's. */
  inHub(argv: readonly string[]): [string, ...string[]];
  /** The argv that runs `argv` in all the instance's namespaces: it ends with the instance. */
  inside(argv: readonly string[]): [string, ...string[]];
  stop(): Promise<void>;
}

/**
 * Takes `dir` (made when it is not there) for a new instance. What a crashed run left there is removed; waits for a run
 * that is just ending. Throws LocalPartsError when another run has it.
 */
export async function claimInstance(
  dir: string,
  options: { readonly rootfs: string; readonly machines: readonly Machine[] },
): Promise<ClaimedInstance> {
  const path = resolve(dir);
  const id = createHash('sha256').update(path).digest('hex').slice(0, 6);
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await mkdir(path, { recursive: true });
    await refuseWhenTaken(path);
    const supervisor = new Supervisor(path, [
      id,
      options.rootfs,
      ...options.machines.map((m) => `${m.id}=${m.address}`),
    ]);
    const answer = await supervisor.answer();
    if (answer === 'locked') {
      await writeFile(join(path, 'starter'), JSON.stringify(await processOf(process.pid)));
      return claimed(id, path, supervisor);
    }
    await supervisor.stop();
    if (answer === 'busy') break;
  }
  throw inUse(path);
}

function claimed(id: string, dir: string, supervisor: Supervisor): ClaimedInstance {
  return {
    id,
    dir,
    stop: () => supervisor.stop(),
    run: async () => {
      supervisor.tell('run');
      const [word, detail] = split(await supervisor.answer());
      if (word !== 'ready') {
        await supervisor.stop();
        throw new LocalPartsError(`The local network and file systems could not be set up: ${detail}`, {
          hint: `The folder ${dir} must be on a plain disk (an overlay can't lie on another); see the message above.`,
        });
      }
      return running(id, dir, Number(detail), supervisor);
    },
  };
}

function running(id: string, dir: string, init: number, supervisor: Supervisor): Instance {
  const netnsFile = `/proc/${init}/ns/net`;
  return {
    id,
    dir,
    netns: `keyturn-${id}`,
    netnsFile,
    inHub: (argv) => ['nsenter', `--net=${netnsFile}`, '--', ...argv],
    inside: (argv) => ['nsenter', '--target', String(init), '--mount', '--net', '--pid', '--', ...argv],
    stop: () => supervisor.stop(),
  };
}

/** supervise.sh: it outlives us by the moment that cleaning takes. */
class Supervisor {
  readonly #process: ChildProcess & { stdin: NodeJS.WritableStream };
  readonly #lines: AsyncIterator<string>;
  readonly #dir: string;

  constructor(dir: string, args: readonly string[]) {
    this.#dir = dir;
    // In a session of its own: Ctrl-C must reach it only through the pipe.
    const child = spawn(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', join(scripts, 'supervise.sh'), dir, ...args],
      { cwd: '/', env: { PATH: systemPath, LC_ALL: 'C.UTF-8' }, stdio: ['pipe', 'pipe', 'inherit'], detached: true },
    );
    child.stdin.on('error', () => undefined);
    this.#process = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  async answer(): Promise<string> {
    const next = await this.#lines.next();
    return next.done === true ? 'gone' : next.value;
  }

  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.stdin.end();
    const ended = await Promise.race([once(this.#process, 'exit'), after(endWithinMs)]);
    if (ended !== undefined) return;
    throw new LocalPartsError(`The instance in ${this.#dir} did not end within ${endWithinMs / 1000} s.`, {
      hint: `See which of its processes hang: ps axo pid,stat,wchan,args | grep ${this.#dir}`,
    });
  }
}

async function after(ms: number): Promise<undefined> {
  return new Promise((done) => setTimeout(() => done(undefined), ms).unref());
}

async function refuseWhenTaken(dir: string): Promise<void> {
  const starter = await readFile(join(dir, 'starter'), 'utf8').catch(() => undefined);
  if (starter !== undefined && (await isAlive(JSON.parse(starter) as ProcessId))) throw inUse(dir);
}

function inUse(dir: string): LocalPartsError {
  return new LocalPartsError(`Another run uses ${dir}.`, {
    hint: 'Stop it (its pid is in the file "starter" there), or choose another folder.',
  });
}

function split(line: string): [string, string] {
  const at = line.indexOf(' ');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}
