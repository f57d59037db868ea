/** Owns what happens when a person asks for a backup: one job, one announcement, or the word on what runs already. */
import type { KeyturnEvent } from '../domain/event.ts';
import { requestedBackupId, retriedBackupId } from '../domain/job.ts';
import type { BackupJob, Origin } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, requirePermission } from './deps.ts';
import { askQueue, whatRuns } from './running.ts';
import type { Running } from './running.ts';

export interface BackupRequest {
  readonly cluster: string;
  /** Where the person asked; they are told there. */
  readonly channel: string;
  /** The failed operation that is to be tried again, when a button asked: however often it is clicked, it is one job. */
  readonly retryOf?: string;
}

export type BackupAnswer =
  | { readonly kind: 'queued'; readonly cluster: string; readonly operation: string }
  /** Refused: one operation a cluster at a time. */
  | { readonly kind: 'busy'; readonly cluster: string; readonly running: Running }
  /** The same button was clicked before; nothing was added. */
  | { readonly kind: 'known'; readonly cluster: string; readonly operation: string };

type Deps = Pick<
  CommandDeps,
  'clusters' | 'people' | 'command' | 'queue' | 'lease' | 'publish' | 'clock' | 'log' | 'nonce'
>;

/** Throws permission.denied, cluster.unknown, queue.unavailable. */
export async function requestBackup(deps: Deps, actor: Person, request: BackupRequest): Promise<BackupAnswer> {
  requirePermission(deps, actor, 'backup');
  const spec = findCluster(deps, request.cluster);
  const job = backupJob(deps, actor, request);
  const running = await whatRuns(deps, spec.name);
  if (running?.operation === job.id) return { kind: 'known', cluster: spec.name, operation: job.id };
  // Retention is soon over, and a backup waits for it.
  if (running !== undefined && running.what !== 'retention') return { kind: 'busy', cluster: spec.name, running };
  const added = await askQueue(deps.clock, deps.queue.add(job, { attempts: spec.backup.attempts }));
  if (added === 'known') return { kind: 'known', cluster: spec.name, operation: job.id };
  await announceQueued(deps, job);
  return { kind: 'queued', cluster: spec.name, operation: job.id };
}

function backupJob(deps: Deps, actor: Person, request: BackupRequest): BackupJob {
  const askedAt = deps.clock.now();
  const origin: Origin = { channel: request.channel, user: actor.id };
  return {
    kind: 'backup',
    id:
      request.retryOf === undefined
        ? requestedBackupId(request.cluster, askedAt, deps.nonce())
        : retriedBackupId(request.retryOf),
    cluster: request.cluster,
    trigger: { kind: 'person', user: actor.id },
    origin,
    askedAt: askedAt.toISOString(),
  };
}

/** The job is in the queue already; its next event carries all that this one says, so a failure here is only logged. */
async function announceQueued(deps: Deps, job: BackupJob): Promise<void> {
  const event: KeyturnEvent = {
    type: 'backup.queued',
    at: job.askedAt,
    operation: job.id,
    cluster: job.cluster,
    trigger: job.trigger,
    origin: job.origin,
  };
  try {
    await deps.publish(event);
  } catch (error) {
    deps.log.warn({ operation: job.id, err: error }, 'The queued backup could not be announced');
  }
}
