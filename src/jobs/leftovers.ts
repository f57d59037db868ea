/** Owns the clearing of what interrupted backups leave in a store: open uploads, and objects without a manifest. */
import type { SweepJob } from '../domain/job.ts';
import { clusterPrefix, isOwnObject, manifestKeyOf } from '../domain/snapshot.ts';
import type { Clock, ClusterLease, JobContext, JobResult, Log, SnapshotStore } from '../ports.ts';

/**
 * Call it only with the cluster's lease, and let `signal` end it when that is lost: then no upload of Keyturn's is
 * rightly open there. Objects of others, and objects with a manifest, are never touched. Throws store.*.
 */
export async function clearLeftovers(
  store: SnapshotStore,
  cluster: string,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  // The full keys as well: some servers list open uploads only for those.
  for (const prefix of [clusterPrefix(cluster), ...keys])
    for await (const upload of store.openUploads(prefix)) {
      signal.throwIfAborted();
      if (isOwnObject(cluster, upload.key)) await store.abortUpload(upload);
    }
  for (const key of keys) {
    const isSnapshot = !isOwnObject(cluster, key) || (await store.stat(manifestKeyOf(key))) !== undefined;
    signal.throwIfAborted();
    if (!isSnapshot) await store.remove(key);
  }
}

/** How long a job waits when the cluster is busy with something else. */
export const BUSY_WAIT_MS = 5_000;
/** How long a store that is away is asked again, at growing intervals. */
const STORE_WAITS_MS = [10_000, 60_000, 300_000, 1_800_000] as const;

/** Milliseconds until the next attempt after this one, which counts from 1. */
export function waitForStore(attempt: number): number {
  return STORE_WAITS_MS[Math.min(attempt, STORE_WAITS_MS.length) - 1] ?? BUSY_WAIT_MS;
}

/** What a sweep needs of the world. */
export interface SweepDeps {
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly lease: ClusterLease;
  readonly clock: Clock;
  readonly log: Log;
}

/** Works on one sweep: later while the cluster is busy, again and less often while the store is away. */
export async function runSweep(job: SweepJob, context: JobContext, deps: SweepDeps): Promise<JobResult> {
  const store = deps.stores.get(job.store);
  if (store === undefined) return { kind: 'done' };
  const startedAt = deps.clock.now().toISOString();
  const lease = await deps.lease.acquire({ id: job.id, kind: 'sweep', cluster: job.cluster, startedAt });
  if ('heldBy' in lease) return { kind: 'later', afterMs: BUSY_WAIT_MS };
  try {
    await clearLeftovers(store, job.cluster, job.keys, lease.lost);
    return { kind: 'done' };
  } catch (error) {
    context.signal.throwIfAborted();
    deps.log.warn({ err: error, operation: job.id, store: job.store }, 'leftovers could not be cleared yet');
    return { kind: 'again', afterMs: waitForStore(context.attempt) };
  } finally {
    await lease.release();
  }
}
