/** Owns the last look before a restore's first step: the same plan, and people who may still approve it. */
import type { Problem } from '../domain/error.ts';
import type { Plan } from '../domain/plan.ts';
import { start, type Start } from '../domain/restore-execution.ts';
import { approvals } from '../domain/restore-request.ts';
import type { Outcome, RestoreRequest } from '../domain/restore-request.ts';
import type { PeopleDirectory } from '../ports.ts';
import { changeRequest, freshPerson, problemOf, type ChangeDeps } from '../restore/change-request.ts';

export interface BeginDeps extends ChangeDeps {
  readonly directory: PeopleDirectory;
}

export type Begun =
  | { readonly kind: 'begun'; readonly request: RestoreRequest }
  /** Nothing may be run. `request` as it stands; undefined: there is none. */
  | { readonly kind: 'refused'; readonly problem: Problem; readonly request: RestoreRequest | undefined };

/**
 * Turns an approved request into a running one, once among all replicas. `plan` was made again from the live cluster
 * while the cluster's lease is held. Throws slack.refused, queue.unavailable: the request then is as it was.
 */
export async function beginRestore(deps: BeginDeps, id: string, plan: Plan): Promise<Begun> {
  let started: Start | undefined;
  const answer = await changeRequest(deps, id, async (request, now): Promise<Outcome> => {
    const people = await Promise.all(
      approvals(request).map(({ reviewer }) => freshPerson(deps.directory, reviewer, request)),
    );
    started = start(request, { plan, people, now });
    return started.kind === 'changed' ? { kind: 'ok', request: started.request } : started;
  });
  if (answer.kind === 'refused') return answer;
  const { request } = answer;
  return started?.kind === 'changed'
    ? { kind: 'refused', problem: problemOf(started.refusal), request }
    : { kind: 'begun', request };
}
