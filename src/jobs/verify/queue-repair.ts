/** Owns how a copy comes to be made anew: one job a day for each, whoever asks for it. */
import { repairId } from '../../domain/job.ts';
import type { Clock, JobQueue } from '../../ports.ts';

/** A store that is away is asked again for a day or so. */
const REPAIR_ATTEMPTS = 50;

/** Throws queue.unavailable. */
export async function queueRepair(
  deps: { readonly queue: Pick<JobQueue, 'add'>; readonly clock: Pick<Clock, 'now'> },
  cluster: string,
  snapshot: string,
  store: string,
): Promise<void> {
  const id = repairId(cluster, snapshot, store, deps.clock.now());
  await deps.queue.add({ kind: 'repair', id, cluster, snapshot, store }, { attempts: REPAIR_ATTEMPTS });
}
