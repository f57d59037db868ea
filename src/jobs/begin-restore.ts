/** Owns the last look before a restore's first step: the same plan, and people who may still approve it. */
import type { Problem } from '../domain/error.ts';
import type { Plan } from '../domain/plan.ts';
import { start } from '../domain/restore-execution.ts';
import { approvals } from '../domain/restore-request.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import type { Clock, PeopleDirectory, RestoreRequests } from '../ports.ts';

export interface BeginDeps {
  readonly requests: Pick<RestoreRequests, 'read' | 'compareAndSet' | 'markTold'>;
  readonly directory: PeopleDirectory;
  readonly clock: Pick<Clock, 'now'>;
  /** Tells that the request changed; the last entry of its history says how. */
  readonly announce: (request: RestoreRequest) => Promise<void>;
}

export type Begun =
  | { readonly kind: 'begun'; readonly request: RestoreRequest }
  /** Nothing may be run. `request` as it stands; undefined: there is none. */
  | { readonly kind: 'refused'; readonly problem: Problem; readonly request: RestoreRequest | undefined };

/** Each failed attempt means that another's change was kept; so many in a row can't be chance. */
const ATTEMPTS = 20;

/**
 * Turns an approved request into a running one, once among all replicas. `plan` was made again from the live cluster
 * while the cluster's lease is held. Throws slack.refused, queue.unavailable: the request then is as it was, or, when
 * `announce` failed, running: whoever holds the lease goes on with it.
 */
export async function beginRestore(deps: BeginDeps, id: string, plan: Plan): Promise<Begun> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const request = await deps.requests.read(id);
    if (request === undefined) return refused(undefined, `There is no restore request ${id}.`);
    const people = await approversNow(deps.directory, request);
    const outcome = start(request, { plan, people, now: deps.clock.now() });
    if (outcome.kind === 'refused') return { kind: 'refused', problem: problemOf(outcome), request };
    if (!(await deps.requests.compareAndSet(outcome.request))) continue;
    await deps.announce(outcome.request);
    await deps.requests.markTold(outcome.request);
    if (outcome.kind === 'ok') return { kind: 'begun', request: outcome.request };
    return { kind: 'refused', problem: problemOf(outcome.refusal), request: outcome.request };
  }
  return refused(await deps.requests.read(id), `Others changed restore request ${id} again and again.`);
}

/** Those who approved, as the directory knows them this very moment. */
async function approversNow(directory: PeopleDirectory, request: RestoreRequest) {
  const groups = request.groups.filter((group) => group.startsWith('S'));
  return Promise.all(approvals(request).map(({ reviewer }) => directory.person(reviewer, groups, true)));
}

function problemOf({ code, message, hint }: Problem): Problem {
  return { code, message, hint };
}

function refused(request: RestoreRequest | undefined, message: string): Begun {
  const code = request === undefined ? 'request.unknown' : 'request.contended';
  return { kind: 'refused', problem: { code, message, hint: 'Ask for the restore again if it is wanted.' }, request };
}
