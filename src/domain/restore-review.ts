/** Owns what people, or their silence, make of a request before it runs: approved, taken back, denied, withdrawn, expired. */
import type { Person } from './permission.ts';
import {
  approvals,
  isAskedBy,
  isOverdue,
  LONGEST_REASON,
  next,
  refusalNow,
  refused,
  whyNotCounted,
} from './restore-request.ts';
import type { Outcome, Refused, RestoreRequest, Review } from './restore-request.ts';

/** Someone who approves and takes back for ever would make the request grow for ever. */
const MOST_CHANGES = 200;

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

function notCounted(why: string): Refused {
  return refused('review.not-counted', `Your review does not count: ${why}.`, 'Ask another approver to look at it.');
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
