/**
 * Owns the reading of one stored object to its end, at a limited rate: are its bytes those that were written, and is what
 * they hold a whole etcd snapshot? Only what was read to the end twice, and was wrong in the same way, is damaged.
 */
import { KeyturnError, toProblem, type Problem } from '../../domain/error.ts';
import { Pace } from '../../domain/pace.ts';
import type { CopyVerdict } from '../../domain/copy-verdict.ts';
import { SnapshotCheck } from '../../domain/snapshot-check.ts';
import type { SnapshotRecord } from '../../domain/snapshot.ts';
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
export async function readObject(
  deps: ReadDeps,
  store: SnapshotStore,
  record: SnapshotRecord,
  options: ReadOptions,
): Promise<CopyVerdict> {
  const ms = (record.object.size / Math.min(options.rateLimit ?? SLOWEST, SLOWEST)) * 1000 * PATIENCE;
  const limit = timeLimit(deps.clock, ms + LEAST_PATIENCE_MS, () => tooSlow(store.name), options.signal);
  try {
    return await readTwice(deps, store, record, { ...options, signal: limit.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    const told = limit.signal.aborted ? limit.signal.reason : error;
    if (told instanceof KeyturnError && told.code === 'store.not-found') return { kind: 'missing' };
    return { kind: 'unknown', problem: toProblem(told, record.id) };
  } finally {
    limit.cancel();
  }
}

async function readTwice(
  deps: ReadDeps,
  store: SnapshotStore,
  record: SnapshotRecord,
  options: ReadOptions,
): Promise<CopyVerdict> {
  const unopened = await deps.coder.obstacle(record.encoding);
  const read = (): Promise<Reading> => readOnce(deps, store, record, { ...options, opens: unopened === undefined });
  const first = await read();
  if (first.wrong === undefined) return { kind: 'whole', unopened: unopened ?? first.unopened };
  const second = await read();
  if (second.wrong === undefined) return { kind: 'whole', unopened: unopened ?? second.unopened };
  if (first.sha256 === second.sha256 && first.size === second.size) return { kind: 'damaged', found: second.wrong };
  return { kind: 'unknown', problem: differs(store.name, record.object.key) };
}

interface Reading {
  readonly size: number;
  readonly sha256: string;
  /** Undefined: nothing. */
  readonly wrong: string | undefined;
  readonly unopened: Problem | undefined;
}

async function readOnce(
  { coder, clock }: ReadDeps,
  store: SnapshotStore,
  record: SnapshotRecord,
  { rateLimit, signal, onBytes, opens }: ReadOptions & { readonly opens: boolean },
): Promise<Reading> {
  const { object, encoding } = record;
  const listed = await store.stat(object.key);
  if (listed === undefined) throw gone(store.name, object.key);
  const stream = await store.read(object.key, signal);
  try {
    const measure = new Measure();
    const bytes = goingOn(atRate(stream, { rateLimit, clock, signal, onBytes }));
    const inside = opens ? await lookInside(coder.decode(encoding, measure.of(bytes), signal), record) : {};
    // What could not be decoded is still to be read to its end: its bytes may be right.
    for await (const chunk of measure.of(bytes)) void chunk;
    const found = measure.finish();
    if (found.size !== listed.size) throw inside.error ?? endedEarly(store.name, object.key, found.size, listed.size);
    const wrong = wrongBytes(found, object);
    if (wrong === undefined && inside.error !== undefined) throw inside.error;
    return { ...found, wrong: wrong ?? inside.wrong, unopened: inside.unopened };
  } finally {
    stream.destroy();
  }
}

function wrongBytes(
  found: Pick<Reading, 'size' | 'sha256'>,
  written: { readonly size: number; readonly sha256: string },
): string | undefined {
  if (found.size !== written.size) return `it has ${found.size} bytes instead of ${written.size}`;
  return found.sha256 === written.sha256 ? undefined : 'its bytes are not those that were written: the sha256 differs';
}

/** What is wrong with the snapshot itself, or what kept us from looking, which is no word on the bytes. */
interface Inside {
  readonly wrong?: string;
  /** It is not known whether what we have should open it. */
  readonly unopened?: Problem;
  readonly error?: KeyturnError;
}

async function lookInside(chunks: AsyncIterable<Uint8Array>, record: SnapshotRecord): Promise<Inside> {
  const check = new SnapshotCheck();
  try {
    for await (const chunk of chunks) check.update(chunk);
    const { size, sha256 } = check.finish();
    if (size === record.size && sha256 === record.sha256) return {};
    return { wrong: 'what it holds is another snapshot than its manifest says' };
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
    // Another passphrase than it was encrypted with looks like damage.
    if (error.code === 'snapshot.damaged' && record.encoding.recipients.includes('passphrase'))
      return { unopened: toProblem(error, record.id) };
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
