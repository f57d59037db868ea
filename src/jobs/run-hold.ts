/** Owns how a store that was away follows a hold, or its release: later, and only while that is still what was wanted last. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError, toProblem } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import type { HoldNote } from '../domain/hold.ts';
import type { HoldJob } from '../domain/job.ts';
import type { Clock, JobContext, JobResult, Log, Publish, SnapshotStore } from '../ports.ts';
import { liftHold, placeHold, readHold } from '../stored/holds.ts';

export interface HoldDeps {
  readonly clusters: ReadonlyMap<string, ClusterSpec>;
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly log: Log;
}

/** A store that is away is asked again at growing intervals: with all attempts, for some two days. */
const WAITS_MS = [10_000, 60_000, 300_000, 1_800_000] as const;

/** Told when it is done, and when it is given up. Throws when it is to stop, or nothing can be told. */
export async function runHold(job: HoldJob, context: JobContext, deps: HoldDeps): Promise<JobResult> {
  const store = deps.stores.get(job.store);
  if (store === undefined) return { kind: 'done' };
  try {
    await (job.note === undefined ? release(store, job) : hold(store, job, job.note, deps));
    await tell(job, deps, undefined);
    return { kind: 'done' };
  } catch (error) {
    context.signal.throwIfAborted();
    deps.log.warn({ err: error, operation: job.operation, store: job.store }, 'a store could not follow a hold yet');
    if (context.attempt >= context.attempts) {
      await tell(job, deps, toProblem(error, job.id));
      return { kind: 'done' };
    }
    const waits = WAITS_MS;
    return { kind: 'again', afterMs: waits[Math.min(context.attempt, waits.length) - 1] ?? waits[0] };
  }
}

/** Somebody may have released it, or changed it, since: then it lies in no store any more as it was wanted. */
async function hold(
  store: SnapshotStore,
  { keys, at, cluster }: HoldJob,
  note: HoldNote,
  { clusters, stores }: HoldDeps,
): Promise<void> {
  const own = (await readHold(store, keys.note))?.note;
  if (isNewer(own, at)) return;
  const others = (clusters.get(cluster)?.backup.stores ?? []).filter((name) => name !== store.name);
  const isWanted = async (): Promise<boolean> => {
    if (own?.at === at) return true;
    const found = others.flatMap((name) => stores.get(name) ?? []).map((other) => readHold(other, keys.note));
    return (await Promise.all(found)).some((each) => each?.note?.at === at);
  };
  if (!(await isWanted())) return;
  try {
    await placeHold(store, keys, note);
  } catch (error) {
    // It has no copy to hold.
    if (error instanceof KeyturnError && error.code === 'snapshot.unknown') return;
    throw error;
  }
  // Released in the very moment between.
  if (!(await isWanted())) await liftHold(store, keys);
}

async function release(store: SnapshotStore, { keys, at }: HoldJob): Promise<void> {
  if (!isNewer((await readHold(store, keys.note))?.note, at)) await liftHold(store, keys);
}

/** Somebody has put another hold there since. */
function isNewer(note: HoldNote | undefined, at: string): boolean {
  return note !== undefined && Date.parse(note.at) > Date.parse(at);
}

async function tell(
  { operation, cluster, store }: HoldJob,
  deps: HoldDeps,
  problem: Problem | undefined,
): Promise<void> {
  const at = deps.clock.now().toISOString();
  await deps.publish({ type: 'hold.followed', at, operation, cluster, store, problem });
}
