/**
 * Owns the restore request: its states, who approved it, what is allowed when, and when it ends by itself. Every change
 * is a pure function from one version to the next; the store keeps it only when nobody was faster.
 */
import type { ErrorCode, Problem } from './error.ts';
import type { Origin } from './job.ts';
import type { Person } from './permission.ts';
import { planDigest } from './plan.ts';
import type { Plan } from './plan.ts';
import { planDifference } from './plan-difference.ts';
import type { PlanChange } from './plan-difference.ts';

export type RequestState =
  | 'pending' // waits for reviews
  | 'approved' // has its approvals; execution has not begun
  | 'running'
  | 'rolling-back'
  | 'succeeded'
  | 'rolled-back' // the old data serve again
  | 'failed' // neither the old nor the new data are known to serve
  | 'denied'
  | 'withdrawn'
  | 'expired'
  | 'void'; // the plan no longer fits the cluster

export type RequestAction =
  | 'approve'
  | 'deny'
  | 'take-back'
  | 'withdraw'
  | 'expire'
  | 'void'
  | 'start'
  | 'cancel'
  | 'roll-back'
  | 'succeed'
  | 'end-rolled-back'
  | 'fail';

/** What is allowed when. Button, command and job all ask this table; a state that is nowhere in it is an end. */
export const ALLOWED: Readonly<Record<RequestAction, readonly RequestState[]>> = {
  approve: ['pending'],
  deny: ['pending', 'approved'],
  'take-back': ['pending', 'approved'],
  withdraw: ['pending', 'approved'],
  expire: ['pending', 'approved'],
  void: ['pending', 'approved'],
  start: ['approved'],
  cancel: ['running'],
  'roll-back': ['running'],
  succeed: ['running'],
  'end-rolled-back': ['running', 'rolling-back'],
  fail: ['running', 'rolling-back'],
};

const OPEN: ReadonlySet<RequestState> = new Set(Object.values(ALLOWED).flat());

/** Something can still become of it; a cluster has one open request at most. */
export function isOpen(state: RequestState): boolean {
  return OPEN.has(state);
}

/** What a cluster's configuration says of approvals; frozen into a request when it is made. */
export interface ApprovalPolicy {
  /** Approvals wanted, at least 1. The requester's own never counts, so 1 means two people. */
  readonly threshold: number;
  /** Slack user group ids (`S…`) and user ids (`U…`, `W…`) whose approval counts. */
  readonly groups: readonly string[];
  readonly expiresMs: number;
  /** 'totp': an approval counts only with a one-time code. */
  readonly stepUp: 'none' | 'totp';
  /** Fewer approvals in an emergency, told to everyone; undefined: there is no such way. */
  readonly breakGlass: { readonly threshold: number } | undefined;
}

/** What a restore loses: everything written since the snapshot. */
export interface DataLossWindow {
  /** ISO time at which the snapshot was taken. */
  readonly snapshotTakenAt: string;
  /** Milliseconds from then until the request. */
  readonly ms: number;
  /** Decimal revision of the live cluster; undefined when no member answered. */
  readonly liveRevision: string | undefined;
}

/** The newest word of one person; a person has one at most, so people are counted, not clicks. */
export interface Review {
  readonly reviewer: string;
  readonly name: string;
  readonly verdict: 'approve' | 'deny';
  /** ISO time. */
  readonly at: string;
  /** Of the plan that the person saw. */
  readonly digest: string;
  /** A one-time code came with it. */
  readonly codeProved: boolean;
  readonly reason: string | undefined;
}

/** One change of a request, oldest first in its history. The audit can be made whole again from it. */
export interface HistoryEntry {
  /** The version that the change made. */
  readonly version: number;
  readonly at: string;
  readonly action: 'open' | 'lapse' | RequestAction;
  readonly state: RequestState;
  /** Slack user id; undefined: Keyturn itself. */
  readonly by: string | undefined;
  readonly reason: string | undefined;
}

export interface RestoreRequest {
  readonly id: string;
  /** Grows by one with each change; compare-and-set goes by it. */
  readonly version: number;
  readonly state: RequestState;
  readonly cluster: string;
  readonly plan: Plan;
  readonly digest: string;
  readonly dataLoss: DataLossWindow;
  readonly reason: string;
  readonly requester: { readonly id: string; readonly name: string };
  /** Slack user id of the person on whose behalf it was asked. */
  readonly onBehalfOf: string | undefined;
  readonly origin: Origin;
  readonly threshold: number;
  readonly groups: readonly string[];
  readonly stepUp: 'none' | 'totp';
  readonly breakGlass: boolean;
  readonly createdAt: string;
  /** ISO time; a pending request ends then. */
  readonly expiresAt: string;
  readonly reviews: readonly Review[];
  readonly approvedAt: string | undefined;
  /** How often it became approved; a part of the job's id, so that a new approval starts a new job. */
  readonly round: number;
  readonly startedAt: string | undefined;
  /** Who asked for the running restore to be given up, while that is safe. */
  readonly cancel: { readonly by: string; readonly at: string } | undefined;
  readonly ended:
    | {
        readonly at: string;
        readonly by: string | undefined;
        readonly reason: string | undefined;
        /** Void only: where the plan differs. */
        readonly difference: readonly PlanChange[];
      }
    | undefined;
  readonly history: readonly HistoryEntry[];
}

export type Refused = Problem & { readonly kind: 'refused' };
export type Outcome = { readonly kind: 'ok'; readonly request: RestoreRequest } | Refused;

/** Someone who approves and takes back for ever would make the request grow for ever. */
const MOST_CHANGES = 200;
const LONGEST_REASON = 1000;

// ── Making one ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Draft {
  /** `plan.request` is the request's id. */
  readonly plan: Plan;
  readonly dataLoss: DataLossWindow;
  readonly reason: string;
  readonly requester: Person;
  readonly onBehalfOf: string | undefined;
  readonly origin: Origin;
  readonly policy: ApprovalPolicy;
  /** Asked for with fewer approvals. */
  readonly breakGlass: boolean;
  /** The cluster of the snapshot, as typed by the requester once more; needed when it is another than the plan's. */
  readonly confirmedSnapshotOf: string | undefined;
  readonly now: Date;
}

/** Version 1 of a request; refused as request.invalid. */
export function openRequest(draft: Draft): Outcome {
  const { plan, policy, requester } = draft;
  const flaw = flawOf(draft);
  if (flaw !== undefined) return refused('request.invalid', ...flaw);
  const at = draft.now.toISOString();
  const request: RestoreRequest = {
    id: plan.request,
    version: 1,
    state: 'pending',
    cluster: plan.cluster,
    plan,
    digest: planDigest(plan),
    dataLoss: draft.dataLoss,
    reason: draft.reason.trim(),
    requester: { id: requester.id, name: requester.name },
    onBehalfOf: draft.onBehalfOf,
    origin: draft.origin,
    threshold: thresholdOf(draft),
    groups: [...policy.groups],
    stepUp: policy.stepUp,
    breakGlass: draft.breakGlass,
    createdAt: at,
    expiresAt: new Date(draft.now.getTime() + policy.expiresMs).toISOString(),
    reviews: [],
    approvedAt: undefined,
    round: 0,
    startedAt: undefined,
    cancel: undefined,
    ended: undefined,
    history: [{ version: 1, at, action: 'open', state: 'pending', by: requester.id, reason: draft.reason.trim() }],
  };
  return { kind: 'ok', request };
}

function thresholdOf({ breakGlass, policy }: Draft): number {
  return breakGlass && policy.breakGlass !== undefined ? policy.breakGlass.threshold : policy.threshold;
}

/** What is wrong with the draft, and what to do. */
function flawOf(draft: Draft): readonly [message: string, hint: string] | undefined {
  const { plan, policy, reason } = draft;
  if (reason.trim() === '') return ['A restore needs a reason.', 'Say why: approvers and auditors read it.'];
  if (reason.length > LONGEST_REASON) return ['The reason is too long.', `Say it in ${LONGEST_REASON} characters.`];
  if (draft.breakGlass && policy.breakGlass === undefined)
    return [
      `Cluster ${plan.cluster} has no break-glass.`,
      'Ask for an ordinary restore, or have break-glass configured for this cluster.',
    ];
  const threshold = thresholdOf(draft);
  if (!Number.isSafeInteger(threshold) || threshold < 1)
    return ['A restore needs at least one approval.', 'Set the number of approvals in the configuration to 1 or more.'];
  if (policy.groups.length === 0)
    return ["Nobody's approval would count.", 'Name approvers in people.approve of the configuration.'];
  if (!(policy.expiresMs > 0)) return ['The request would end at once.', 'Set a longer time for approvals.'];
  if (plan.snapshot.cluster !== plan.cluster && draft.confirmedSnapshotOf !== plan.snapshot.cluster)
    return [
      `The snapshot is one of cluster ${plan.snapshot.cluster}, not of ${plan.cluster}.`,
      `Choose another, or confirm by typing the name ${plan.snapshot.cluster}.`,
    ];
  return undefined;
}

// ── What is allowed now ──────────────────────────────────────────────────────────────────────────────────────────────

/** When it ends by itself: a pending one as frozen, an approved one when it has not begun for as long again. */
export function deadlineOf(request: RestoreRequest): Date | undefined {
  if (request.state === 'pending') return new Date(request.expiresAt);
  if (request.state !== 'approved' || request.approvedAt === undefined) return undefined;
  const lifeMs = Date.parse(request.expiresAt) - Date.parse(request.createdAt);
  return new Date(Date.parse(request.approvedAt) + lifeMs);
}

/** Its time is up, though nobody may have written that down yet. */
export function isOverdue(request: RestoreRequest, now: Date): boolean {
  const deadline = deadlineOf(request);
  return deadline !== undefined && now >= deadline;
}

/** Whether a button is shown and a command goes on; the same question that every change below asks. */
export function isAllowed(request: RestoreRequest, action: RequestAction, now: Date): boolean {
  if (!ALLOWED[action].includes(request.state)) return false;
  return action === 'expire' || !isOverdue(request, now);
}

/** Why a person's review does not count, as the end of "Your review does not count: …"; undefined when it does. */
export function whyNotCounted(request: RestoreRequest, person: Person): string | undefined {
  if (person.id === request.requester.id) return 'you asked for this restore yourself';
  if (person.id === request.onBehalfOf) return 'this restore was asked for on your behalf';
  if (person.isBot) return 'bots have no say';
  if (person.isGuest) return 'guests have no say';
  if (person.isDeactivated) return 'deactivated users have no say';
  const inGroup = request.groups.some((id) => id === person.id || person.groups.includes(id));
  return inGroup ? undefined : 'you are not one of the approvers of this request (any more)';
}

/** The approvals that stand, one a person; eligibility is asked again at execution. */
export function approvals(request: RestoreRequest): readonly Review[] {
  return request.reviews.filter(
    (review) =>
      review.verdict === 'approve' &&
      review.digest === request.digest &&
      (request.stepUp === 'none' || review.codeProved),
  );
}

/** Id of the job that starts an approved request: the same however often it is added, new after a new approval. */
export function startJobId(request: RestoreRequest): string {
  return `restore-${request.id}-${request.round}`;
}

// ── Reviews ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export type Verdict = 'approve' | 'deny' | 'take-back';

export interface ReviewClick {
  /** As the directory knows the person now. */
  readonly reviewer: Person;
  readonly verdict: Verdict;
  /** As the button carried it. */
  readonly digest: string;
  readonly now: Date;
  /** A one-time code was accepted for this very review. */
  readonly codeProved?: boolean;
  /** Needed for a deny. */
  readonly reason?: string;
}

/**
 * Counts one person's review. Refused with request.not-now, request.expired, request.other-plan, review.not-counted,
 * review.already, review.code-needed or request.invalid (a deny without a reason).
 */
export function review(request: RestoreRequest, click: ReviewClick): Outcome {
  const notNow = refusalNow(request, click.verdict, click.now);
  if (notNow !== undefined) return notNow;
  if (click.digest !== request.digest) {
    return refused(
      'request.other-plan',
      'That button belongs to another plan than the one of this request.',
      'Read the plan in the newest message of this request, and use the buttons there.',
    );
  }
  switch (click.verdict) {
    case 'approve':
      return approve(request, click);
    case 'deny':
      return deny(request, click);
    case 'take-back':
      return takeBack(request, click);
  }
}

function approve(request: RestoreRequest, click: ReviewClick): Outcome {
  const { reviewer, now } = click;
  const why = whyNotCounted(request, reviewer);
  if (why !== undefined) return notCounted(why);
  if (approvals(request).some((known) => known.reviewer === reviewer.id)) {
    return refused(
      'review.already',
      'You have approved this already; people are counted, not clicks.',
      'Wait for the others, or take your approval back.',
    );
  }
  if (request.stepUp === 'totp' && click.codeProved !== true) {
    return refused(
      'review.code-needed',
      'An approval for this cluster counts only with a one-time code.',
      'Enter the code that your authenticator shows now.',
    );
  }
  if (request.history.length >= MOST_CHANGES) {
    return refused(
      'request.not-now',
      'This request was changed too often to go on.',
      'Withdraw it and ask for the restore again.',
    );
  }
  const reviews = [...withoutReviewOf(request, reviewer.id), reviewOf(click, 'approve')];
  const enough = approvals({ ...request, reviews }).length >= request.threshold;
  return next(
    request,
    'approve',
    { now, by: reviewer.id },
    {
      reviews,
      ...(enough ? { state: 'approved', approvedAt: now.toISOString(), round: request.round + 1 } : {}),
    },
  );
}

/** One deny ends it. */
function deny(request: RestoreRequest, click: ReviewClick): Outcome {
  const why = whyNotCounted(request, click.reviewer);
  if (why !== undefined) return notCounted(why);
  const reason = click.reason?.trim() ?? '';
  if (reason === '') {
    return refused('request.invalid', 'A deny needs a reason.', 'Say why: the requester and the others are told.');
  }
  return next(
    request,
    'deny',
    { now: click.now, by: click.reviewer.id, reason: reason.slice(0, LONGEST_REASON) },
    {
      state: 'denied',
      reviews: [...withoutReviewOf(request, click.reviewer.id), reviewOf(click, 'deny')],
    },
  );
}

/** Also for someone whose approval would not count any more: less approval is always safe. */
function takeBack(request: RestoreRequest, { reviewer, now }: ReviewClick): Outcome {
  const reviews = withoutReviewOf(request, reviewer.id);
  if (reviews.length === request.reviews.length) {
    return refused(
      'review.already',
      'There is no approval of yours to take back.',
      'Nothing needs doing: your approval does not stand.',
    );
  }
  const enough = approvals({ ...request, reviews }).length >= request.threshold;
  return next(
    request,
    'take-back',
    { now, by: reviewer.id },
    {
      reviews,
      ...(enough ? {} : { state: 'pending', approvedAt: undefined }),
    },
  );
}

// ── Other ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Taken back as a whole, until execution starts. `permitted`: may also withdraw the requests of others. */
export function withdraw(
  request: RestoreRequest,
  { person, permitted, now }: { readonly person: Person; readonly permitted: boolean; readonly now: Date },
): Outcome {
  const notNow = refusalNow(request, 'withdraw', now);
  if (notNow !== undefined) return notNow;
  if (!isAskedBy(request, person) && !permitted) {
    return refused(
      'permission.denied',
      'Only the one who asked for this restore, or an operator, can withdraw it.',
      'An approver can deny it instead.',
    );
  }
  return next(request, 'withdraw', { now, by: person.id }, { state: 'withdrawn' });
}

/** Silence is expiry. Refused with request.not-now before its time. */
export function expire(request: RestoreRequest, now: Date): Outcome {
  const notNow = refusalNow(request, 'expire', now);
  if (notNow !== undefined) return notNow;
  if (!isOverdue(request, now)) {
    return refused('request.not-now', 'The time of this request is not up.', 'Wait until it is.');
  }
  const reason = request.state === 'pending' ? 'too few approvals in time' : 'approved, but not begun in time';
  return next(request, 'expire', { now, by: undefined, reason }, { state: 'expired' });
}

// ── Execution ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
  const notNow = refusalNow(request, 'cancel', now);
  if (notNow !== undefined) return notNow;
  if (!isAskedBy(request, person) && !permitted && whyNotCounted(request, person) !== undefined) {
    return refused(
      'permission.denied',
      'Only the requester, an approver or an operator can stop this restore.',
      'Ask one of them.',
    );
  }
  if (request.cancel !== undefined) {
    return refused('review.already', 'Stopping was asked for already.', 'Wait: its message says how it ends.');
  }
  const asked = { by: person.id, at: now.toISOString() };
  return next(request, 'cancel', { now, by: person.id }, { cancel: asked });
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
    {
      state: STATE_AFTER[action],
    },
  );
}

// ── Words and small parts ────────────────────────────────────────────────────────────────────────────────────────────

type Words = readonly [message: string, hint: string];

const EXPIRED: Words = ['This request has expired.', 'Ask for the restore again.'];
const VOID: Words = [
  'The plan no longer fits the cluster, so its approvals do not count.',
  'Look at what changed, and ask for the restore again.',
];
const LAPSED: Words = [
  'Not enough of those who approved may still approve.',
  'Have someone else approve before the request expires.',
];

/** Why nothing more can be done, by state. */
const NOT_NOW: Readonly<Record<RequestState, Words>> = {
  pending: ['This request still waits for approvals.', 'Wait until it has them.'],
  approved: [
    'This request has all its approvals; the restore is about to start.',
    'Wait: its message says how it goes.',
  ],
  running: ['This restore is running.', 'Wait: its message says how it goes.'],
  'rolling-back': ['This restore is being rolled back.', 'Wait: its message says how it goes.'],
  succeeded: ['This restore is done.', 'Nothing needs doing.'],
  'rolled-back': ['This restore was rolled back.', 'Ask for the restore again if it is still wanted.'],
  failed: ['This restore failed.', 'Read its report first; then ask again if it is still wanted.'],
  denied: ['This request was denied.', 'Talk to whoever denied it; then ask for the restore again.'],
  withdrawn: ['This request was withdrawn.', 'Ask for the restore again if it is still wanted.'],
  expired: EXPIRED,
  void: VOID,
};

const CODE_BY_STATE: Partial<Record<RequestState, ErrorCode>> = { expired: 'request.expired', void: 'request.void' };

function refusalNow(request: RestoreRequest, action: RequestAction, now: Date): Refused | undefined {
  if (!ALLOWED[action].includes(request.state)) {
    return refused(CODE_BY_STATE[request.state] ?? 'request.not-now', ...NOT_NOW[request.state]);
  }
  return isAllowed(request, action, now) ? undefined : refused('request.expired', ...EXPIRED);
}

function refused(code: ErrorCode, message: string, hint: string): Refused {
  return { kind: 'refused', code, message, hint };
}

function notCounted(why: string): Refused {
  return refused('review.not-counted', `Your review does not count: ${why}.`, 'Ask another approver to look at it.');
}

function changedTo(outcome: Outcome, code: ErrorCode, words: Words): Start {
  if (outcome.kind === 'refused') return outcome;
  return { kind: 'changed', request: outcome.request, refusal: refused(code, ...words) };
}

function isAskedBy(request: RestoreRequest, person: Person): boolean {
  return person.id === request.requester.id || person.id === request.onBehalfOf;
}

function withoutReviewOf(request: RestoreRequest, reviewer: string): readonly Review[] {
  return request.reviews.filter((known) => known.reviewer !== reviewer);
}

function reviewOf(click: ReviewClick, verdict: Review['verdict']): Review {
  return {
    reviewer: click.reviewer.id,
    name: click.reviewer.name,
    verdict,
    at: click.now.toISOString(),
    digest: click.digest,
    codeProved: click.codeProved === true,
    reason: click.reason,
  };
}

/** The one place where a version follows another. */
function next(
  request: RestoreRequest,
  action: HistoryEntry['action'],
  { now, by, reason }: { readonly now: Date; readonly by: string | undefined; readonly reason?: string },
  change: Partial<Pick<RestoreRequest, 'state' | 'reviews' | 'approvedAt' | 'round' | 'startedAt' | 'cancel'>>,
): { readonly kind: 'ok'; readonly request: RestoreRequest } {
  const at = now.toISOString();
  const version = request.version + 1;
  const state = change.state ?? request.state;
  const entry: HistoryEntry = { version, at, action, state, by, reason };
  const changed: RestoreRequest = {
    ...request,
    ...change,
    version,
    ended: isOpen(state) ? undefined : { at, by, reason, difference: [] },
    history: [...request.history, entry],
  };
  return { kind: 'ok', request: changed };
}
