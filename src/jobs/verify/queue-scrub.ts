/** Owns the queueing of scrubs: every replica looks once a minute, and the job's id keeps one of each five. */
import { SCRUB_LEASE, scrubId } from '../../domain/job.ts';
import type { Clock, JobQueue, Log } from '../../ports.ts';

export interface QueueScrubDeps {
  readonly queue: Pick<JobQueue, 'add'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** Never throws: what fails is logged, and comes again with the next minute. */
export async function queueScrub({ queue, clock, log }: QueueScrubDeps): Promise<void> {
  try {
    await queue.add({ kind: 'scrub', id: scrubId(clock.now()), cluster: SCRUB_LEASE }, { attempts: 1 });
  } catch (error) {
    log.error({ err: error }, 'no scrub could be queued');
  }
}
