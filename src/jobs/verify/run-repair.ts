/**
 * Owns the making anew of one copy, from a good one, in a store where it is missing or damaged. Under the cluster's lease: what
 * clears up after backups, and retention, may rely on nobody else writing there. A restore is let by at once.
 */
import { KeyturnError, toProblem } from '../../domain/error.ts';
import type { RepairJob } from '../../domain/job.ts';
import { wantsCluster } from '../../domain/restore-request.ts';
import { BUSY_WAIT_MS, waitForStore } from '../leftovers.ts';
import type { JobContext, JobResult, Lease } from '../../ports.ts';
import type { CopyDeps } from './deps.ts';
import { copyOver, type CopiedOver } from './copy-over.ts';
import { damageTold, forgetDamage } from './marks.ts';

/** How often a repair looks whether a restore wants the cluster. */
const LOOK_EVERY_MS = 5_000;
const GIVEN_WAY_MS = 30_000;

/** Again, less and less often, while stores are away; what can't be repaired is told. Throws only when it is to stop. */
export async function runRepair(job: RepairJob, context: JobContext, deps: CopyDeps): Promise<JobResult> {
  const { id, cluster } = job;
  const spec = deps.clusters.get(cluster);
  if (spec?.backup.stores.includes(job.store) !== true) return { kind: 'done' };
  if (await restoreWaits(deps, cluster)) return { kind: 'later', afterMs: GIVEN_WAY_MS };
  const startedAt = deps.clock.now().toISOString();
  const lease = await deps.lease.acquire({ id, kind: 'repair', cluster, startedAt });
  if ('heldBy' in lease) return { kind: 'later', afterMs: BUSY_WAIT_MS };
  const way = givesWay(deps, cluster, context, lease);
  try {
    if (context.attempt > context.attempts) throw interrupted();
    const done = await copyOver(job, context, deps, way.signal);
    if (done !== undefined) await tellRepaired(job, deps, done);
    return { kind: 'done' };
  } catch (error) {
    context.signal.throwIfAborted();
    if (way.isGiven()) return { kind: 'later', afterMs: GIVEN_WAY_MS };
    return await afterFailure(job, context, deps, error);
  } finally {
    way.end();
    await lease.release();
  }
}

async function tellRepaired(job: RepairJob, deps: CopyDeps, { damage, ...copied }: CopiedOver): Promise<void> {
  const { cluster, snapshot, store } = job;
  const operation = damage ?? job.id;
  const at = deps.clock.now().toISOString();
  await deps.publish({ type: 'copy.repaired', at, operation, cluster, snapshot, store, ...copied });
  await forgetDamage(deps, job);
  deps.log.info({ operation: job.id, store, snapshot, why: copied.why }, 'a copy was made anew');
}

async function afterFailure(job: RepairJob, context: JobContext, deps: CopyDeps, error: unknown): Promise<JobResult> {
  const { cluster, snapshot, store } = job;
  deps.log.warn({ err: error, operation: job.id, store, snapshot }, 'a copy could not be made anew yet');
  const isFinal = error instanceof KeyturnError && error.code === 'snapshot.damaged';
  if (!isFinal && context.attempt < context.attempts) return { kind: 'again', afterMs: waitForStore(context.attempt) };
  const operation = await damageTold(deps, job);
  const why = operation === undefined ? 'missing' : 'damaged';
  await deps.publish({
    type: 'copy.not-repaired',
    at: deps.clock.now().toISOString(),
    operation: operation ?? job.id,
    ...{ cluster, snapshot, store, why },
    problem: toProblem(error, job.id),
  });
  return { kind: 'done' };
}

/** A signal that ends the repair when a restore waits for the cluster; it also ends with the job and with the lease. */
function givesWay(deps: CopyDeps, cluster: string, context: JobContext, lease: Lease) {
  const given = new AbortController();
  const over = new AbortController();
  const watch = async (): Promise<void> => {
    for (;;) {
      await deps.clock.sleep(LOOK_EVERY_MS, over.signal);
      if (!(await restoreWaits(deps, cluster))) continue;
      given.abort(wanted());
      return;
    }
  };
  watch().catch((error: unknown) => {
    if (!over.signal.aborted) deps.log.warn({ err: error, cluster }, 'a repair can not see whether a restore waits');
  });
  return {
    signal: AbortSignal.any([context.signal, lease.lost, given.signal]),
    isGiven: () => given.signal.aborted,
    end: () => over.abort(),
  };
}

/** One that has its approvals, and runs as soon as it has the lease. */
async function restoreWaits(deps: Pick<CopyDeps, 'requests'>, cluster: string): Promise<boolean> {
  const [newest] = await deps.requests.byCluster(cluster, 1);
  return newest !== undefined && wantsCluster(newest.state);
}

function wanted(): KeyturnError {
  return new KeyturnError('cluster.busy', 'A restore of this cluster waits, and goes first.', {
    hint: 'Wait: the repair goes on when the restore has ended.',
  });
}

function interrupted(): KeyturnError {
  return new KeyturnError('job.interrupted', 'The worker was killed or cut off from Redis in the middle, each time.', {
    hint: "Look at the worker's memory limit and its log.",
  });
}
