/** Whatever happens, and wherever the worker dies: what must stay stays, and what is left over is gone in the end. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RetentionPolicy } from '../../src/domain/retention.ts';
import type { RetentionDeps } from '../../src/jobs/retention/deps.ts';
import { runRetention } from '../../src/jobs/run-retention.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { fakeClock } from '../fakes/clock.ts';
import { damage, hold, idOf, JOB, rest, retentionWorld, whole } from './retention-world.ts';
import { jobContext } from './world.ts';

class Killed extends Error {}

/** A worker that dies at its call number `at` (from 1) to the world: before it, and nothing it does afterwards happens. */
function mortal(deps: RetentionDeps, at: number) {
  let calls = 0;
  let isDead = false;
  const chance = (): void => {
    calls += 1;
    isDead ||= calls === at;
    if (isDead) throw new Killed('killed');
  };
  const store = (real: SnapshotStore): SnapshotStore => ({
    ...real,
    put: async (...args) => (chance(), real.put(...args)),
    get: async (...args) => (chance(), real.get(...args)),
    stat: async (...args) => (chance(), real.stat(...args)),
    remove: async (...args) => (chance(), real.remove(...args)),
  });
  return {
    get isDead() {
      return isDead;
    },
    deps: {
      ...deps,
      stores: new Map([...deps.stores].map(([name, real]) => [name, store(real)])),
      publish: async (event) => (chance(), deps.publish(event)),
      requests: { open: async () => (chance(), deps.requests.open()) },
    } satisfies RetentionDeps,
  };
}

test('a worker killed between any two calls leaves whole snapshots and strays; the next run ends what it began', async () => {
  const fresh = async (clock = fakeClock('2026-11-21T06:10:00.000Z')) => {
    const world = await retentionWorld({ count: 9, policy: { last: 5 }, clock });
    await hold(world.nas, idOf(8));
    await damage(world.nas, idOf(1));
    return world;
  };
  const undisturbed = await fresh();
  await undisturbed.run();
  const expected = undisturbed.stores.map(whole);
  let deaths = 0;
  for (let at = 1; at < 500; at += 1) {
    const clock = fakeClock('2026-11-21T06:10:00.000Z');
    const world = await fresh(clock);
    const worker = mortal(world.deps, at);
    const context = jobContext();
    await runRetention(JOB, context, worker.deps).catch((error: unknown) => {
      if (!(error instanceof Killed)) throw error;
    });
    if (!worker.isDead) break;
    deaths += 1;
    // Its lease runs out, and another worker takes the job up.
    world.lease.lose('prod-eu');
    for (const [i, store] of world.stores.entries()) {
      const found = whole(store);
      for (const id of expected[i] ?? []) expect(found).toContain(id);
    }
    await world.run({}, { attempt: 2, remembered: context.remembered });
    // All that went is told, whichever attempt removed it.
    expect(world.told('retention.done').at(-1)?.total).toEqual(undisturbed.told('retention.done')[0]?.total);
    expect(world.stores.map(whole)).toEqual(expected);
    // What lies about is removed when its grace is over, after a later backup.
    await clock.advance(2 * 86_400_000);
    await world.run({ id: 'retention-later', after: 'later' });
    for (const store of world.stores) expect(rest(store)).toEqual([]);
    expect(world.stores.map(whole)).toEqual(expected);
  }
  expect(deaths).toBeGreaterThan(30);
});

test('whatever is held, damaged and asked for: the newest good one and the held ones stay, and a second run removes nothing', async () => {
  const counts = fc.integer({ min: 0, max: 4 });
  const policies: fc.Arbitrary<RetentionPolicy> = fc.record(
    { last: counts, days: counts, hourly: counts, daily: counts },
    { requiredKeys: [] },
  );
  const ages = fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(policies, policies, ages, ages, fc.boolean(), async (first, second, held, damaged, inCeph) => {
      const world = await retentionWorld({ count: 10, ofStore: { ceph: { policy: first }, nas: { policy: second } } });
      for (const each of held) await hold(inCeph ? world.ceph : world.nas, idOf(each));
      for (const each of damaged) await damage(world.ceph, idOf(each));
      const good = Array.from({ length: 10 }, (_, n) => n).find((n) => !damaged.includes(n));
      await world.run();
      for (const each of held) for (const store of world.stores) expect(whole(store)).toContain(idOf(each));
      if (good !== undefined) expect(whole(world.ceph)).toContain(idOf(good));
      expect(whole(world.nas)).toContain(idOf(0));
      const after = world.stores.map(whole);
      await world.run({ id: 'again' });
      // Copies whose only damaged sister went may go now; nothing that a rule keeps does.
      for (const [i, store] of world.stores.entries()) expect(after[i]).toEqual(expect.arrayContaining(whole(store)));
      const settled = world.stores.map(whole);
      await world.run({ id: 'and again' });
      expect(world.stores.map(whole)).toEqual(settled);
    }),
    { numRuns: 60 },
  );
});
