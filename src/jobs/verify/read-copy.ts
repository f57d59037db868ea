/**
 * Owns the reading of one stored object to its end, at a limited rate: are its bytes those that were written, and is what
 * they hold a whole etcd snapshot? Only what was read to the end twice, and was wrong in the same way, is damaged.
 */
import { KeyturnError, toProblem, type Problem } from '../../domain/error.ts';
import { Pace } from '../../domain/pace.ts';
import type { CopyVerdict } from '../../domain/copy-verdict.ts';
import { SnapshotCheck, type CheckedSnapshot } from '../../domain/snapshot-check.ts';
import type { Encoding, SnapshotRecord } from '../../domain/snapshot.ts';
import type { Clock, SnapshotCoder, SnapshotStore } from '../../ports.ts';
import { Measure } from '../measure.ts';
import { timeLimit } from '../time-limit.ts';
import { differs } from './manifests.ts';

export interface ReadDeps {
  readonly coder: Pick<SnapshotCoder, 'obstacle' | 'decode'>;
  readonly clock: Clock;
}

export interface ReadOptions {
  /** Bytes a second; undefined: as fast as it goes. */
  readonly rateLimit: number | undefined;
  readonly signal: AbortSignal;
  /** How many bytes were read so far; begins again when it is read a second time. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** A copy may take so much longer than its rate allows, and this on top, before its store is given up. */
const PATIENCE = 4;
const LEAST_PATIENCE_MS = 10 * 60_000;
/** Shorter waits than this make no difference. Milliseconds. */
const SHORTEST_WAIT_MS = 5;
/** What a store has to bring at least, where there is no limit. */
const SLOWEST = 1_000_000;

/** The object that `record` speaks of, in `store`. Throws only the reason of `signal`. */
export function readObject(
  deps: ReadDeps,
  store: SnapshotStore,
  record: SnapshotRecord,
  options: ReadOptions,
): Promise<CopyVerdict> {
  return withPatience(deps, store, record.object.size, options, async (limited) => {
    const unopened = await deps.coder.obstacle(record.encoding);
    const { key } = record.object;
    const found = await readTwice(store.name, key, async () => {
      const read = await readThrough(deps, store, key, unopened === undefined ? record.encoding : undefined, limited);
      const wrong = wrongBytes(read.stored, record.object);
      if (wrong === undefined && read.inside.error !== undefined) throw read.inside.error;
      return { read, wrong: wrong ?? read.inside.wrong ?? otherContent(read.inside.content, record) };
    });
    if (found.wrong !== undefined) return { kind: 'damaged', found: found.wrong };
    return { kind: 'whole', unopened: unopened ?? found.read.inside.unopened };
  });
}

/** `work` in bounded time for so many bytes; what a store can't say is a verdict. Throws only the reason of `options.signal`. */
export async function withPatience(
  { clock }: Pick<ReadDeps, 'clock'>,
  store: SnapshotStore,
  bytes: number,
  options: ReadOptions,
  work: (limited: ReadOptions) => Promise<CopyVerdict>,
): Promise<CopyVerdict> {
  const ms = (bytes / Math.min(options.rateLimit ?? SLOWEST, SLOWEST)) * 1000 * PATIENCE;
  const limit = timeLimit(clock, ms + LEAST_PATIENCE_MS, () => tooSlow(store.name), options.signal);
  try {
    return await work({ ...options, signal: limit.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    const told: unknown = limit.signal.aborted ? limit.signal.reason : error;
    if (told instanceof KeyturnError && told.code === 'store.not-found') return { kind: 'missing' };
    return { kind: 'unknown', problem: toProblem(told, store.name) };
  } finally {
    limit.cancel();
  }
}

interface Reading {
  readonly read: Through;
  /** Undefined: nothing. */
  readonly wrong: string | undefined;
}

/** What was wrong is read again. Throws store.corrupt where the second reading gives other bytes. */
export async function readTwice(store: string, key: string, read: () => Promise<Reading>): Promise<Reading> {
  const first = await read();
  if (first.wrong === undefined) return first;
  const second = await read();
  const [one, other] = [first.read.stored, second.read.stored];
  if (second.wrong === undefined || (one.sha256 === other.sha256 && one.size === other.size)) return second;
  const { code, message, hint } = differs(store, key);
  throw new KeyturnError(code, message, { hint });
}

/** What one reading to the end has told. */
export interface Through {
  readonly stored: { readonly size: number; readonly sha256: string };
  readonly inside: Inside;
}

/** Reads the object to its end; without an `encoding` it is not looked at what its bytes hold. Throws store.*. */
export async function readThrough(
  { coder, clock }: ReadDeps,
  store: SnapshotStore,
  key: string,
  encoding: Encoding | undefined,
  { rateLimit, signal, onBytes }: ReadOptions,
): Promise<Through> {
  const listed = await store.stat(key);
  if (listed === undefined) throw gone(store.name, key);
  const stream = await store.read(key, signal);
  try {
    const measure = new Measure();
    const bytes = goingOn(atRate(stream, { rateLimit, clock, signal, onBytes }));
    const inside =
      encoding === undefined ? {} : await lookInside(coder.decode(encoding, measure.of(bytes), signal), encoding);
    // What could not be decoded is still to be read to its end: its bytes may be right.
    await toItsEnd(measure.of(bytes));
    const stored = measure.finish();
    if (stored.size !== listed.size) throw inside.error ?? endedEarly(store.name, key, stored.size, listed.size);
    return { stored, inside };
  } finally {
    stream.destroy();
  }
}

function wrongBytes(
  found: Through['stored'],
  written: { readonly size: number; readonly sha256: string },
): string | undefined {
  if (found.size !== written.size) return `it has ${found.size} bytes instead of ${written.size}`;
  return found.sha256 === written.sha256 ? undefined : 'its bytes are not those that were written: the sha256 differs';
}

function otherContent(content: CheckedSnapshot | undefined, record: SnapshotRecord): string | undefined {
  if (content === undefined || (content.size === record.size && content.sha256 === record.sha256)) return undefined;
  return 'what it holds is another snapshot than its manifest says';
}

/** What the bytes hold: a whole snapshot, what is wrong with it, or what kept us from looking, which is no word on them. */
interface Inside {
  readonly content?: CheckedSnapshot;
  readonly wrong?: string;
  /** It is not known whether what we have should open it. */
  readonly unopened?: Problem;
  readonly error?: KeyturnError;
}

async function lookInside(chunks: AsyncIterable<Uint8Array>, { recipients }: Encoding): Promise<Inside> {
  const check = new SnapshotCheck();
  try {
    for await (const chunk of chunks) check.update(chunk);
    return { content: check.finish() };
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
    // Another passphrase than it was encrypted with looks like damage.
    if (error.code === 'snapshot.damaged' && recipients.includes('passphrase'))
      return { unopened: toProblem(error, 'passphrase') };
    if (error.code === 'snapshot.damaged') return { wrong: `it can't be decoded: ${phrase(error)}` };
    if (error.code === 'etcd.snapshot-corrupt')
      return { wrong: `what it holds is no whole snapshot: ${phrase(error)}` };
    return { error };
  }
}

/** Who reads it goes on where the last one has stopped. */
function goingOn(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const source = chunks[Symbol.asyncIterator]();
  return { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) };
}

async function toItsEnd(chunks: AsyncIterator<Uint8Array>): Promise<void> {
  for (let isDone = false; !isDone;) isDone = (await chunks.next()).done === true;
}

async function* atRate(
  chunks: AsyncIterable<Uint8Array>,
  { rateLimit, signal, onBytes, clock }: ReadOptions & { readonly clock: Clock },
): AsyncGenerator<Uint8Array> {
  const pace = rateLimit === undefined ? undefined : new Pace(rateLimit);
  let bytes = 0;
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    const ms = pace?.waitFor(chunk.length, clock.now().getTime()) ?? 0;
    if (ms > SHORTEST_WAIT_MS) await clock.sleep(ms, signal);
    onBytes?.((bytes += chunk.length));
    yield chunk;
  }
}

/** A sentence as the end of another. */
function phrase({ message }: Error): string {
  return `${message.charAt(0).toLowerCase()}${message.slice(1)}`.replace(/\.$/, '');
}

function gone(store: string, key: string): KeyturnError {
  return new KeyturnError('store.not-found', `Store ${store} has no ${key} any more.`, { hint: 'List the snapshots.' });
}

function endedEarly(store: string, key: string, got: number, listed: number): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${store} gave ${got} of the ${listed} bytes of ${key}.`, {
    hint: 'Look at the network to the store, and at the store itself.',
  });
}

function tooSlow(store: string): KeyturnError {
  return new KeyturnError('job.timeout', `Store ${store} was too slow to be read to the end.`, {
    hint: 'Look at the load of the store and the network to it.',
  });
}
