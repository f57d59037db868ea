/**
 * Owns when a backup is due: which missed run is caught up, and whether the recovery-point objective is kept.
 * When a cron expression fires is the calendar's to say (ports.ts, CronCalendar); what that means is decided here.
 */

/** What is known of a cluster's schedule at one moment. */
export interface ScheduleState {
  /** The newest run that should have happened, undefined without a schedule. */
  readonly previousRun: Date | undefined;
  /** The newest run for which a job was queued, undefined when none is remembered (first start, empty Redis). */
  readonly lastQueuedRun: Date | undefined;
  /** When the newest stored snapshot was taken, undefined when there is none. */
  readonly newestSnapshotAt: Date | undefined;
}

/**
 * The one run to queue now, or undefined: the newest missed run, never all of them. With nothing remembered, a snapshot
 * newer than the run counts as the run; with no snapshot at all the first backup is due at once.
 */
export function missedRun(state: ScheduleState): Date | undefined {
  const due = state.previousRun;
  if (due === undefined) return undefined;
  if (state.lastQueuedRun !== undefined) return state.lastQueuedRun >= due ? undefined : due;
  if (state.newestSnapshotAt !== undefined && state.newestSnapshotAt >= due) return undefined;
  return due;
}

export type Freshness = 'fresh' | 'late' | 'never' | 'not-watched';

/** The age of the newest verified snapshot, held against the RPO. */
export function freshness(newestAt: Date | undefined, rpoMs: number | undefined, now: Date): Freshness {
  if (newestAt === undefined) return 'never';
  if (rpoMs === undefined) return 'not-watched';
  return now.getTime() - newestAt.getTime() <= rpoMs ? 'fresh' : 'late';
}
