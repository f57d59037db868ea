/** Owns what happens when a person asks for a snapshot to be read again: one job, one announcement. */
import { clickedVerifyId, requestedVerifyId, type VerifyJob } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import type { CommandDeps } from './deps.ts';
import { requirePermission } from './deps.ts';
import type { WantedSnapshot } from './hold-words.ts';
import { knownSnapshot } from './known-snapshot.ts';
import { askQueue } from './running.ts';

export interface VerifyRequest extends WantedSnapshot {
  /** Where the person asked; they are told there. */
  readonly channel: string;
  /** By a button, which may be clicked twice. */
  readonly isClicked?: boolean;
}

export interface VerifyAnswer {
  readonly cluster: string;
  readonly snapshot: string;
  readonly operation: string;
  /** The same button was clicked within this minute; nothing was added. */
  readonly isKnown: boolean;
}

type Deps = Pick<
  CommandDeps,
  'clusters' | 'people' | 'command' | 'catalogue' | 'queue' | 'publish' | 'clock' | 'log' | 'nonce'
>;

/** A worker that dies is followed by another, some times. */
const ATTEMPTS = 3;

/** Throws permission.denied, cluster.unknown, snapshot.unknown, command.invalid, queue.unavailable. */
export async function requestVerify(deps: Deps, actor: Person, request: VerifyRequest): Promise<VerifyAnswer> {
  requirePermission(deps, actor, 'verify');
  const { cluster, id: snapshot } = (await knownSnapshot(deps, request)).entry;
  const askedAt = deps.clock.now();
  const job: VerifyJob = {
    kind: 'verify',
    id:
      request.isClicked === true
        ? clickedVerifyId(cluster, snapshot, askedAt)
        : requestedVerifyId(cluster, askedAt, deps.nonce()),
    cluster,
    snapshot,
    origin: { channel: request.channel, user: actor.id },
    askedAt: askedAt.toISOString(),
  };
  const isKnown = (await askQueue(deps.clock, deps.queue.add(job, { attempts: ATTEMPTS }))) === 'known';
  if (!isKnown) await announceQueued(deps, job);
  return { cluster, snapshot, operation: job.id, isKnown };
}

/** The job is in the queue already; its next event carries all that this one says, so a failure here is only logged. */
async function announceQueued(deps: Deps, { id: operation, cluster, snapshot, origin, askedAt: at }: VerifyJob) {
  try {
    await deps.publish({ type: 'verify.queued', at, operation, cluster, snapshot, origin });
  } catch (error) {
    deps.log.warn({ operation, err: error }, 'The queued verification could not be announced');
  }
}
