/**
 * Owns how a local server runs from a root file system without touching the host: in mount and process namespaces of its
 * own that are gone when its first process is, and that one is killed by the kernel when we are.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open, readFile, readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { systemPath } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';

export interface ContainedOptions {
  /** For people: "The local S3 server". */
  readonly name: string;
  /** Run by `sh -eu` inside the new namespaces; ends with `exec` of the server. */
  readonly script: string;
  /** `$1` and so on of the script. */
  readonly args: readonly string[];
  /** Network namespace to live in, by name or path. Undefined: the caller's own. */
  readonly netns: string | undefined;
  /** Where all that it prints goes. */
  readonly logFile: string;
  /** The line of standard output that says that it listens. */
  readonly isReady: (line: string) => boolean;
  /** What to look at when it does not come up. */
  readonly hint: string;
}

/** Ways to end a server and to have it again, the same for all. */
export interface Contained {
  /** Ends it as an operator would; safe twice. */
  stop(): Promise<void>;
  /** Ends it as a power cut would. */
  kill9(): Promise<void>;
  /** Starts it again after `stop` or `kill9`, with the same data. */
  restart(): Promise<void>;
  /** Stands still: connections are accepted by the kernel and never answered. */
  pause(): Promise<void>;
  resume(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;

/** Resolves when it is ready. It ends with this process, however that ends. Throws LocalPartsError with the end of its log. */
export async function startContained(options: ContainedOptions): Promise<Contained> {
  let running: ChildProcess | undefined = await launch(options);

  const end = async (): Promise<void> => {
    const ending = running;
    running = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const exited = once(ending, 'exit');
    // The first process of its namespace takes all others with it, and is gone only when they are. These servers keep
    // nothing in memory that they have acknowledged, so a stop needs to be no gentler than this.
    const [outer, first] = ending.pid === undefined ? [] : await descendants(ending.pid);
    const target = first ?? outer;
    if (target !== undefined) process.kill(target, 'SIGKILL');
    await exited;
  };
  const signalAll = async (signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> => {
    if (running?.pid === undefined) return;
    for (const pid of await descendants(running.pid)) process.kill(pid, signal);
  };

  return {
    stop: end,
    kill9: end,
    async restart() {
      await end();
      running = await launch(options);
    },
    pause: () => signalAll('SIGSTOP'),
    resume: () => signalAll('SIGCONT'),
  };
}

async function launch(options: ContainedOptions): Promise<ChildProcess> {
  const { netns, logFile } = options;
  const log = await open(logFile, 'a', 0o600);
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns.includes('/') ? netns : `/run/netns/${netns}`}`];
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', ...enter],
      ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
      ...['sh', '-euc', options.script, 'contained', ...options.args],
    ],
    { stdio: ['ignore', 'pipe', log.fd], env: { PATH: systemPath, LC_ALL: 'C.UTF-8' }, detached: true },
  ) as ChildProcessByStdio<null, Readable, null>;
  await log.close();
  const ready = new Promise<string>((resolve) => {
    child.stdout.pipe(createWriteStream(logFile, { flags: 'a' }));
    createInterface(child.stdout).on('line', (line) => {
      if (options.isReady(line)) resolve('ready');
    });
    child.once('exit', () => resolve('ended'));
    child.once('error', () => resolve('could not be started'));
    setTimeout(() => resolve(`was not ready after ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS).unref();
  });
  const outcome = await ready;
  if (outcome === 'ready') return child;
  child.kill('SIGKILL');
  const tail = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-15).join('\n');
  throw new LocalPartsError(`${options.name} ${outcome}:\n${tail}`, {
    hint: `${options.hint} The whole log is ${logFile}.`,
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
