/** One-time codes as people meet them: shown once, confirmed, and anew only with the consent of another who proves it. */
import { expect, test } from 'vitest';
import {
  agreeToEnrolAnew,
  askToEnrolAnew,
  beginEnrolment,
  confirmEnrolment,
  spendCode,
  stepUpStanding,
} from '../../src/commands/step-up.ts';
import { approvalsWorld, bot, operator } from '../support/approvals.ts';
import type { ApprovalsWorld } from '../support/approvals.ts';
import { alice, bob, outsider } from '../support/requests.ts';

async function secretOf(world: ApprovalsWorld, user: string): Promise<string> {
  const shown = await beginEnrolment(world, user);
  if (shown.kind !== 'secret') throw new Error(shown.problem.message);
  return shown.secret;
}

/** Enrols, and lets the code that confirmed it pass. */
async function enrolled(world: ApprovalsWorld, user: string): Promise<() => string> {
  const secret = await secretOf(world, user);
  const code = (): string => world.codes.codeAt(secret, world.clock.now());
  expect(await confirmEnrolment(world, user, code())).toEqual({ kind: 'done' });
  await world.clock.advance(30_000);
  return code;
}

test('an approver enrols: the secret is shown once, and what is kept does not tell it', async () => {
  const world = approvalsWorld();
  const secret = await secretOf(world, alice.id);
  const stored = JSON.stringify(await world.stepUp.records.read(alice.id));
  expect(stored).not.toContain(secret);
  expect(await stepUpStanding(world, alice.id)).toBe('none');
  await confirmEnrolment(world, alice.id, world.codes.codeAt(secret, world.clock.now()));
  expect(await stepUpStanding(world, alice.id)).toBe('enrolled');
  expect(await beginEnrolment(world, alice.id)).toMatchObject({ problem: { code: 'step-up.not-now' } });
});

test.each([outsider, operator, bot])('whoever approves nothing enrols for nothing', async (who) => {
  expect(await beginEnrolment(approvalsWorld(), who.id)).toMatchObject({ problem: { code: 'permission.denied' } });
});

test('a wrong first code does not enrol', async () => {
  const world = approvalsWorld();
  await secretOf(world, alice.id);
  expect(await confirmEnrolment(world, alice.id, '000')).toMatchObject({ problem: { code: 'step-up.wrong-code' } });
  expect(await stepUpStanding(world, alice.id)).toBe('none');
});

test('wrong codes sent at once are all counted, so they lock', async () => {
  const world = approvalsWorld();
  const code = await enrolled(world, alice.id);
  await Promise.all(Array.from({ length: 5 }, () => spendCode(world, alice.id, 'wrong')));
  expect(await stepUpStanding(world, alice.id)).toBe('locked');
  expect(await spendCode(world, alice.id, code())).toMatchObject({ code: 'step-up.locked' });
});

test('a right code sent many times at once counts once', async () => {
  const world = approvalsWorld();
  const code = await enrolled(world, alice.id);
  const answers = await Promise.all(Array.from({ length: 4 }, () => spendCode(world, alice.id, code())));
  expect(answers.filter((problem) => problem === undefined)).toHaveLength(1);
});

test('who lost the phone enrols anew after another approver agreed, with a code of their own', async () => {
  const world = approvalsWorld();
  await enrolled(world, alice.id);
  const bobs = await enrolled(world, bob.id);
  const agree = (by: string, code: string) => agreeToEnrolAnew(world, { user: alice.id, by, code });
  expect(await agree(bob.id, bobs())).toMatchObject({ problem: { code: 'step-up.not-now' } });
  expect(await askToEnrolAnew(world, alice.id)).toEqual({ kind: 'done' });
  expect(await beginEnrolment(world, alice.id)).toMatchObject({ problem: { code: 'step-up.not-now' } });
  expect(await agree(alice.id, '123456')).toMatchObject({ problem: { code: 'review.not-counted' } });
  expect(await agree(outsider.id, '123456')).toMatchObject({ problem: { code: 'permission.denied' } });
  expect(await agree(bob.id, 'wrong')).toMatchObject({ problem: { code: 'step-up.wrong-code' } });
  expect(await agree(bob.id, bobs())).toEqual({ kind: 'done' });
  const code = await enrolled(world, alice.id);
  expect(await spendCode(world, alice.id, code())).toBe(undefined);
});
