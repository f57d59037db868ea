/** Owns how a changed restore request is made known, and how one that has its approvals gets the job that carries it out. */
import { startJobId } from '../domain/restore-request.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import { summaryOf } from '../domain/restore-summary.ts';
import type { JobQueue, Publish } from '../ports.ts';

export interface AnnounceDeps {
  readonly publish: Publish;
  readonly queue: Pick<JobQueue, 'add'>;
}

/** A restore is gone on with after any number of workers that died; each of their deaths costs an attempt. */
const ATTEMPTS = 1000;

/**
 * Tells a request's newest change; one that just became approved is started as well. Twice is as once, since the event is
 * the same and the job is added once. Throws what `publish` throws (audit.failed: then nothing is started), queue.unavailable.
 */
export async function announceRequest({ publish, queue }: AnnounceDeps, request: RestoreRequest): Promise<void> {
  await publish({
    type: 'restore.changed',
    at: request.history.at(-1)?.at ?? request.createdAt,
    operation: request.id,
    cluster: request.cluster,
    request: summaryOf(request),
  });
  if (request.state === 'approved') await startRestore({ queue }, request);
}

/** Queues the job of an approved request; however often, it is one job. Throws queue.unavailable. */
export async function startRestore({ queue }: Pick<AnnounceDeps, 'queue'>, request: RestoreRequest): Promise<void> {
  const { id, cluster } = request;
  await queue.add({ kind: 'restore', id: startJobId(request), cluster, request: id }, { attempts: ATTEMPTS });
}
