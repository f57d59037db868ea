/** Owns what time does to restore requests: silence ends them, and one that has its approvals is started, whatever died. */
import { isOverdue } from '../domain/restore-request.ts';
import { expire } from '../domain/restore-review.ts';
import type { RequestState, RestoreRequest } from '../domain/restore-request.ts';
import type { Clock, Log, RestoreRequests } from '../ports.ts';

export interface WatchRequestsDeps {
  readonly requests: Pick<RestoreRequests, 'open' | 'compareAndSet' | 'untold' | 'markTold'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /** Tells the newest change of a request, and those before it that were not told; twice must be as once. */
  readonly announce: (request: RestoreRequest) => Promise<void>;
  /** Adds the job `startJobId(request)`; called again and again until the restore has ended, so it must add once. */
  readonly startRestore: (request: RestoreRequest) => Promise<void>;
}

/** One look at all open requests; every replica may look, as often as it likes. Throws queue.unavailable. */
export async function watchRequests(deps: WatchRequestsDeps): Promise<void> {
  await each(deps, await deps.requests.open(), (request) => lookAt(deps, request));
  await each(deps, await deps.requests.untold(), async (request) => {
    await deps.announce(request);
    await deps.requests.markTold(request);
  });
}

/** Trouble with one request does not keep the others waiting. */
async function each(
  deps: WatchRequestsDeps,
  requests: readonly RestoreRequest[],
  look: (request: RestoreRequest) => Promise<void>,
): Promise<void> {
  for (const request of requests) {
    try {
      await look(request);
    } catch (error) {
      deps.log.error(
        { err: error, request: request.id },
        'A restore request could not be looked after; it is tried again',
      );
    }
  }
}

/** Also those that run: Redis may have lost the job that carries them out, and none may stay half done. */
const STARTED_BY_A_JOB: ReadonlySet<RequestState> = new Set(['approved', 'running', 'rolling-back']);

async function lookAt(deps: WatchRequestsDeps, request: RestoreRequest): Promise<void> {
  const now = deps.clock.now();
  if (isOverdue(request, now)) {
    const outcome = expire(request, now);
    // It is told with all that is untold. Nothing to do when another was faster.
    if (outcome.kind === 'ok') await deps.requests.compareAndSet(outcome.request);
  } else if (STARTED_BY_A_JOB.has(request.state)) {
    await deps.startRestore(request);
  }
}
