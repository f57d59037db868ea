/** What people are shown when a plan changed: where, and what it was and is. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical, planDigest } from '../../src/domain/plan.ts';
import { planDifference } from '../../src/domain/plan-difference.ts';
import { plan } from '../support/requests.ts';

test('equal plans have no difference', () => {
  expect(planDifference(plan(), plan())).toEqual([]);
});

test('a changed command is shown with its place, as approved and as found', () => {
  const found = JSON.parse(JSON.stringify(plan()).replace('systemctl stop etcd', 'systemctl kill etcd')) as ReturnType<
    typeof plan
  >;
  expect(planDifference(plan(), found)).toEqual([
    { path: 'phases.0.steps.0.action.script', approved: '"systemctl stop etcd"', found: '"systemctl kill etcd"' },
  ]);
});

test('what is missing on one side is undefined there', () => {
  expect(planDifference(plan(), plan({ bumpRevision: undefined }))).toEqual([
    { path: 'bumpRevision', approved: '"1000000"', found: undefined },
  ]);
});

test('long texts are cut, and there are no more differences than asked for', () => {
  const many = plan({ memberIds: Array.from({ length: 100 }, (_, i) => `${i}`), token: 'x'.repeat(5000) });
  const changes = planDifference(plan(), many, 5);
  expect(changes).toHaveLength(5);
  expect(planDifference(plan(), plan({ token: 'x'.repeat(5000) }))[0]?.found).toHaveLength(501);
});

test('there is a difference exactly where there is another digest', () => {
  const some = fc.record({
    clusterId: fc.option(fc.constantFrom('1', '2'), { nil: undefined }),
    memberIds: fc.array(fc.constantFrom('1', '2'), { maxLength: 2 }),
    warnings: fc.array(fc.string({ maxLength: 2 }), { maxLength: 1 }),
  });
  fc.assert(
    fc.property(some, some, (a, b) => {
      const [one, two] = [plan(a), plan(b)];
      expect(planDifference(one, two).length === 0).toBe(planDigest(one) === planDigest(two));
      expect(canonical(one) === canonical(two)).toBe(planDigest(one) === planDigest(two));
    }),
    { seed: 20261121 },
  );
});
