/** Owns how a command or a job changes a restore request: read, decide, compare-and-set, again when another was faster. */
import type { Problem } from '../domain/error.ts';
import { groupsAmong } from '../domain/permission.ts';
import type { Person } from '../domain/permission.ts';
import { isOverdue } from '../domain/restore-request.ts';
import { expire } from '../domain/restore-review.ts';
import type { Outcome, RestoreRequest } from '../domain/restore-request.ts';
import type { Clock, Log, PeopleDirectory, RestoreRequests } from '../ports.ts';

export interface ChangeDeps {
  readonly requests: Pick<RestoreRequests, 'read' | 'compareAndSet' | 'markTold'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
  /**
   * Tells that a request changed; the last entry of its history says how. The change is kept already: what fails here
   * stays untold in `requests`, and is told later.
   */
  readonly announce: (request: RestoreRequest) => Promise<void>;
}

export type ChangeAnswer =
  | { readonly kind: 'changed'; readonly request: RestoreRequest }
  /** Nothing changed but, maybe, that its time was found to be up. The request as it stands; undefined: there is none. */
  | { readonly kind: 'refused'; readonly problem: Problem; readonly request: RestoreRequest | undefined };

/** Each failed attempt means that another's change was kept; so many in a row can't be chance. */
const ATTEMPTS = 20;

/**
 * `decide` may be called several times, each time with a newer version, and must be safe to repeat. Throws what it
 * throws, and queue.unavailable.
 */
export async function changeRequest(
  deps: ChangeDeps,
  id: string,
  decide: (request: RestoreRequest, now: Date) => Promise<Outcome>,
): Promise<ChangeAnswer> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const request = await deps.requests.read(id);
    if (request === undefined) return unknown(id);
    const now = deps.clock.now();
    const overdue = isOverdue(request, now);
    const outcome = await decide(request, now);
    if (outcome.kind === 'refused' && !overdue) return refusal(outcome, request);
    const next = overdue ? expire(request, now) : outcome;
    if (next.kind === 'refused') return refusal(next, request);
    if (!(await deps.requests.compareAndSet(next.request))) continue;
    await tell(deps, next.request);
    if (outcome.kind === 'refused') return refusal(outcome, next.request);
    return { kind: 'changed', request: next.request };
  }
  return refusal(
    {
      code: 'request.contended',
      message: 'Others changed this request at the same time, again and again.',
      hint: 'Try again.',
    },
    await deps.requests.read(id),
  );
}

/** A person as the directory knows them this very moment, in the groups that count for this request and in `more`. */
export async function freshPerson(
  directory: PeopleDirectory,
  user: string,
  request: RestoreRequest | undefined,
  more: readonly string[] = [],
): Promise<Person> {
  return directory.person(user, groupsAmong([...(request?.groups ?? []), ...more]), true);
}

/** The change is kept; that telling it failed must not make it look as if it were not. Never throws. */
export async function tell(
  deps: Pick<ChangeDeps, 'announce' | 'log'> & { readonly requests: Pick<RestoreRequests, 'markTold'> },
  request: RestoreRequest,
): Promise<void> {
  try {
    await deps.announce(request);
    await deps.requests.markTold(request);
  } catch (error) {
    deps.log.error(
      { err: error, request: request.id, version: request.version },
      'A changed request could not be announced',
    );
  }
}

/** The problem alone, of whatever else is one too. */
export function problemOf({ code, message, hint }: Problem): Problem {
  return { code, message, hint };
}

function refusal(problem: Problem, request: RestoreRequest | undefined): ChangeAnswer {
  return { kind: 'refused', problem: problemOf(problem), request };
}

function unknown(id: string): ChangeAnswer {
  return refusal(
    {
      code: 'request.unknown',
      message: `There is no restore request ${id} (any more).`,
      hint: 'Requests are kept for 400 days. Ask for the restore again if it is still wanted.',
    },
    undefined,
  );
}
