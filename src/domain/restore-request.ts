/**
 * Owns the restore request: its states, what is allowed when, whose approvals stand, and when it ends by itself. Every
 * change is a pure function from one version to the next; the store keeps it only when nobody was faster.
 */
import type { ErrorCode, Problem } from './error.ts';
import type { Origin } from './job.ts';
import type { Person } from './permission.ts';
import type { Plan } from './plan.ts';
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
  | 'wait'
  | 'decide'
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
  wait: ['running', 'rolling-back'],
  decide: ['running', 'rolling-back'],
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

/** It has its approvals and needs the cluster for itself: whatever else runs there lets it by. */
export function wantsCluster(state: RequestState): boolean {
  return isOpen(state) && state !== 'pending';
}

/** What people can say to a restore that waits for them. 'give-up': it ends as failed, and people go on by hand. */
export type Decision = 'retry' | 'roll-back' | 'give-up';

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
  /** The restore does nothing until somebody says one of `options`. */
  readonly waiting:
    { readonly since: string; readonly reason: string; readonly options: readonly Decision[] } | undefined;
  /** The newest answer to `waiting`, which it ended. */
  readonly decision: { readonly by: string; readonly at: string; readonly what: Decision } | undefined;
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

/** Characters of a reason. */
export const LONGEST_REASON = 1000;

// ── What is allowed now ──────────────────────────────────────────────────────────────────────────────────────────────

/** When it ends by itself: a pending one as frozen, an approved one when it has not begun for as long again. */
export function deadlineOf(
  request: Pick<RestoreRequest, 'state' | 'createdAt' | 'expiresAt' | 'approvedAt'>,
): Date | undefined {
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
export function approvals(request: Pick<RestoreRequest, 'reviews' | 'digest' | 'stepUp'>): readonly Review[] {
  return request.reviews.filter(
    (review) =>
      review.verdict === 'approve' &&
      review.digest === request.digest &&
      (request.stepUp === 'none' || review.codeProved),
  );
}

/** `r20261121-130501-3fa9c1`: it names folders on nodes, and people read it to each other. `nonce`: hexadecimal digits. */
export function requestId(askedAt: Date, nonce: string): string {
  const [day = '', time = ''] = askedAt.toISOString().split(/[T.]/);
  return `r${day.replaceAll('-', '')}-${time.replaceAll(':', '')}-${nonce}`;
}

/** Id of the job that starts an approved request: the same however often it is added, new after a new approval. */
export function startJobId(request: RestoreRequest): string {
  return `restore-${request.id}-${request.round}`;
}

// ── Words and small parts ────────────────────────────────────────────────────────────────────────────────────────────

export type Words = readonly [message: string, hint: string];

export const EXPIRED: Words = ['This request has expired.', 'Ask for the restore again.'];
export const VOID: Words = [
  'The plan no longer fits the cluster, so its approvals do not count.',
  'Look at what changed, and ask for the restore again.',
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

/** Why `action` is not allowed now; undefined when it is. */
export function refusalNow(request: RestoreRequest, action: RequestAction, now: Date): Refused | undefined {
  if (!ALLOWED[action].includes(request.state)) {
    return refused(CODE_BY_STATE[request.state] ?? 'request.not-now', ...NOT_NOW[request.state]);
  }
  return isAllowed(request, action, now) ? undefined : refused('request.expired', ...EXPIRED);
}

export function refused(code: ErrorCode, message: string, hint: string): Refused {
  return { kind: 'refused', code, message, hint };
}

/** The requester, or the person it was asked for. */
export function isAskedBy(request: RestoreRequest, person: Person): boolean {
  return person.id === request.requester.id || person.id === request.onBehalfOf;
}

/** The one place where a version follows another. */
export function next(
  request: RestoreRequest,
  action: HistoryEntry['action'],
  { now, by, reason }: { readonly now: Date; readonly by: string | undefined; readonly reason?: string },
  change: Partial<
    Pick<RestoreRequest, 'state' | 'reviews' | 'approvedAt' | 'round' | 'startedAt' | 'cancel' | 'waiting' | 'decision'>
  >,
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
