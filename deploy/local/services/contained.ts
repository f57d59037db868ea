/** Owns how a server of several processes runs from a root file system: in namespaces of its own that end with us, without touching the host. */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { systemPath } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';

export interface ContainedOptions {
  /** For people: `The local S3 server`. */
  readonly what: string;
  /** Its output goes to `log` in here. */
  readonly dir: string;
  /** Network namespace to live in, by name or path; its loopback must be up. Undefined: the caller's own. */
  readonly netns?: string | undefined;
  /** Shell commands that mount what it needs and become its first process, which prints READY when it serves. */
  readonly script: string;
  /** `$1` and on of the script. */
  readonly args: readonly string[];
  /** Another line than READY that says that it serves; all that is printed is in the log then, too. */
  readonly isReady?: (line: string) => boolean;
  /** The program among its processes that stands still on `pause`; default: all of them. */
  readonly front?: string;
  /** What to do when it does not come up. */
  readonly hint: string;
}

/** Hands on a server; what it has acknowledged is there again after each of them. */
export interface ServerHands {
  /** Ends it; safe twice. */
  readonly stop: () => Promise<void>;
  /** Ends all of its processes as a power cut would; safe twice. */
  readonly kill9: () => Promise<void>;
  /** Starts it again on the same data, after ending it if it runs. */
  readonly restart: () => Promise<void>;
  /** Stands still: connections are accepted by the kernel and never answered. */
  readonly pause: () => Promise<void>;
  readonly resume: () => Promise<void>;
}

export interface Contained {
  readonly hands: ServerHands;
  /** The first of its processes as we see it, for `nsenter`; undefined when it does not run. */
  first(): Promise<number | undefined>;
}

/** The slowest of them takes 15 s on an idle machine. */
const START_TIMEOUT_MS = 180_000;

/** Resolves when it serves. Throws LocalPartsError with the end of its log when it does not. */
export async function startContained(options: ContainedOptions): Promise<Contained> {
  let running: ChildProcess | undefined = await launch(options);
  const first = async (): Promise<number | undefined> =>
    running?.pid === undefined ? undefined : (await descendants(running.pid))[1];
  const end = async (): Promise<void> => {
    const ending = running;
    const target = (await first()) ?? ending?.pid;
    running = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const exited = once(ending, 'exit');
    // The first process of its namespace takes all others with it, and is gone only when they are.
    if (target !== undefined) process.kill(target, 'SIGKILL');
    await exited;
  };
  const signalAll = async (signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> => {
    if (running?.pid === undefined) return;
    for (const pid of await descendants(running.pid)) {
      if (options.front === undefined || (await programOf(pid)) === options.front) process.kill(pid, signal);
    }
  };
  const hands: ServerHands = {
    // Nothing that was acknowledged is in memory only, so a stop needs to be no gentler than a power cut.
    stop: end,
    kill9: end,
    async restart() {
      await end();
      running = await launch(options);
    },
    pause: () => signalAll('SIGSTOP'),
    resume: () => signalAll('SIGCONT'),
  };
  return { hands, first };
}

/**
 * In namespaces of its own: mounts and processes are gone when its first process is gone, and that one is killed by
 * the kernel when we are.
 */
async function launch({ what, dir, netns, script, args, isReady, hint }: ContainedOptions): Promise<ChildProcess> {
  const log = await open(join(dir, 'log'), 'a', 0o600);
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns.includes('/') ? netns : `/run/netns/${netns}`}`];
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', ...enter],
      ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
      ...['sh', '-euc', script, 'contained', ...args],
    ],
    { stdio: ['ignore', 'pipe', log.fd], env: { PATH: systemPath, LC_ALL: 'C.UTF-8' }, detached: true },
  ) as ChildProcessByStdio<null, Readable, null>;
  await log.close();
  const ready = new Promise<string>((resolve) => {
    if (isReady) child.stdout.pipe(createWriteStream(join(dir, 'log'), { flags: 'a' }));
    createInterface(child.stdout).on('line', (line) => {
      if (isReady?.(line) ?? line === 'READY') resolve('ready');
    });
    child.once('exit', () => resolve('ended'));
    child.once('error', () => resolve('could not be started'));
    setTimeout(() => resolve(`was not ready after ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS).unref();
  });
  const outcome = await ready;
  if (outcome === 'ready') return child;
  child.kill('SIGKILL');
  const tail = (await readFile(join(dir, 'log'), 'utf8')).trimEnd().split('\n').slice(-15).join('\n');
  throw new LocalPartsError(`${what} ${outcome}:\n${tail}`, {
    hint: `${hint} The whole log is ${join(dir, 'log')}.`,
  });
}

/** The process and all below it, as /proc shows them. */
async function descendants(root: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => undefined);
    const parent = Number(stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

async function programOf(pid: number): Promise<string | undefined> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')[0];
}

/** An address of its own in 127.0.0.0/8, so that what several servers in one namespace have among themselves does not meet. */
export function ownLoopbackAddress(): string {
  const random = () => 1 + Math.floor(Math.random() * 253);
  return `127.${64 + (random() % 128)}.${random()}.${random()}`;
}
