/**
 * Owns steps that go on without us: scripts that run on a node as root, detached from the login that began them, with
 * their output and exit code kept in a folder there, and files put in place beside them.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { KeyturnError } from '../../domain/error.ts';
import { STEPS_FOLDER } from '../../domain/restore/cleanup.ts';
import { sudoersLine } from '../../domain/sudoers.ts';
import type {
  ExecOptions,
  ExecResult,
  NodeConnection,
  NodeSteps,
  RestoreOnNode,
  StepReport,
  StepRunner,
  StepState,
} from '../../ports.ts';
import { plainProgram, STEP_ARGV, stepProgram, type Verb } from './step-program.ts';

export interface DetachedOptions {
  /** Where the records lie on a node; made with mode 0700. Default /var/lib/keyturn. */
  readonly base?: string;
  /** So long the node waits for the lock that others hold for moments. Seconds, default 10. */
  readonly lockSeconds?: number;
}

/** How long the node may take to answer, on top of what it was asked to wait. */
const ANSWER_MS = 45_000;
/** So long no byte of a file may be taken by the node. */
const STALL_MS = 60_000;
/** A disk slower than this at syncing a file is taken for stuck; bytes in a millisecond. */
const SLOWEST_DISK = 10_000;

/** What `/etc/sudoers.d/keyturn` needs for restores; `path` is that of `sh`. */
export function stepSudoers(user: string, path = '/usr/bin/sh'): string {
  const [, ...args] = STEP_ARGV;
  return `${sudoersLine(user, path, args)}\n`;
}

export function detachedSteps(options: DetachedOptions = {}): StepRunner {
  const { base = STEPS_FOLDER, lockSeconds = 10 } = options;
  return { on: (connection, restore) => stepsOn(connection, restore, { base, patience: lockSeconds }) };
}

function stepsOn(
  connection: NodeConnection,
  restore: RestoreOnNode,
  place: { readonly base: string; readonly patience: number },
): NodeSteps {
  const { cluster, request, token } = restore;
  for (const name of [cluster, request]) assertName(name);
  const common = { ...place, cluster, request, token };
  const node = connection.node.name;

  const run = async (
    verb: Verb,
    variables: Readonly<Record<string, string | number>>,
    options: Omit<ExecOptions, 'asRoot' | 'input'> = {},
  ): Promise<Answer> => {
    const input = stepProgram(verb, { ...common, ...variables });
    const result = await connection.exec(STEP_ARGV, { timeoutMs: ANSWER_MS, ...options, asRoot: true, input });
    return parseAnswer(node, restore, result);
  };
  const report = async (...args: Parameters<typeof run>): Promise<StepReport> => parseReport(node, await run(...args));

  return {
    async start(step, script, { deadlineMs, unless = '', waitMs = 0, signal }) {
      assertName(step);
      if (!Number.isSafeInteger(deadlineMs) || deadlineMs <= 0) throw new RangeError(`No deadline: ${deadlineMs} ms.`);
      const sha256 = createHash('sha256').update(script).digest('hex');
      const program = { step, script, sha256, unless, deadline: deadlineMs, offset: 0, wait: waitMs };
      const answer = await run('start', program, { timeoutMs: waitMs + ANSWER_MS, ...(signal && { signal }) });
      const begun = parseReport(node, answer);
      if (begun.state.kind !== 'not-started' || answer.words[1] === 'needless') return begun;
      throw new KeyturnError('node.command-failed', `${node} did not begin step ${step} in time.`, {
        hint: `Look at ${place.base}/${request}/${step}/launch on ${node}; to begin it again is safe.`,
      });
    },
    async look(step, { offset = 0, waitMs = 0, signal } = {}) {
      assertName(step);
      const ends = { timeoutMs: waitMs + ANSWER_MS, ...(signal && { signal }) };
      return report('look', { step, offset, wait: waitMs }, ends);
    },
    async stop(step) {
      assertName(step);
      return report('stop', { step, offset: 0 });
    },
    ask: (script, ends) => connection.exec(STEP_ARGV, { ...ends, asRoot: true, input: plainProgram(script) }),
    async fetch({ path, size, sha256 }, bytes, { signal, onBytes }) {
      assertPath(path);
      const file = { path, size, sha256 };
      const have = await run('have', file, { timeoutMs: Infinity, signal });
      if (have.words[0] === 'have') return 'was-there';
      const program = stepProgram('receive', { ...common, ...file });
      const stall = stallWatch(node, path, signal);
      try {
        const input = Readable.from(feed(program, bytes, size, stall.moved, onBytes), { objectMode: false });
        const ends = { asRoot: true, input, timeoutMs: Infinity, signal: stall.signal };
        parseAnswer(node, restore, await connection.exec(STEP_ARGV, ends));
        return 'fetched';
      } finally {
        stall.end();
      }
    },
  };
}

/**
 * The program, then the file: not a byte more than its size, so that a source that never ends can't fill the disk. The
 * source is opened only when the node reads.
 */
async function* feed(
  program: Buffer,
  bytes: () => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>,
  size: number,
  moved: (extraMs?: number) => void,
  onBytes: ((total: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  yield program;
  let total = 0;
  for await (const chunk of await bytes()) {
    total += chunk.length;
    if (total > size) throw otherBytes('the store', `more than ${size} bytes came`);
    yield chunk;
    // Asked for more: what was handed on is taken.
    moved();
    onBytes?.(total);
  }
  moved(size / SLOWEST_DISK);
}

/** Aborts when `moved` was not called for long, `extraMs` longer when the node has that much to do by itself. */
function stallWatch(node: string, path: string, signal: AbortSignal) {
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const moved = (extraMs = 0): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const message = `${node} got no further with ${path} for ${(STALL_MS + extraMs) / 1000} s.`;
      stalled.abort(
        new KeyturnError('node.command-failed', message, { hint: `Look at the disk and the network of ${node}.` }),
      );
    }, STALL_MS + extraMs);
  };
  moved();
  return { signal: AbortSignal.any([signal, stalled.signal]), moved, end: () => clearTimeout(timer) };
}

interface Answer {
  readonly words: readonly string[];
  readonly rest: Buffer;
}

/** The first line is `keyturn <words>`. Throws what a refusal means. */
function parseAnswer(node: string, restore: RestoreOnNode, { code, stdout, stderr }: ExecResult): Answer {
  const end = stdout.indexOf('\n');
  const [mark, ...words] = stdout.toString('utf8', 0, Math.max(end, 0)).split(' ');
  if (mark !== 'keyturn' || code !== 0) {
    const said = stderr.trim().split('\n').at(-1) ?? '';
    throw new KeyturnError(
      'node.command-failed',
      `${node} could not carry out a step's order: ${said || 'no answer'}.`,
      {
        hint: `See that ${node} has coreutils and util-linux (flock, setsid), and that its disk is not full.`,
      },
    );
  }
  if (words[0] === 'refused') throw refusal(node, restore, words[1] ?? '', words.slice(2).join(' '));
  return { words, rest: stdout.subarray(end + 1) };
}

function refusal(node: string, { cluster, token }: RestoreOnNode, why: string, what: string): KeyturnError {
  switch (why) {
    case 'fenced':
      return new KeyturnError('lease.lost', `${node} has seen token ${what} for ${cluster}; ours is ${token}.`, {
        hint: 'Stop at once: another replica goes on with this restore.',
      });
    case 'busy':
      return new KeyturnError('node.step-refused', `Another step runs on ${node}: ${what}.`, {
        hint: 'Wait until it has ended, or stop it.',
      });
    case 'differs':
      return new KeyturnError('node.step-refused', `${node} knows this step with another script: ${what}.`, {
        hint: 'Make the plan anew; a step of a plan never changes.',
      });
    case 'lock':
      return new KeyturnError('node.step-refused', `The lock ${what} on ${node} is held for too long.`, {
        hint: `See which process holds it ("fuser ${what}" on ${node}), and end it.`,
      });
    case 'short':
    case 'hash':
      return otherBytes(node, why === 'short' ? `only ${what} bytes arrived` : `their sha256 is ${what}`);
    default:
      return new KeyturnError('node.disk-full', `${node} can't write to ${what}.`, {
        hint: `Make room on the disk of ${what} on ${node}, and see that it is not mounted read-only.`,
      });
  }
}

function otherBytes(where: string, how: string): KeyturnError {
  return new KeyturnError('etcd.snapshot-corrupt', `The snapshot is not what its manifest says on ${where}: ${how}.`, {
    hint: 'Try again; when it stays so, restore another snapshot.',
  });
}

function parseReport(node: string, { words, rest }: Answer): StepReport {
  const end = rest.indexOf('\n');
  const [offset, outputSize] = rest.toString('utf8', 0, Math.max(end, 0)).split(' ').map(Number);
  const state = parseState(words);
  if (state === undefined || offset === undefined || outputSize === undefined) {
    throw new KeyturnError('node.command-failed', `${node} told of a step in unknown words: ${words.join(' ')}.`, {
      hint: `Look at the step's folder on ${node}; its record may be damaged.`,
    });
  }
  return { state, output: rest.subarray(end + 1), offset, outputSize };
}

function parseState([kind = '', ...words]: readonly string[]): StepState | undefined {
  const time = (at: number): Date => new Date(Number(words[at]));
  if (words.some((word) => word === '')) return undefined;
  switch (kind) {
    case 'not-started':
      return { kind };
    case 'running':
      return { kind, startedAt: time(0) };
    case 'vanished':
      return { kind, why: words[0] === 'rebooted' ? 'rebooted' : 'killed', startedAt: time(1) };
    case 'done': {
      const endedBy = (['itself', 'deadline', 'stop', 'output'] as const).find((each) => each === words[1]);
      if (endedBy === undefined) return undefined;
      return { kind, code: Number(words[0]), endedBy, startedAt: time(2), endedAt: time(3) };
    }
    default:
      return undefined;
  }
}

/** Names become folders and parts of a unit's name. */
function assertName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) throw new TypeError(`"${name}" can't name a folder on a node.`);
}

function assertPath(path: string): void {
  if (!/^\/[^\0\n]*[^/\0\n]$/.test(path)) throw new TypeError(`"${path}" is no absolute path of a file.`);
}
