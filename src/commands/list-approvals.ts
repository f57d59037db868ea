/** Owns the answer to: which restores wait for somebody's word, and for whose? */
import { KeyturnError } from '../domain/error.ts';
import { groupsAmong, may } from '../domain/permission.ts';
import type { Person, RoleHolders } from '../domain/permission.ts';
import { approvals, deadlineOf, isAllowed, isOverdue, whyNotCounted } from '../domain/restore-request.ts';
import type { RequestAction, RestoreRequest } from '../domain/restore-request.ts';
import type { Clock, PeopleDirectory, RestoreRequests } from '../ports.ts';

export interface ApprovalsDeps {
  readonly requests: Pick<RestoreRequests, 'open'>;
  readonly directory: PeopleDirectory;
  /** Of the configuration now: who may withdraw and stop the restores of others. */
  readonly people: RoleHolders;
  readonly clock: Pick<Clock, 'now'>;
}

export interface WaitingRequest {
  readonly request: RestoreRequest;
  /** How many approvals stand, of `request.threshold`. */
  readonly approvals: number;
  /** When it ends by itself; undefined while it runs. */
  readonly endsAt: Date | undefined;
  /** Where this person stands: asked to look, has approved, asked for it, or has no say (then why). */
  readonly you: 'review' | 'approved' | 'asked' | { readonly noSay: string };
  /** What this person can do with it now, for buttons. */
  readonly can: readonly Extract<RequestAction, 'approve' | 'deny' | 'take-back' | 'withdraw' | 'cancel'>[];
}

export interface ApprovalsReport {
  /** Those that wait for this person first, then by age. */
  readonly waiting: readonly WaitingRequest[];
}

/** Throws permission.denied for bots, guests and deactivated users; slack.refused, queue.unavailable. */
export async function listApprovals(deps: ApprovalsDeps, user: string): Promise<ApprovalsReport> {
  const now = deps.clock.now();
  const open = (await deps.requests.open()).filter((request) => !isOverdue(request, now));
  const groups = [...open.flatMap((request) => request.groups), ...deps.people.operate];
  const person = await deps.directory.person(user, groupsAmong(groups), true);
  if (person.isBot || person.isGuest || person.isDeactivated) {
    throw new KeyturnError('permission.denied', 'Requests are shown to full members of the workspace only.', {
      hint: 'Ask a full member of the workspace to look.',
    });
  }
  const waiting = open.map((request) => seenBy(deps, request, person));
  const first = waiting.filter(({ can }) => can.includes('approve'));
  return { waiting: [...first, ...waiting.filter((entry) => !first.includes(entry))] };
}

const WISHES: Readonly<Record<'review' | 'approved' | 'asked' | 'no-say' | 'operator', WaitingRequest['can']>> = {
  review: ['approve', 'deny', 'cancel'],
  approved: ['take-back', 'deny', 'cancel'],
  asked: ['withdraw', 'cancel'],
  'no-say': [],
  operator: ['withdraw', 'cancel'],
};

function seenBy(deps: ApprovalsDeps, request: RestoreRequest, person: Person): WaitingRequest {
  const you = standingOf(request, person);
  const wishes = new Set([
    ...WISHES[typeof you === 'string' ? you : 'no-say'],
    ...(may(person, 'withdraw', deps.people) ? WISHES.operator : []),
  ]);
  return {
    request,
    approvals: approvals(request).length,
    endsAt: deadlineOf(request),
    you,
    can: [...wishes].filter((action) => isAllowed(request, action, deps.clock.now())),
  };
}

function standingOf(request: RestoreRequest, person: Person): WaitingRequest['you'] {
  if (person.id === request.requester.id || person.id === request.onBehalfOf) return 'asked';
  if (approvals(request).some(({ reviewer }) => reviewer === person.id)) return 'approved';
  const why = whyNotCounted(request, person);
  return why === undefined ? 'review' : { noSay: why };
}
