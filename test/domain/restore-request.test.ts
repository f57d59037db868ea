/** What holds for restore requests: whose approval counts, when, for which plan, and how a request ends. */
import { describe, expect, test } from 'vitest';
import { planDigest } from '../../src/domain/plan.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import { cancel, decide, progress, start, voidRequest, wait } from '../../src/domain/restore-execution.ts';
import { ALLOWED, approvals, deadlineOf, isAllowed, isOpen, startJobId } from '../../src/domain/restore-request.ts';
import { expire, review, withdraw } from '../../src/domain/restore-review.ts';
import type { Outcome, RequestAction, RequestState, RestoreRequest, Review } from '../../src/domain/restore-request.ts';
import type { ReviewClick } from '../../src/domain/restore-review.ts';
import type { Person } from '../../src/domain/permission.ts';
import {
  alice,
  APPROVERS,
  bob,
  carol,
  done,
  draft,
  later,
  NOW,
  outsider,
  plan,
  policy,
  request,
  requester,
  somebody,
} from '../support/requests.ts';

const MINUTE = 60_000;

function vote(of: RestoreRequest, reviewer: Person, change: Partial<ReviewClick> = {}): Outcome {
  return review(of, { reviewer, verdict: 'approve', digest: of.digest, now: later(1000), ...change });
}

function approve(of: RestoreRequest, ...reviewers: readonly Person[]): RestoreRequest {
  return reviewers.reduce((so, reviewer) => done(vote(so, reviewer)), of);
}

function begin(of: RestoreRequest, people: readonly Person[] = [alice, bob]): RestoreRequest {
  const begun = start(of, { plan: of.plan, people, now: later(2000) });
  if (begun.kind === 'ok') return begun.request;
  throw new Error(`not begun: ${begun.kind}`);
}

function codeOf(outcome: Outcome): string {
  return outcome.kind === 'ok' ? 'ok' : outcome.code;
}

const approved = approve(request(), alice, bob);
const running = begin(approved);
const SAMPLES: Readonly<Record<RequestState, RestoreRequest>> = {
  pending: request(),
  approved,
  running,
  'rolling-back': done(progress(running, 'roll-back', later(3000), 'a member did not start')),
  succeeded: done(progress(running, 'succeed', later(3000))),
  'rolled-back': done(progress(running, 'end-rolled-back', later(3000))),
  failed: done(progress(running, 'fail', later(3000))),
  denied: done(vote(request(), alice, { verdict: 'deny', reason: 'wrong snapshot' })),
  withdrawn: done(withdraw(request(), { person: requester, permitted: false, now: later(1000) })),
  expired: done(expire(request(), later(30 * MINUTE))),
  void: done(voidRequest(request(), { difference: [], now: later(1000) })),
};

describe('a request that is made', () => {
  test('carries the digest of its plan, and has threshold, groups and expiry of the moment it was made', () => {
    const mutable = [APPROVERS];
    const made = request({ policy: policy({ groups: mutable }) });
    mutable.push('S0LATER');
    expect(made).toMatchObject({ id: 'r1', version: 1, state: 'pending', threshold: 2, groups: [APPROVERS] });
    expect(made.digest).toBe(planDigest(plan()));
    expect(made.expiresAt).toBe(later(30 * MINUTE).toISOString());
  });

  test.each<[string, Parameters<typeof draft>[0]]>([
    ['without a reason', { reason: ' \n' }],
    ['with an endless reason', { reason: 'x'.repeat(1001) }],
    ['with a threshold of none', { policy: policy({ threshold: 0 }) }],
    ['with half a threshold', { policy: policy({ threshold: 1.5 }) }],
    ['with a threshold that is no number', { policy: policy({ threshold: NaN }) }],
    ['with no approvers', { policy: policy({ groups: [] }) }],
    ['with no time', { policy: policy({ expiresMs: 0 }) }],
    ['with break-glass where there is none', { breakGlass: true }],
    ['with a break-glass of no approvals', { breakGlass: true, policy: policy({ breakGlass: { threshold: 0 } }) }],
  ])('is refused %s', (_, change) => {
    const outcome = openRequest(draft(change));
    expect(outcome).toMatchObject({ kind: 'refused', code: 'request.invalid' });
    expect(outcome.kind === 'refused' && outcome.hint).not.toBe('');
  });

  test('with the snapshot of another cluster needs a second confirmation, of that very cluster', () => {
    const foreign = plan({ cluster: 'lab' });
    expect(codeOf(openRequest(draft({ plan: foreign })))).toBe('request.invalid');
    expect(codeOf(openRequest(draft({ plan: foreign, confirmedSnapshotOf: 'lab' })))).toBe('request.invalid');
    expect(codeOf(openRequest(draft({ plan: foreign, confirmedSnapshotOf: 'prod-eu' })))).toBe('ok');
  });

  test('in an emergency wants as few approvals as break-glass says, never none, and says so', () => {
    const glass = policy({ threshold: 3, breakGlass: { threshold: 1 } });
    const made = request({ breakGlass: true, policy: glass });
    expect(made).toMatchObject({ threshold: 1, breakGlass: true });
    expect(request({ policy: glass })).toMatchObject({ threshold: 3, breakGlass: false });
    expect(codeOf(vote(made, requester))).toBe('review.not-counted');
    expect(approve(made, alice).state).toBe('approved');
  });
});

describe('the table of what is allowed when', () => {
  const by: Readonly<Record<RequestAction, (of: RestoreRequest, now: Date) => Outcome>> = {
    approve: (of, now) => vote(of, carol, { now }),
    deny: (of, now) => vote(of, carol, { verdict: 'deny', reason: 'no', now }),
    'take-back': (of, now) => vote(of, alice, { verdict: 'take-back', now }),
    withdraw: (of, now) => withdraw(of, { person: requester, permitted: false, now }),
    expire: (of) => expire(of, later(3_600_000)),
    void: (of, now) => voidRequest(of, { difference: [], now }),
    start: (of, now) => {
      const begun = start(of, { plan: of.plan, people: [alice, bob], now });
      return begun.kind === 'changed' ? begun.refusal : begun;
    },
    cancel: (of, now) => cancel(of, { person: requester, permitted: false, now }),
    wait: (of, now) => wait(of, { reason: 'cp1 is away', options: ['retry'], now }),
    decide: (of, now) => {
      const asked = wait(of, { reason: 'cp1 is away', options: ['retry'], now });
      const waiting = asked.kind === 'ok' ? asked.request : of;
      return decide(waiting, { person: requester, permitted: false, what: 'retry', now });
    },
    'roll-back': (of, now) => progress(of, 'roll-back', now),
    succeed: (of, now) => progress(of, 'succeed', now),
    'end-rolled-back': (of, now) => progress(of, 'end-rolled-back', now),
    fail: (of, now) => progress(of, 'fail', now),
  };
  const cases = Object.values(SAMPLES).flatMap((of) =>
    (Object.keys(by) as RequestAction[]).map((action) => [action, of.state, of] as const),
  );

  test.each(cases)('is what happens: %s while %s', (action, state, of) => {
    // Alice's approval, to be taken back, is there before everything else.
    const sample = action === 'take-back' && state === 'pending' ? approve(of, alice) : of;
    const outcome = by[action](sample, later(4000));
    const allowed = ALLOWED[action].includes(state);
    expect(outcome.kind).toBe(allowed ? 'ok' : 'refused');
    if (action !== 'expire') expect(isAllowed(sample, action, later(4000))).toBe(allowed);
    if (outcome.kind === 'refused') expect([outcome.message, outcome.hint]).not.toContain('');
  });

  test('what has ended stays as it is: no action leads out of it', () => {
    const ends = Object.values(SAMPLES).filter(({ state }) => !isOpen(state));
    expect(ends.map(({ state }) => state).sort()).toEqual(
      ['denied', 'expired', 'failed', 'rolled-back', 'succeeded', 'void', 'withdrawn'].sort(),
    );
    for (const of of ends) for (const act of Object.values(by)) expect(act(of, later(4000)).kind).toBe('refused');
  });
});

describe('a review', () => {
  test('counts: the second person of two makes it approved', () => {
    const one = approve(request(), alice);
    expect(one).toMatchObject({ state: 'pending', version: 2, approvedAt: undefined });
    expect(approve(one, bob)).toMatchObject({ state: 'approved', version: 3, round: 1 });
  });

  test.each<[string, Person]>([
    ['the requester', requester],
    ['the person on whose behalf it was asked', somebody('U0BOSS', { groups: [APPROVERS] })],
    ['an outsider', outsider],
    ['someone of another group', somebody('U0X', { groups: ['S0OTHER'] })],
    ['someone whose id is the group', somebody('U0X', { name: APPROVERS })],
    ['a bot', somebody('U0BOT', { isBot: true, groups: [APPROVERS] })],
    ['a guest', somebody('U0GUEST', { isGuest: true, groups: [APPROVERS] })],
    ['a deactivated user', somebody('U0GONE', { isDeactivated: true, groups: [APPROVERS] })],
  ])('of %s does not count, neither as approval nor as deny', (_, person) => {
    const made = request({ onBehalfOf: 'U0BOSS', policy: policy({ threshold: 1 }) });
    expect(codeOf(vote(made, person))).toBe('review.not-counted');
    expect(codeOf(vote(made, person, { verdict: 'deny', reason: 'no' }))).toBe('review.not-counted');
  });

  test('of someone named by user id counts without a group', () => {
    expect(codeOf(vote(request({ policy: policy({ groups: ['U0OUTSIDE'] }) }), outsider))).toBe('ok');
  });

  test('of the same person counts once: a double click is refused and changes nothing', () => {
    const one = approve(request(), alice);
    expect(codeOf(vote(one, alice))).toBe('review.already');
    expect(codeOf(vote(one, alice, { now: later(1000) }))).toBe('review.already');
    expect(approvals(one)).toHaveLength(1);
  });

  test('with another digest does not count: the button of another plan, or an edited payload', () => {
    const made = request();
    for (const digest of ['', made.digest.toUpperCase(), `${made.digest} `, planDigest(plan({ request: 'r2' }))]) {
      for (const verdict of ['approve', 'deny', 'take-back'] as const) {
        expect(codeOf(vote(made, alice, { digest, verdict, reason: 'r' }))).toBe('request.other-plan');
      }
    }
  });

  test('replayed from another request does not count: every plan has a digest of its own', () => {
    const [first, second] = [request(), request({ plan: plan({ request: 'r2' }) })];
    expect(first.digest).not.toBe(second.digest);
    expect(codeOf(vote(second, alice, { digest: first.digest }))).toBe('request.other-plan');
  });

  test('counts until the last millisecond before expiry, and not after, though nobody wrote the expiry down', () => {
    const made = request();
    expect(codeOf(vote(made, alice, { now: later(30 * MINUTE - 1) }))).toBe('ok');
    expect(codeOf(vote(made, alice, { now: later(30 * MINUTE) }))).toBe('request.expired');
    expect(codeOf(vote(done(expire(made, later(30 * MINUTE))), alice))).toBe('request.expired');
  });

  test('after a deny, a withdrawal or a void does not count', () => {
    expect(codeOf(vote(SAMPLES.denied, bob))).toBe('request.not-now');
    expect(codeOf(vote(SAMPLES.withdrawn, bob))).toBe('request.not-now');
    expect(codeOf(vote(SAMPLES.void, bob))).toBe('request.void');
  });

  test('that denies ends the request, with a reason, also when it is approved already', () => {
    expect(codeOf(vote(approved, carol, { verdict: 'deny', reason: ' ' }))).toBe('request.invalid');
    const ended = done(vote(approved, carol, { verdict: 'deny', reason: 'not tonight' }));
    expect(ended).toMatchObject({ state: 'denied', ended: { by: carol.id, reason: 'not tonight' } });
  });

  test('that approved may still deny: the last word of a person counts', () => {
    const ended = done(vote(approve(request(), alice), alice, { verdict: 'deny', reason: 'I misread it' }));
    expect(ended.state).toBe('denied');
    expect(approvals(ended)).toEqual([]);
  });

  test('can be taken back until execution starts, also by someone who left the group', () => {
    const back = done(vote(approved, { ...alice, groups: [] }, { verdict: 'take-back' }));
    expect(back).toMatchObject({ state: 'pending', approvedAt: undefined });
    expect(approvals(back).map(({ reviewer }) => reviewer)).toEqual([bob.id]);
    expect(codeOf(vote(back, alice, { verdict: 'take-back' }))).toBe('review.already');
    expect(codeOf(vote(running, alice, { verdict: 'take-back' }))).toBe('request.not-now');
  });

  test('where codes are wanted counts only with one', () => {
    const made = request({ policy: policy({ threshold: 1, stepUp: 'totp' }) });
    expect(codeOf(vote(made, alice))).toBe('review.code-needed');
    expect(codeOf(vote(made, alice, { codeProved: false }))).toBe('review.code-needed');
    expect(done(vote(made, alice, { codeProved: true })).state).toBe('approved');
    expect(codeOf(vote(made, alice, { verdict: 'deny', reason: 'no' }))).toBe('ok');
  });

  test('that comes and goes for ever is stopped, while deny and withdrawal still work', () => {
    let made = request();
    for (let i = 0; i < 300 && codeOf(vote(made, alice)) === 'ok'; i += 1) {
      made = done(vote(approve(made, alice), alice, { verdict: 'take-back' }));
    }
    expect(made.history.length).toBeLessThan(210);
    expect(codeOf(vote(made, alice))).toBe('request.not-now');
    expect(codeOf(vote(made, bob, { verdict: 'deny', reason: 'no' }))).toBe('ok');
    expect(codeOf(withdraw(made, { person: requester, permitted: false, now: later(1) }))).toBe('ok');
  });
});

describe('a request ends', () => {
  test('withdrawn by the requester, the person it was for, or an operator; by nobody else', () => {
    const made = request({ onBehalfOf: 'U0BOSS' });
    const by = (person: Person, permitted = false): string =>
      codeOf(withdraw(made, { person, permitted, now: later(1) }));
    expect([by(requester), by(somebody('U0BOSS')), by(outsider, true)]).toEqual(['ok', 'ok', 'ok']);
    expect([by(outsider), by(alice)]).toEqual(['permission.denied', 'permission.denied']);
  });

  test('by silence at its expiry, and not before', () => {
    expect(codeOf(expire(request(), later(30 * MINUTE - 1)))).toBe('request.not-now');
    expect(done(expire(request(), later(30 * MINUTE)))).toMatchObject({ state: 'expired' });
  });

  test('by silence when it was approved and does not begin: approvals are not good for ever', () => {
    const late = [alice, bob].reduce((so, by) => done(vote(so, by, { now: later(29 * MINUTE) })), request());
    expect(deadlineOf(late)).toEqual(later(59 * MINUTE));
    expect(codeOf(expire(late, later(59 * MINUTE - 1)))).toBe('request.not-now');
    const begun = start(late, { plan: plan(), people: [alice, bob], now: later(59 * MINUTE) });
    expect(begun).toMatchObject({
      kind: 'changed',
      request: { state: 'expired' },
      refusal: { code: 'request.expired' },
    });
  });

  test('never by silence while it runs', () => {
    expect(deadlineOf(running)).toBe(undefined);
    expect(codeOf(expire(running, later(1e12)))).toBe('request.not-now');
  });
});

describe('execution', () => {
  test('starts an approved request once', () => {
    expect(running).toMatchObject({ state: 'running', startedAt: later(2000).toISOString() });
    expect(start(running, { plan: plan(), people: [alice, bob], now: later(3000) })).toMatchObject({
      kind: 'refused',
      code: 'request.not-now',
    });
  });

  test('does not start when someone who approved was removed from the group since: it waits for another approval', () => {
    for (const gone of [
      { ...bob, groups: [] },
      { ...bob, isDeactivated: true },
      { ...bob, isGuest: true },
      { ...bob, isBot: true },
    ]) {
      const begun = start(approved, { plan: plan(), people: [alice, gone], now: later(2000) });
      expect(begun).toMatchObject({
        kind: 'changed',
        request: { state: 'pending', reviews: [{ reviewer: alice.id }] },
        refusal: { code: 'review.not-counted' },
      });
      if (begun.kind !== 'changed') continue;
      const again = approve(begun.request, carol);
      expect(again.state).toBe('approved');
      expect(startJobId(again)).not.toBe(startJobId(approved));
    }
  });

  test('does not count whom the directory does not know, nor one person given twice', () => {
    for (const people of [[], [alice], [alice, alice]]) {
      expect(start(approved, { plan: plan(), people, now: later(2000) }).kind).toBe('changed');
    }
  });

  test('does not start when the plan changed under the request: it is void, and shows where', () => {
    const moved = plan({ memberIds: ['10276657743932975437', '7'] });
    const begun = start(approved, { plan: moved, people: [alice, bob], now: later(2000) });
    expect(begun).toMatchObject({
      kind: 'changed',
      request: { state: 'void', ended: { difference: [{ path: 'memberIds.1', approved: undefined, found: '"7"' }] } },
      refusal: { code: 'request.void' },
    });
  });

  test('does not start when the plan that is kept is not the one that was approved', () => {
    const forged: RestoreRequest = { ...approved, plan: plan({ token: 'evil' }) };
    expect(start(forged, { plan: plan(), people: [alice, bob], now: later(2000) })).toMatchObject({
      kind: 'changed',
      request: { state: 'void' },
    });
  });

  test('does not count approvals that were given for another digest, or without the code that was wanted', () => {
    const asked = request({ policy: policy({ stepUp: 'totp' }) });
    const forge = (change: Partial<Review>): RestoreRequest => ({
      ...asked,
      state: 'approved',
      approvedAt: NOW.toISOString(),
      reviews: approved.reviews.map((known) => ({ ...known, codeProved: true, ...change })),
    });
    const begin2 = (of: RestoreRequest): string =>
      start(of, { plan: plan(), people: [alice, bob], now: later(2000) }).kind;
    expect(begin2(forge({}))).toBe('ok');
    expect(begin2(forge({ codeProved: false }))).toBe('changed');
    expect(begin2(forge({ digest: 'another' }))).toBe('changed');
  });

  test('lapsed approvals of a request whose time is up end it', () => {
    const late = [alice, bob].reduce((so, by) => done(vote(so, by, { now: later(29 * MINUTE) })), request());
    const begun = start(late, { plan: plan(), people: [alice], now: later(31 * MINUTE) });
    expect(begun).toMatchObject({ kind: 'changed', request: { state: 'expired' } });
  });

  test('is stopped by requester, approver or operator only, and asked for once', () => {
    const by = (person: Person, permitted = false): string =>
      codeOf(cancel(running, { person, permitted, now: later(3000) }));
    expect([by(requester), by(carol), by(outsider, true)]).toEqual(['ok', 'ok', 'ok']);
    expect([by(outsider), by({ ...carol, isGuest: true })]).toEqual(['permission.denied', 'permission.denied']);
    const stopping = done(cancel(running, { person: requester, permitted: false, now: later(3000) }));
    expect(stopping).toMatchObject({ state: 'running', cancel: { by: requester.id } });
    expect(codeOf(cancel(stopping, { person: carol, permitted: false, now: later(4000) }))).toBe('review.already');
  });
});

test('every change makes one version, and is in the history with who and when', () => {
  const ended = done(progress(SAMPLES['rolling-back'], 'end-rolled-back', later(5000), 'old data serve'));
  expect(ended.history.map(({ version, action, state, by }) => [version, action, state, by])).toEqual([
    [1, 'open', 'pending', requester.id],
    [2, 'approve', 'pending', alice.id],
    [3, 'approve', 'approved', bob.id],
    [4, 'start', 'running', undefined],
    [5, 'roll-back', 'rolling-back', undefined],
    [6, 'end-rolled-back', 'rolled-back', undefined],
  ]);
  expect(ended.version).toBe(6);
});
