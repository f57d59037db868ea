/** Owns what execution makes of a request: begun on the approved plan by those who may still approve, stopped, ended. */
import type { ErrorCode } from './error.ts';
import type { Person } from './permission.ts';
import { planDigest } from './plan.ts';
import type { Plan } from './plan.ts';
import { planDifference } from './plan-difference.ts';
import type { PlanChange } from './plan-difference.ts';
import {
  approvals,
  EXPIRED,
  isAskedBy,
  isOverdue,
  next,
  refusalNow,
  refused,
  VOID,
  whyNotCounted,
} from './restore-request.ts';
import type {
  Decision,
  Outcome,
  Refused,
  RequestAction,
  RequestState,
  RestoreRequest,
  Review,
  Words,
} from './restore-request.ts';
import { expire } from './restore-review.ts';

export type Start =
  | { readonly kind: 'ok'; readonly request: RestoreRequest }
  /** Not started, and the request changed: it is void, expired, or waits for reviews again. */
  | { readonly kind: 'changed'; readonly request: RestoreRequest; readonly refusal: Refused }
  | Refused;

/**
 * The last question before the first step. `plan` was made again from the live cluster; `people` are those who
 * approved, asked of the directory just now. Whoever is missing there does not count.
 */
export function start(
  request: RestoreRequest,
  { plan, people, now }: { readonly plan: Plan; readonly people: readonly Person[]; readonly now: Date },
): Start {
  if (isOverdue(request, now)) return changedTo(expire(request, now), 'request.expired', EXPIRED);
  const notNow = refusalNow(request, 'start', now);
  if (notNow !== undefined) return notNow;
  if (planDigest(request.plan) !== request.digest || planDigest(plan) !== request.digest) {
    const voided = voidRequest(request, { difference: planDifference(request.plan, plan), now });
    return changedTo(voided, 'request.void', VOID);
  }
  const standing = approvals(request).filter(({ reviewer }) =>
    people.some((person) => person.id === reviewer && whyNotCounted(request, person) === undefined),
  );
  if (standing.length < request.threshold)
    return changedTo(lapse(request, standing, now), 'review.not-counted', LAPSED);
  return next(request, 'start', { now, by: undefined }, { state: 'running', startedAt: now.toISOString() });
}

/** The plan no longer fits the cluster: new approvals are wanted, for a new request. */
export function voidRequest(
  request: RestoreRequest,
  { difference, now }: { readonly difference: readonly PlanChange[]; readonly now: Date },
): Outcome {
  const notNow = refusalNow(request, 'void', now);
  if (notNow !== undefined) return notNow;
  const done = next(request, 'void', { now, by: undefined, reason: VOID[0] }, { state: 'void' });
  const { ended } = done.request;
  return ended === undefined ? done : { kind: 'ok', request: { ...done.request, ended: { ...ended, difference } } };
}

/** Approvals of people who may not approve any more are dropped; with time left, others may still approve. */
function lapse(request: RestoreRequest, standing: readonly Review[], now: Date): Outcome {
  const gone = request.reviews.filter((known) => !standing.includes(known)).map(({ reviewer }) => reviewer);
  const reason = `approvals that do not count any more: ${gone.join(', ')}`;
  const by = { now, by: undefined, reason };
  const isLate = now >= new Date(request.expiresAt);
  return isLate
    ? next(request, 'expire', by, { state: 'expired', reviews: [...standing] })
    : next(request, 'lapse', by, { state: 'pending', reviews: [...standing], approvedAt: undefined });
}

/** Asks the runner to give up while that is safe. `permitted`: may also cancel the restores of others. */
export function cancel(
  request: RestoreRequest,
  { person, permitted, now }: { readonly person: Person; readonly permitted: boolean; readonly now: Date },
): Outcome {
  const notNow = refusalNow(request, 'cancel', now) ?? notTheirs(request, person, permitted, 'stop');
  if (notNow !== undefined) return notNow;
  if (request.cancel !== undefined) {
    return refused('review.already', 'Stopping was asked for already.', 'Wait: its message says how it ends.');
  }
  const asked = { by: person.id, at: now.toISOString() };
  return next(request, 'cancel', { now, by: person.id }, { cancel: asked });
}

/** The runner can't go on by itself: `reason` says why, and what each of `options` would do. */
export function wait(
  request: RestoreRequest,
  { reason, options, now }: { readonly reason: string; readonly options: readonly Decision[]; readonly now: Date },
): Outcome {
  const notNow = refusalNow(request, 'wait', now);
  if (notNow !== undefined) return notNow;
  const waiting = { since: now.toISOString(), reason, options };
  return next(request, 'wait', { now, by: undefined, reason }, { waiting, decision: undefined });
}

/** Somebody's answer to a restore that waits. `permitted`: may also decide on the restores of others. */
export function decide(
  request: RestoreRequest,
  { person, permitted, what, now }: { person: Person; permitted: boolean; what: Decision; now: Date },
): Outcome {
  const notNow = refusalNow(request, 'decide', now) ?? notTheirs(request, person, permitted, 'decide on');
  if (notNow !== undefined) return notNow;
  if (request.waiting?.options.includes(what) !== true) {
    return refused(
      'request.not-now',
      'This restore does not wait for that.',
      'Look at its message: it says how it goes.',
    );
  }
  const decision = { by: person.id, at: now.toISOString(), what };
  return next(request, 'decide', { now, by: person.id, reason: what }, { waiting: undefined, decision });
}

/** Requester, approvers and operators have a say in a running restore. */
function notTheirs(request: RestoreRequest, person: Person, permitted: boolean, verb: string): Refused | undefined {
  if (isAskedBy(request, person) || permitted || whyNotCounted(request, person) === undefined) return undefined;
  return refused(
    'permission.denied',
    `Only the requester, an approver or an operator can ${verb} this restore.`,
    'Ask one of them.',
  );
}

export type Progress = Extract<RequestAction, 'roll-back' | 'succeed' | 'end-rolled-back' | 'fail'>;

const STATE_AFTER: Readonly<Record<Progress, RequestState>> = {
  'roll-back': 'rolling-back',
  succeed: 'succeeded',
  'end-rolled-back': 'rolled-back',
  fail: 'failed',
};

/** What the runner reports. `reason` is told to people: why it rolled back or failed. */
export function progress(request: RestoreRequest, action: Progress, now: Date, reason?: string): Outcome {
  const notNow = refusalNow(request, action, now);
  if (notNow !== undefined) return notNow;
  return next(
    request,
    action,
    { now, by: undefined, ...(reason === undefined ? {} : { reason }) },
    { state: STATE_AFTER[action], waiting: undefined },
  );
}

const LAPSED: Words = [
  'Not enough of those who approved may still approve.',
  'Have someone else approve before the request expires.',
];

function changedTo(outcome: Outcome, code: ErrorCode, words: Words): Start {
  if (outcome.kind === 'refused') return outcome;
  return { kind: 'changed', request: outcome.request, refusal: refused(code, ...words) };
}
