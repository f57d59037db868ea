/**
 * Owns the queueing of scheduled backups: every replica looks once a minute, and the job's id keeps one of each run.
 * The same look catches up what was missed while no replica was there: the newest run, not all of them.
 */
import type { ClusterSpec } from '../domain/cluster.ts';
import { scheduledBackupId, type BackupJob } from '../domain/job.ts';
import { missedRun } from '../domain/schedule.ts';
import type { Trigger } from '../domain/snapshot.ts';
import type { Clock, CronCalendar, JobQueue, Log, Publish, SnapshotCatalogue, TickMemory } from '../ports.ts';

export interface ScheduleDeps {
  readonly clusters: readonly ClusterSpec[];
  readonly queue: JobQueue;
  readonly ticks: TickMemory;
  readonly catalogue: SnapshotCatalogue;
  readonly calendar: CronCalendar;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly log: Log;
}

/** A run found later than this was missed by everybody. */
const ON_TIME_MS = 90_000;

/** Queues what is due. A cluster whose look fails is logged and looked at again a minute later; never throws. */
export async function queueDueBackups(deps: ScheduleDeps): Promise<void> {
  await Promise.all(
    deps.clusters.map((cluster) =>
      queueIfDue(cluster, deps).catch((error: unknown) => {
        deps.log.error({ err: error, cluster: cluster.name }, 'the schedule could not be looked at');
      }),
    ),
  );
}

async function queueIfDue(cluster: ClusterSpec, deps: ScheduleDeps): Promise<void> {
  const { schedule, timezone, attempts } = cluster.backup;
  if (schedule === undefined) return;
  const now = deps.clock.now();
  const previousRun = deps.calendar.previous(schedule, timezone, now);
  const lastQueuedRun = await deps.ticks.lastQueuedRun(cluster.name);
  // Asked only when Redis remembers nothing. With a store away we can't tell, and a backup too many is the safe side.
  const stored = lastQueuedRun === undefined ? await deps.catalogue.entries(cluster.name) : undefined;
  // What another tool took keeps no schedule of ours.
  const own = stored?.entries.filter(({ origin }) => origin === 'keyturn');
  const newestTakenAt = own?.[0]?.takenAt;
  const newestSnapshotAt = newestTakenAt === undefined ? undefined : new Date(newestTakenAt);
  const due = missedRun({ previousRun, lastQueuedRun, newestSnapshotAt });
  if (due !== undefined) {
    const isFirst = own?.length === 0 && stored?.problems.length === 0;
    await queueRun(cluster.name, due, isFirst ? { kind: 'first' } : scheduledRun(due, now), attempts, deps);
  }
  // Remembered after the job is in the queue: a crash in between adds the same id again, which is nothing.
  if (lastQueuedRun === undefined || lastQueuedRun < previousRun)
    await deps.ticks.setLastQueuedRun(cluster.name, previousRun);
}

function scheduledRun(due: Date, now: Date): Trigger {
  return { kind: 'schedule', dueAt: due.toISOString(), caughtUp: now.getTime() - due.getTime() > ON_TIME_MS };
}

async function queueRun(
  cluster: string,
  due: Date,
  trigger: Trigger,
  attempts: number,
  deps: ScheduleDeps,
): Promise<void> {
  const now = deps.clock.now();
  const job: BackupJob = {
    kind: 'backup',
    id: scheduledBackupId(cluster, due),
    cluster,
    trigger,
    origin: undefined,
    askedAt: now.toISOString(),
  };
  if ((await deps.queue.add(job, { attempts })) === 'known') return;
  await deps.publish({
    type: 'backup.queued',
    at: now.toISOString(),
    operation: job.id,
    cluster,
    trigger,
    origin: undefined,
  });
}
