/** Owns what people say of a restore request: approve, deny, take back, withdraw, stop, decide. Who they are is asked anew. */
import type { Problem } from '../domain/error.ts';
import { may } from '../domain/permission.ts';
import type { Person, RoleHolders } from '../domain/permission.ts';
import { cancel, decide } from '../domain/restore-execution.ts';
import { review, withdraw } from '../domain/restore-review.ts';
import type { Decision, Outcome, RestoreRequest } from '../domain/restore-request.ts';
import type { ReviewClick } from '../domain/restore-review.ts';
import type { PeopleDirectory } from '../ports.ts';
import { changeRequest, freshPerson } from '../restore/change-request.ts';
import type { ChangeAnswer, ChangeDeps } from '../restore/change-request.ts';
import { spendCode } from './step-up.ts';
import type { StepUpDeps } from './step-up.ts';

export interface ReviewDeps extends ChangeDeps, StepUpDeps {
  readonly directory: PeopleDirectory;
  /** Of the configuration now: who may withdraw, stop and decide on the restores of others. */
  readonly people: RoleHolders;
}

/** A click as Slack signed it. `user` is who clicked; the rest is what the button carried, and proves nothing. */
export interface RequestClick {
  readonly request: string;
  readonly digest: string;
  readonly user: string;
}

/**
 * `code`: from the authenticator, where the request wants one; it is used up only by an approval that counts otherwise.
 * Answered with a refusal as `review` in the domain and `spendCode` say; throws slack.refused, queue.unavailable.
 */
export function approveRestore(
  deps: ReviewDeps,
  click: RequestClick & { readonly code?: string | undefined },
): Promise<ChangeAnswer> {
  let spent: Promise<Problem | undefined> | undefined;
  return reviewOnce(deps, click, async (request, facts) => {
    const code = request.stepUp === 'totp' ? click.code : undefined;
    const would = review(request, { ...facts, verdict: 'approve', codeProved: code !== undefined });
    if (would.kind === 'refused' || code === undefined) return would;
    // Spent once, though another review may come between and this be decided again.
    const problem = await (spent ??= spendCode(deps, click.user, code));
    return problem === undefined ? would : { ...problem, kind: 'refused' };
  });
}

/** Ends the request; `reason` is told to the requester and all reviewers. */
export function denyRestore(
  deps: ReviewDeps,
  click: RequestClick & { readonly reason: string },
): Promise<ChangeAnswer> {
  return reviewOnce(deps, click, async (request, facts) =>
    review(request, { ...facts, verdict: 'deny', reason: click.reason }),
  );
}

/** Until execution starts. */
export function takeBackApproval(deps: ReviewDeps, click: RequestClick): Promise<ChangeAnswer> {
  return reviewOnce(deps, click, async (request, facts) => review(request, { ...facts, verdict: 'take-back' }));
}

/** By the requester, the person it was asked for, or an operator, until execution starts. */
export function withdrawRestore(deps: ReviewDeps, click: Omit<RequestClick, 'digest'>): Promise<ChangeAnswer> {
  return ruling(deps, click, 'withdraw', withdraw);
}

/** Asks the runner of a restore to give up while that is safe; by requester, approver or operator. */
export function cancelRestore(deps: ReviewDeps, click: Omit<RequestClick, 'digest'>): Promise<ChangeAnswer> {
  return ruling(deps, click, 'cancel', cancel);
}

/** Answers a restore that waits for people; by requester, approver or operator. */
export function decideRestore(
  deps: ReviewDeps,
  { what, ...click }: Omit<RequestClick, 'digest'> & { readonly what: Decision },
): Promise<ChangeAnswer> {
  return ruling(deps, click, 'decide', (request, facts) => decide(request, { ...facts, what }));
}

type Facts = Pick<ReviewClick, 'reviewer' | 'digest' | 'now'>;

async function reviewOnce(
  deps: ReviewDeps,
  click: RequestClick,
  decide: (request: RestoreRequest, facts: Facts) => Promise<Outcome>,
): Promise<ChangeAnswer> {
  const personIn = askedOnce((request) => freshPerson(deps.directory, click.user, request));
  return changeRequest(deps, click.request, async (request, now) =>
    decide(request, { reviewer: await personIn(request), digest: click.digest, now }),
  );
}

function ruling(
  deps: ReviewDeps,
  click: Omit<RequestClick, 'digest'>,
  action: 'withdraw' | 'cancel' | 'decide',
  decide: typeof withdraw,
): Promise<ChangeAnswer> {
  const personIn = askedOnce((request) => freshPerson(deps.directory, click.user, request, deps.people.operate));
  return changeRequest(deps, click.request, async (request, now) => {
    const person = await personIn(request);
    return decide(request, { person, permitted: may(person, action, deps.people), now });
  });
}

/** A click is one moment: its person is asked for once, however often the request changes meanwhile. */
function askedOnce(ask: (request: RestoreRequest) => Promise<Person>): (request: RestoreRequest) => Promise<Person> {
  let asked: Promise<Person> | undefined;
  return (request) => (asked ??= ask(request));
}
