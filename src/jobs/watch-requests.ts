/** Owns what time does to restore requests: silence ends them, and one that has its approvals is started, whatever died. */
import { expire, isOverdue } from '../domain/restore-request.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import type { Clock, Log, RestoreRequests } from '../ports.ts';

export interface WatchRequestsDeps {
  readonly requests: Pick<RestoreRequests, 'open' | 'compareAndSet'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  readonly announce: (request: RestoreRequest) => Promise<void>;
  /** Adds the job `startJobId(request)`; called again and again while the request is approved, so it must add once. */
  readonly startRestore: (request: RestoreRequest) => Promise<void>;
}

/** One look at all open requests; every replica may look, as often as it likes. Throws queue.unavailable. */
export async function watchRequests(deps: WatchRequestsDeps): Promise<void> {
  for (const request of await deps.requests.open()) {
    try {
      await lookAt(deps, request);
    } catch (error) {
      deps.log.error({ request: request.id, error }, 'A restore request could not be looked after; it is tried again');
    }
  }
}

async function lookAt(deps: WatchRequestsDeps, request: RestoreRequest): Promise<void> {
  const now = deps.clock.now();
  if (isOverdue(request, now)) {
    const outcome = expire(request, now);
    // Another was faster: then it has told it.
    if (outcome.kind === 'ok' && (await deps.requests.compareAndSet(outcome.request))) {
      await deps.announce(outcome.request);
    }
  } else if (request.state === 'approved') {
    await deps.startRestore(request);
  }
}
