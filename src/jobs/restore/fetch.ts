/** Owns how the snapshot comes to the nodes: read once from a store for all that lack it, decoded, checked on each of them. */
import type { Readable } from 'node:stream';
import type { ClusterSpec } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import type { Fetch, Phase, Plan } from '../../domain/plan.ts';
import { runIdOf } from '../../domain/restore-course.ts';
import { retryAfter } from '../../domain/retry.ts';
import { damageKey, isPlain } from '../../domain/snapshot.ts';
import type { SnapshotStore } from '../../ports.ts';
import { Measure } from '../measure.ts';
import { timeLimit } from '../time-limit.ts';
import type { Execution } from './execution.ts';
import { FanOut } from './fan-out.ts';
import type { Task } from './record.ts';
import { failureOf, needsNothing, orProblem, sideBySide, WAS_DONE, type Failure } from './steps.ts';

/** Progress is told at most so often for each node. */
const PROGRESS_EVERY_MS = 1_000;
const NEXT_STORE_MS = 1_000;
/** What was damaged on its way to a node is right the next time. */
const READS_OF_DAMAGED = 2;

/** A node that lacks the file. */
interface Wanting {
  readonly task: Task;
  readonly file: Fetch;
  readonly run: string;
  readonly startedAt: number;
}

/** The failures; each node that has the file is done, whatever becomes of the others. */
export async function fetchToAll(x: Execution, phase: Phase): Promise<readonly Failure[]> {
  const wanting: Wanting[] = [];
  const begun = await sideBySide(
    x,
    phase.steps.map((step) => async () => {
      const task: Task = { phase: phase.name, step, doing: 'do' };
      const problem = await orProblem(x, async () => {
        const one = await beginFetch(x, task);
        if (one !== undefined) wanting.push(one);
      });
      return problem && failureOf(task, problem);
    }),
  );
  return wanting.length === 0 ? begun : [...begun, ...(await rounds(x, wanting))];
}

async function beginFetch(x: Execution, task: Task): Promise<Wanting | undefined> {
  const { step } = task;
  const { action } = step;
  const standing = x.record.course.standing(step.id, 'do');
  if (action.kind !== 'fetch' || standing.outcome === 'done') return undefined;
  const run = standing.open ?? runIdOf(step.id, 'do', standing.begun + 1);
  if (await needsNothing(x, task, step.deadlineMs)) {
    await x.record.ended(task, run, WAS_DONE);
    return undefined;
  }
  if (standing.open === undefined) await x.record.begun(task, run, undefined);
  return { task, file: action, run, startedAt: x.deps.clock.now().getTime() };
}

/** One that did not get the file in a round. */
interface Missed {
  readonly one: Wanting;
  readonly error: unknown;
}

/** Round after round for those that lack it still, each by the next store, until all have it or time is up. */
async function rounds(x: Execution, all: readonly Wanting[]): Promise<readonly Failure[]> {
  const deadlineMs = Math.max(...all.map(({ task }) => task.step.deadlineMs));
  const limit = timeLimit(x.deps.clock, deadlineMs, () => tookTooLong(deadlineMs), x.signal);
  const failures: Failure[] = [];
  const damaged: Damaged = new Map();
  try {
    let wanting = all;
    for (let round = 1; wanting.length > 0; round += 1) {
      const missed = await fetchRound(x, wanting, { round, damaged, signal: limit.signal });
      x.signal.throwIfAborted();
      const waits = missed.map(({ error }) => waitBeforeNext(x, error, round));
      const waitMs = Math.max(0, ...waits.map((wait) => wait ?? 0));
      if (waitMs > 0) await x.deps.clock.sleep(waitMs, limit.signal).catch(() => undefined);
      x.signal.throwIfAborted();
      const isOver = limit.signal.aborted;
      const lost = missed.filter((_, i) => isOver || waits[i] === undefined);
      for (const { one, error } of lost) failures.push(await giveUp(x, one, error));
      wanting = missed.filter((each) => !lost.includes(each)).map(({ one }) => one);
    }
  } finally {
    limit.cancel();
  }
  return failures;
}

/** Milliseconds until it is tried again; undefined: that would not help. Another store may have what this one has not. */
function waitBeforeNext(x: Execution, error: unknown, round: number): number | undefined {
  const { code } = x.record.problemOf(error);
  if (code === 'etcd.snapshot-corrupt')
    return round < READS_OF_DAMAGED * x.deps.stores.size ? NEXT_STORE_MS : undefined;
  // Whoever reads it again finds the same; only another store can help. The round after the last one names them all.
  if (code === 'snapshot.damaged') return round <= x.deps.stores.size ? NEXT_STORE_MS : undefined;
  const waitMs = retryAfter(code, round, Infinity);
  if (waitMs !== undefined) return waitMs;
  return code.startsWith('store.') && round < x.deps.stores.size ? NEXT_STORE_MS : undefined;
}

/** Stores whose copy is not what the manifest says, and why: they are not read again. */
type Damaged = Map<SnapshotStore, KeyturnError>;

interface Round {
  /** Counted from 1. */
  readonly round: number;
  readonly damaged: Damaged;
  readonly signal: AbortSignal;
}

/** The source is opened once, when every node has said whether it wants it. */
async function fetchRound(x: Execution, wanting: readonly Wanting[], now: Round): Promise<readonly Missed[]> {
  const source = new FanOut(() => openSnapshot(x, now));
  const missed: Missed[] = [];
  await sideBySide(
    x,
    wanting.map((one) => async () => {
      const reader = source.join();
      let error: unknown;
      const problem = await orProblem(x, async () => {
        try {
          await fetchOne(x, one, () => reader.read(), now.signal);
        } catch (thrown) {
          error = thrown;
          throw thrown;
        } finally {
          reader.leave();
        }
      });
      if (problem !== undefined) missed.push({ one, error });
      return undefined;
    }),
  );
  return missed;
}

async function fetchOne(
  x: Execution,
  { task, file, run, startedAt }: Wanting,
  bytes: () => AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = x.deps;
  let toldAt = clock.now().getTime();
  const onBytes = (total: number): void => {
    const now = clock.now().getTime();
    if (now - toldAt < PROGRESS_EVERY_MS) return;
    toldAt = now;
    x.record.progress(task.step, total, file.size);
  };
  await x.nodes.once(task.step.node, ({ steps }) => steps.fetch(file, bytes, { signal, onBytes }));
  const durationMs = clock.now().getTime() - startedAt;
  await x.record.ended(task, run, { outcome: 'done', code: undefined, output: '', durationMs, problem: undefined });
}

/**
 * From the first store that has it whole, beginning with another one each round. A copy that is marked as damaged comes after
 * all others: its mark may be older than its repair, and whatever is read is held against the manifest.
 */
async function openSnapshot(x: Execution, now: Round): Promise<AsyncIterable<Uint8Array>> {
  const { round, damaged, signal } = now;
  const { object, id, cluster } = x.plan.snapshot;
  const stores = storesOf(x.deps.stores, x.spec);
  const first = (round - 1) % Math.max(stores.length, 1);
  let away: KeyturnError | undefined;
  const marked = new Set<SnapshotStore>();
  const inTurn = [...stores.slice(first), ...stores.slice(0, first)];
  for (const store of inTurn) {
    if (damaged.has(store)) continue;
    try {
      if (!marked.has(store) && (await store.stat(damageKey(cluster, id))) !== undefined) {
        marked.add(store);
        inTurn.push(store);
        continue;
      }
      const found = await store.stat(object.key);
      if (found?.size === object.size) return snapshotIn(x, store, await store.read(object.key, signal), now);
      if (found !== undefined) damaged.set(store, damagedCopy(store, id, wrongSize(found.size, object.size)));
    } catch (error) {
      if (!(error instanceof KeyturnError)) throw error;
      away = error;
    }
  }
  throw away ?? noneIsWhole(id, [...damaged.values()]);
}

/** The snapshot's own bytes, while those of the object are held against the manifest. */
async function* snapshotIn(
  x: Execution,
  store: SnapshotStore,
  stream: Readable,
  { damaged, signal }: Round,
): AsyncGenerator<Uint8Array> {
  const { encoding, size, id } = x.plan.snapshot;
  const stored = heldAgainst(x.plan.snapshot.object, stream);
  let given = 0;
  try {
    for await (const chunk of isPlain(encoding) ? stored : x.deps.coder.decode(encoding, stored, signal)) {
      given += chunk.length;
      if (given > size) throw damage(`More than the ${size} bytes that its manifest says come out of it.`);
      yield chunk;
    }
  } catch (error) {
    if (!(error instanceof KeyturnError) || error.code !== 'snapshot.damaged') throw error;
    const told = damagedCopy(store, id, error);
    damaged.set(store, told);
    throw told;
  } finally {
    stream.destroy();
  }
}

/** The same chunks; ends only when they were what the manifest says of the object. */
async function* heldAgainst(
  object: Plan['snapshot']['object'],
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const measure = new Measure();
  yield* measure.of(chunks);
  const { size, sha256 } = measure.finish();
  if (size !== object.size) throw wrongSize(size, object.size);
  if (sha256 !== object.sha256) throw damage('Its sha256 is another one than its manifest says.');
}

function wrongSize(found: number, expected: number): KeyturnError {
  return damage(`It has ${found} bytes instead of ${expected}.`);
}

function damage(why: string): KeyturnError {
  return new KeyturnError('snapshot.damaged', why, { hint: 'Ask for a restore of another snapshot.' });
}

function damagedCopy({ name }: SnapshotStore, id: string, cause: KeyturnError): KeyturnError {
  return new KeyturnError(
    'snapshot.damaged',
    `The copy of snapshot ${id} in store ${name} is damaged. ${cause.message}`,
    { hint: 'Ask for a restore of another snapshot, and find out what happened to that store.', cause },
  );
}

/** Every store was asked. */
function noneIsWhole(id: string, damaged: readonly KeyturnError[]): KeyturnError {
  const [first] = damaged;
  if (first === undefined) {
    return new KeyturnError('store.not-found', `No store has the snapshot ${id} any more.`, {
      hint: 'Look at the stores, and ask for a restore of another snapshot.',
    });
  }
  return new KeyturnError('snapshot.damaged', damaged.map(({ message }) => message).join(' '), { hint: first.hint });
}

/** The cluster's own stores first: a snapshot of another cluster may lie elsewhere. */
function storesOf(stores: ReadonlyMap<string, SnapshotStore>, { backup }: ClusterSpec): readonly SnapshotStore[] {
  const own = backup.stores.flatMap((name) => stores.get(name) ?? []);
  return [...own, ...[...stores.values()].filter((store) => !own.includes(store))];
}

async function giveUp(x: Execution, { task, run, startedAt }: Wanting, error: unknown): Promise<Failure> {
  const problem = x.record.problemOf(error);
  const durationMs = x.deps.clock.now().getTime() - startedAt;
  await x.record.ended(task, run, { outcome: 'failed', code: undefined, output: '', durationMs, problem });
  return failureOf(task, problem);
}

function tookTooLong(ms: number): KeyturnError {
  return new KeyturnError('job.timeout', `The snapshot was not on the node after ${Math.round(ms / 1000)} s.`, {
    hint: 'Look at the speed of store and node.',
  });
}
