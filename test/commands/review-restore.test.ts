/** Reviews as people click them: who they are is asked anew, clicks at once lose nothing, refusals say why. */
import { describe, expect, test } from 'vitest';
import type { ChangeAnswer } from '../../src/restore/change-request.ts';
import { listApprovals } from '../../src/commands/list-approvals.ts';
import {
  approveRestore,
  cancelRestore,
  decideRestore,
  denyRestore,
  takeBackApproval,
  withdrawRestore,
} from '../../src/commands/review-restore.ts';
import type { RequestClick } from '../../src/commands/review-restore.ts';
import { askToEnrolAnew, beginEnrolment, confirmEnrolment } from '../../src/commands/step-up.ts';
import type { Person } from '../../src/domain/permission.ts';
import { start, wait } from '../../src/domain/restore-execution.ts';
import type { Decision, RestoreRequest } from '../../src/domain/restore-request.ts';
import { approvalsWorld, bot, operator } from '../support/approvals.ts';
import type { ApprovalsWorld } from '../support/approvals.ts';
import {
  alice,
  APPROVERS,
  bob,
  carol,
  done,
  later,
  outsider,
  plan,
  policy,
  request,
  requester,
  somebody,
} from '../support/requests.ts';

function click(of: RestoreRequest, by: Person): RequestClick {
  return { request: of.id, digest: of.digest, user: by.id };
}

function codeOf(answer: ChangeAnswer): string {
  return answer.kind === 'changed' ? answer.request.state : answer.problem.code;
}

describe('an approval', () => {
  test('by two people makes the request approved; each is announced once', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    expect(codeOf(await approveRestore(world, click(made, alice)))).toBe('pending');
    expect(codeOf(await approveRestore(world, click(made, bob)))).toBe('approved');
    expect(world.announced).toEqual(['2 approve pending', '3 approve approved']);
    expect(await world.requests.untold()).toEqual([]);
  });

  test('asks the directory at the click, not a cache', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    world.becomes(alice, { groups: [] });
    expect(codeOf(await approveRestore(world, click(made, alice)))).toBe('review.not-counted');
    expect(world.looks).toEqual([{ user: alice.id, fresh: true }]);
  });

  test.each([
    ['the requester', requester],
    ['a bot', bot],
    ['an outsider', outsider],
    ['someone Slack does not know', somebody('U0NOBODY', { groups: [APPROVERS] })],
  ])('by %s is refused, says why, and changes nothing', async (_, who) => {
    const world = approvalsWorld();
    const made = await world.opened();
    const answer = await approveRestore(world, click(made, who));
    expect(answer).toMatchObject({ kind: 'refused', problem: { code: 'review.not-counted' }, request: { version: 1 } });
    expect(world.announced).toEqual([]);
  });

  test('clicked many times in the same millisecond by one person counts once', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    const answers = await Promise.all(Array.from({ length: 10 }, () => approveRestore(world, click(made, alice))));
    expect(answers.map(codeOf).sort()).toEqual(
      ['pending', ...Array.from({ length: 9 }, () => 'review.already')].sort(),
    );
    expect(await world.requests.read('r1')).toMatchObject({ state: 'pending', version: 2 });
  });

  test('by many people in the same moment: none is lost', async () => {
    const world = approvalsWorld();
    const crowd = Array.from({ length: 12 }, (_, i) => somebody(`U${i}`, { groups: [APPROVERS] }));
    for (const who of crowd) world.becomes(who, {});
    const made = await world.opened({ policy: policy({ threshold: 12 }) });
    await Promise.all(crowd.map((who) => approveRestore(world, click(made, who))));
    const after = await world.requests.read('r1');
    expect(after).toMatchObject({ state: 'approved', version: 13 });
    expect(after?.reviews.map(({ reviewer }) => reviewer).sort()).toEqual(crowd.map(({ id }) => id).sort());
  });

  test('with an edited digest, or replayed from another request, is refused', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    const old = request({ plan: plan({ request: 'r0' }) });
    for (const digest of ['', old.digest, `${made.digest}0`]) {
      expect(codeOf(await approveRestore(world, { ...click(made, alice), digest }))).toBe('request.other-plan');
    }
  });

  test('of a request nobody knows is told so, not thrown', async () => {
    const answer = await approveRestore(approvalsWorld(), { request: 'r9', digest: '', user: alice.id });
    expect(answer).toMatchObject({ kind: 'refused', problem: { code: 'request.unknown' }, request: undefined });
  });

  test('after expiry is refused, and the expiry is written down and announced', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    await world.clock.advance(30 * 60_000);
    const answer = await approveRestore(world, click(made, alice));
    expect(answer).toMatchObject({ problem: { code: 'request.expired' }, request: { state: 'expired', version: 2 } });
    expect(world.announced).toEqual(['2 expire expired']);
  });

  test('after a deny, and after a withdrawal, is refused', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    expect(codeOf(await denyRestore(world, { ...click(made, bob), reason: 'wrong day' }))).toBe('denied');
    expect(codeOf(await approveRestore(world, click(made, alice)))).toBe('request.not-now');
    const second = await world.opened({ plan: plan({ request: 'r2' }) });
    expect(codeOf(await withdrawRestore(world, click(second, requester)))).toBe('withdrawn');
    expect(codeOf(await approveRestore(world, click(second, alice)))).toBe('request.not-now');
  });

  test('that was kept but could not be announced counts, and stays untold', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    const mute = { ...world, announce: () => Promise.reject(new Error('Slack is away')) };
    expect(codeOf(await approveRestore(mute, click(made, alice)))).toBe('pending');
    expect((await world.requests.untold()).map(({ version }) => version)).toEqual([2]);
  });

  test('gives up after so many others were faster, and says so', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    let tries = 0;
    const requests = { ...world.requests, compareAndSet: async () => (tries += 1) < 0 };
    expect(codeOf(await approveRestore({ ...world, requests }, click(made, alice)))).toBe('request.contended');
    expect(tries).toBe(20);
    expect(world.looks).toHaveLength(1);
  });
});

describe('a deny, an approval taken back, a withdrawal, a stop', () => {
  test('deny needs a reason and an approver', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    expect(codeOf(await denyRestore(world, { ...click(made, alice), reason: ' ' }))).toBe('request.invalid');
    expect(codeOf(await denyRestore(world, { ...click(made, outsider), reason: 'no' }))).toBe('review.not-counted');
    expect(codeOf(await denyRestore(world, { ...click(made, alice), reason: 'no' }))).toBe('denied');
  });

  test('an approval can be taken back until execution starts', async () => {
    const world = approvalsWorld();
    const made = await world.opened({ policy: policy({ threshold: 1 }) });
    await approveRestore(world, click(made, alice));
    expect(codeOf(await takeBackApproval(world, click(made, bob)))).toBe('review.already');
    expect(codeOf(await takeBackApproval(world, click(made, alice)))).toBe('pending');
    await approveRestore(world, click(made, alice));
    await run(world);
    expect(codeOf(await takeBackApproval(world, click(made, alice)))).toBe('request.not-now');
  });

  test('withdraw: the requester and operators may, approvers and others may not', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    for (const who of [alice, outsider, bot]) {
      expect(codeOf(await withdrawRestore(world, click(made, who)))).toBe('permission.denied');
    }
    expect(codeOf(await withdrawRestore(world, click(made, operator)))).toBe('withdrawn');
  });

  test('stop: only what runs; requester, approvers and operators may', async () => {
    const world = approvalsWorld();
    const made = await world.opened({ policy: policy({ threshold: 1 }) });
    expect(codeOf(await cancelRestore(world, click(made, requester)))).toBe('request.not-now');
    await approveRestore(world, click(made, alice));
    await run(world);
    expect(codeOf(await cancelRestore(world, click(made, outsider)))).toBe('permission.denied');
    expect(codeOf(await cancelRestore(world, click(made, operator)))).toBe('running');
    expect((await world.requests.read('r1'))?.cancel?.by).toBe(operator.id);
  });

  test('decide: only what waits, and only what it offers; requester, approvers and operators may', async () => {
    const world = approvalsWorld();
    const made = await world.opened({ policy: policy({ threshold: 1 }) });
    await approveRestore(world, click(made, alice));
    await run(world);
    const say = (who: Person, what: Decision) => decideRestore(world, { ...click(made, who), what });
    expect(codeOf(await say(requester, 'retry'))).toBe('request.not-now');
    const running = await world.requests.read('r1');
    if (running === undefined) throw new Error('no request');
    const asks = { reason: 'Two nodes are gone.', options: ['retry', 'give-up'] as const, now: world.clock.now() };
    await world.requests.compareAndSet(done(wait(running, asks)));
    expect(codeOf(await say(outsider, 'retry'))).toBe('permission.denied');
    expect(codeOf(await say(requester, 'roll-back'))).toBe('request.not-now');
    expect(codeOf(await say(operator, 'retry'))).toBe('running');
    const decided = await world.requests.read('r1');
    expect(decided?.waiting).toBeUndefined();
    expect(decided?.decision).toMatchObject({ by: operator.id, what: 'retry' });
    expect(codeOf(await say(alice, 'give-up'))).toBe('request.not-now');
  });

  test('a deny and the approval that would be enough, at once: whatever comes first, nothing starts after the deny', async () => {
    for (const first of ['deny', 'approve'] as const) {
      const world = approvalsWorld();
      const made = await world.opened({ policy: policy({ threshold: 1 }) });
      const deny = (): Promise<ChangeAnswer> => denyRestore(world, { ...click(made, bob), reason: 'no' });
      const approve = (): Promise<ChangeAnswer> => approveRestore(world, click(made, alice));
      await Promise.all(first === 'deny' ? [deny(), approve()] : [approve(), deny()]);
      const after = await world.requests.read('r1');
      expect(after?.state).toBe('denied');
    }
  });
});

describe('where codes are wanted', () => {
  async function enrolled(world: ApprovalsWorld, who: Person): Promise<() => string> {
    const shown = await beginEnrolment(world, who.id);
    if (shown.kind !== 'secret') throw new Error(shown.problem.message);
    const code = (): string => world.codes.codeAt(shown.secret, world.clock.now());
    expect(await confirmEnrolment(world, who.id, code())).toEqual({ kind: 'done' });
    await world.clock.advance(30_000);
    return code;
  }
  const strict = { policy: policy({ stepUp: 'totp' }) } as const;

  test('an approval counts only with a right one', async () => {
    const world = approvalsWorld();
    const code = await enrolled(world, alice);
    const made = await world.opened(strict);
    expect(codeOf(await approveRestore(world, click(made, alice)))).toBe('review.code-needed');
    expect(codeOf(await approveRestore(world, { ...click(made, alice), code: '' }))).toBe('step-up.wrong-code');
    expect(codeOf(await approveRestore(world, { ...click(made, alice), code: code() }))).toBe('pending');
    expect((await world.requests.read('r1'))?.reviews).toMatchObject([{ reviewer: alice.id, codeProved: true }]);
  });

  test('nobody approves with the code of another, or without having enrolled', async () => {
    const world = approvalsWorld();
    const code = await enrolled(world, alice);
    const made = await world.opened(strict);
    expect(codeOf(await approveRestore(world, { ...click(made, bob), code: code() }))).toBe('step-up.not-enrolled');
    await enrolled(world, bob);
    expect(codeOf(await approveRestore(world, { ...click(made, bob), code: code() }))).toBe('step-up.wrong-code');
  });

  test('a code that was seen by someone can not be sent again, for this request or another', async () => {
    const world = approvalsWorld();
    const code = await enrolled(world, alice);
    const made = await world.opened(strict);
    const seen = code();
    await approveRestore(world, { ...click(made, alice), code: seen });
    await takeBackApproval(world, click(made, alice));
    expect(codeOf(await approveRestore(world, { ...click(made, alice), code: seen }))).toBe('step-up.used-code');
  });

  test('sent twice in the same millisecond it counts once', async () => {
    const world = approvalsWorld();
    const code = await enrolled(world, alice);
    const made = await world.opened(strict);
    const twice = { ...click(made, alice), code: code() };
    const answers = await Promise.all([approveRestore(world, twice), approveRestore(world, twice)]);
    expect(answers.filter(({ kind }) => kind === 'changed')).toHaveLength(1);
  });

  test('a code is not used up by an approval that would not count anyway', async () => {
    const world = approvalsWorld();
    const code = await enrolled(world, alice);
    const made = await world.opened(strict);
    const digest = 'another';
    expect(codeOf(await approveRestore(world, { ...click(made, alice), digest, code: code() }))).toBe(
      'request.other-plan',
    );
    expect(codeOf(await approveRestore(world, { ...click(made, alice), code: code() }))).toBe('pending');
  });

  test('five wrong ones lock, and then not even the right one counts', async () => {
    const world = approvalsWorld();
    const code = await enrolled(world, alice);
    const made = await world.opened(strict);
    const wrong = { ...click(made, alice), code: 'wrong' };
    const answers = [];
    for (let i = 0; i < 6; i += 1) answers.push(codeOf(await approveRestore(world, wrong)));
    expect(answers).toEqual([
      ...Array.from({ length: 4 }, () => 'step-up.wrong-code'),
      'step-up.locked',
      'step-up.locked',
    ]);
    expect(codeOf(await approveRestore(world, { ...click(made, alice), code: code() }))).toBe('step-up.locked');
    expect(await askToEnrolAnew(world, alice.id)).toEqual({ kind: 'done' });
    expect(codeOf(await approveRestore(world, { ...click(made, alice), code: code() }))).toBe('step-up.locked');
  });

  test('where none is wanted, a code that is sent along proves nothing', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    await approveRestore(world, { ...click(made, alice), code: '123456' });
    expect((await world.requests.read('r1'))?.reviews).toMatchObject([{ codeProved: false }]);
  });
});

describe('the list of approvals', () => {
  test('says for each request what this person can do with it, theirs to review first', async () => {
    const world = approvalsWorld();
    const made = await world.opened();
    const mine = { plan: plan({ request: 'r2', cluster: 'lab' }), confirmedSnapshotOf: 'prod-eu', requester: alice };
    await world.opened({ ...mine, now: later(-1000) });
    const seen = async (who: Person): Promise<unknown> =>
      (await listApprovals(world, who.id)).waiting.map(({ request: { id }, you, can }) => [id, you, can]);
    expect(await seen(alice)).toEqual([
      ['r1', 'review', ['approve', 'deny']],
      ['r2', 'asked', ['withdraw']],
    ]);
    await approveRestore(world, click(made, alice));
    expect((await listApprovals(world, carol.id)).waiting.map(({ approvals }) => approvals)).toEqual([0, 1]);
    expect(await seen(alice)).toEqual([
      ['r2', 'asked', ['withdraw']],
      ['r1', 'approved', ['take-back', 'deny']],
    ]);
    expect(await seen(operator)).toMatchObject([
      ['r2', { noSay: expect.any(String) as string }, ['withdraw']],
      ['r1', {}, ['withdraw']],
    ]);
    expect(await seen(outsider)).toMatchObject([
      ['r2', {}, []],
      ['r1', {}, []],
    ]);
  });

  test('leaves out what has expired, and is not for bots and guests', async () => {
    const world = approvalsWorld();
    await world.opened();
    await world.clock.advance(30 * 60_000);
    expect((await listApprovals(world, alice.id)).waiting).toEqual([]);
    await expect(listApprovals(world, bot.id)).rejects.toMatchObject({ code: 'permission.denied' });
  });

  test('asks at the moment of the click, and offers to stop what runs', async () => {
    const world = approvalsWorld();
    const made = await world.opened({ policy: policy({ threshold: 1 }) });
    await approveRestore(world, click(made, alice));
    await run(world);
    const [entry] = (await listApprovals(world, alice.id)).waiting;
    expect(entry).toMatchObject({ can: ['cancel'], endsAt: undefined });
    expect(world.looks.every(({ fresh }) => fresh)).toBe(true);
  });
});

async function run(world: ApprovalsWorld): Promise<void> {
  const approved = await world.requests.read('r1');
  if (approved === undefined) throw new Error('no request');
  const begun = start(approved, { plan: approved.plan, people: [alice, bob], now: world.clock.now() });
  if (begun.kind !== 'ok' || !(await world.requests.compareAndSet(begun.request))) throw new Error('not begun');
}
