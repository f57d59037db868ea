/** The laws of approvals, tried with whatever people may do in whatever order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Person } from '../../src/domain/permission.ts';
import { planDigest } from '../../src/domain/plan.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import { cancel, progress, start, voidRequest } from '../../src/domain/restore-execution.ts';
import { approvals, isOpen } from '../../src/domain/restore-request.ts';
import { expire, review, withdraw } from '../../src/domain/restore-review.ts';
import type { Outcome, RestoreRequest } from '../../src/domain/restore-request.ts';
import type { Verdict } from '../../src/domain/restore-review.ts';
import { fakeRestoreRequests } from '../fakes/restore-requests.ts';
import { APPROVERS, draft, later, plan, policy, requester, somebody } from '../support/requests.ts';

const BOSS = 'U0BOSS';
const LIFE_MS = 1_800_000;

/** People as the directory may describe them at one moment; the same id can be someone else's rights the next. */
const person: fc.Arbitrary<Person> = fc
  .record({
    id: fc.constantFrom(requester.id, BOSS, 'U1', 'U2', 'U3', 'U4'),
    isBot: fc.boolean(),
    isGuest: fc.boolean(),
    isDeactivated: fc.boolean(),
    inGroup: fc.boolean(),
    fine: fc.integer({ min: 0, max: 3 }),
  })
  .map(({ id, isBot, isGuest, isDeactivated, inGroup, fine }) =>
    fine > 0
      ? somebody(id, { groups: [APPROVERS] })
      : somebody(id, { isBot, isGuest, isDeactivated, groups: inGroup ? [APPROVERS] : [] }),
  );

type Deed =
  | {
      readonly kind: 'review';
      readonly by: Person;
      readonly verdict: Verdict;
      readonly right: boolean;
      readonly code: boolean;
    }
  | { readonly kind: 'withdraw' | 'cancel'; readonly by: Person; readonly permitted: boolean }
  | { readonly kind: 'start'; readonly people: readonly Person[]; readonly same: boolean }
  | { readonly kind: 'expire' | 'void' | 'succeed' | 'fail' };

const deed: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('review' as const),
      by: person,
      verdict: fc.constantFrom<Verdict>('approve', 'approve', 'approve', 'approve', 'take-back', 'deny'),
      right: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
      code: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('withdraw' as const, 'cancel' as const),
      by: person,
      permitted: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('start' as const),
      people: fc.array(person, { maxLength: 8 }),
      same: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('expire' as const, 'void' as const, 'succeed' as const, 'fail' as const),
    }),
  },
);
/** Deeds with the time that passes before each; sometimes more than a request lives. */
const story = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 12, arbitrary: fc.integer({ min: 0, max: 60_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 * LIFE_MS }) },
    ),
    deed,
  ),
  {
    maxLength: 40,
  },
);
const rules = fc.record({
  threshold: fc.integer({ min: 1, max: 3 }),
  stepUp: fc.constantFrom<'none' | 'totp'>('none', 'totp'),
  glass: fc.boolean(),
});

function make({
  threshold,
  stepUp,
  glass,
}: {
  threshold: number;
  stepUp: 'none' | 'totp';
  glass: boolean;
}): RestoreRequest {
  const outcome = openRequest(
    draft({
      onBehalfOf: BOSS,
      breakGlass: glass,
      policy: policy({ threshold, stepUp, expiresMs: LIFE_MS, breakGlass: { threshold: 1 } }),
    }),
  );
  if (outcome.kind === 'refused') throw new Error(outcome.message);
  return outcome.request;
}

function act(of: RestoreRequest, what: Deed, now: Date): RestoreRequest {
  const kept = (outcome: Outcome): RestoreRequest => (outcome.kind === 'ok' ? outcome.request : of);
  switch (what.kind) {
    case 'review': {
      const digest = what.right ? of.digest : planDigest(plan({ token: 'another' }));
      return kept(
        review(of, { reviewer: what.by, verdict: what.verdict, digest, now, codeProved: what.code, reason: 'because' }),
      );
    }
    case 'withdraw':
      return kept(withdraw(of, { person: what.by, permitted: what.permitted, now }));
    case 'cancel':
      return kept(cancel(of, { person: what.by, permitted: what.permitted, now }));
    case 'start': {
      const found = what.same ? of.plan : plan({ token: 'changed' });
      const begun = start(of, { plan: found, people: what.people, now });
      return begun.kind === 'refused' ? of : begun.request;
    }
    case 'expire':
      return kept(expire(of, now));
    case 'void':
      return kept(voidRequest(of, { difference: [], now }));
    case 'succeed':
    case 'fail':
      return kept(progress(of, what.kind, now));
  }
}

const mayCount = (someone: Person): boolean =>
  someone.id !== requester.id &&
  someone.id !== BOSS &&
  !someone.isBot &&
  !someone.isGuest &&
  !someone.isDeactivated &&
  someone.groups.includes(APPROVERS);

test('no request is ever approved below its threshold, by its requester, with another digest, after expiry, after a deny', () => {
  let becameApproved = 0;
  let begun = 0;
  fc.assert(
    fc.property(rules, story, (rule, deeds) => {
      let now = later(0);
      let request = make(rule);
      /** Told by the deeds alone: whose approval stands. */
      const standing = new Set<string>();
      let denied = false;
      for (const [passes, what] of deeds) {
        now = new Date(now.getTime() + passes);
        const before = request;
        request = act(before, what, now);
        if (request === before) continue;
        expect(request.version).toBe(before.version + 1);
        if (what.kind === 'review') {
          expect(what.right).toBe(true);
          if (what.verdict === 'approve') {
            expect(mayCount(what.by)).toBe(true);
            expect(rule.stepUp === 'none' || what.code).toBe(true);
            expect(now.getTime()).toBeLessThan(Date.parse(request.expiresAt));
            standing.add(what.by.id);
          } else standing.delete(what.by.id);
          denied ||= what.verdict === 'deny';
        }
        if (request.state === 'approved' && before.state !== 'approved') {
          becameApproved += 1;
          expect(denied).toBe(false);
          expect(standing.size).toBeGreaterThanOrEqual(request.threshold);
        }
        if (what.kind === 'start' && request.state === 'pending')
          for (const id of [...standing])
            if (!request.reviews.some(({ reviewer }) => reviewer === id)) standing.delete(id);
        if (request.state === 'running' && before.state !== 'running') {
          begun += 1;
          expect(what.kind === 'start' && what.same).toBe(true);
          const eligible = new Set(what.kind === 'start' ? what.people.filter(mayCount).map(({ id }) => id) : []);
          const counted = [...standing].filter((id) => eligible.has(id));
          expect(counted.length).toBeGreaterThanOrEqual(request.threshold);
          expect(before.state).toBe('approved');
        }
        expect(isOpen(before.state)).toBe(true);
        expect(new Set(approvals(request).map(({ reviewer }) => reviewer)).size).toBe(approvals(request).length);
      }
    }),
    { numRuns: 3000, seed: 20261121 },
  );
  // The law says nothing where nothing was ever approved.
  expect(becameApproved).toBeGreaterThan(300);
  expect(begun).toBeGreaterThan(30);
});

test('threshold, groups, digest, expiry and reason of a request never change', () => {
  fc.assert(
    fc.property(rules, story, (rule, deeds) => {
      const made = make(rule);
      let now = later(0);
      let request = made;
      for (const [passes, what] of deeds) {
        now = new Date(now.getTime() + passes);
        request = act(request, what, now);
      }
      const frozen = ({
        threshold,
        groups,
        digest,
        expiresAt,
        reason,
        stepUp,
        plan: kept,
        breakGlass,
      }: RestoreRequest) => ({
        threshold,
        groups,
        digest,
        expiresAt,
        reason,
        stepUp,
        kept,
        breakGlass,
      });
      expect(frozen(request)).toEqual(frozen(made));
    }),
    { numRuns: 300, seed: 20261121 },
  );
});

test('clicks at once, interleaved in any way, lose nothing and start nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      rules,
      fc.array(fc.tuple(fc.nat({ max: 3 }), deed), { minLength: 2, maxLength: 30 }),
      async (rule, clicks) => {
        const requests = fakeRestoreRequests();
        const made = make(rule);
        await requests.create(made);
        const now = later(1000);
        /** What each of four replicas has read and not yet written. */
        const read = new Map<number, RestoreRequest>();
        let starts = 0;
        let kept = 0;
        for (const [replica, what] of clicks) {
          const seen = read.get(replica);
          if (seen === undefined) {
            read.set(replica, (await requests.read(made.id)) ?? made);
            continue;
          }
          read.delete(replica);
          const next = act(seen, what, now);
          if (next.version !== seen.version + 1 || !(await requests.compareAndSet(next))) continue;
          kept += 1;
          if (next.state === 'running' && seen.state !== 'running') starts += 1;
        }
        const after = await requests.read(made.id);
        expect(after?.version).toBe(1 + kept);
        expect(after?.history.map(({ version }) => version)).toEqual(Array.from({ length: 1 + kept }, (_, i) => i + 1));
        expect(starts).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 1000, seed: 20261121 },
  );
});
