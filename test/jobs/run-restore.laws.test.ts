/** What holds of every restore, wherever its worker dies and whatever fails: these are laws, tried at every place. */
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { PhaseName } from '../../src/domain/plan.ts';
import { mortal } from './crash.ts';
import { restoreWorld, type RestoreWorld } from './restore-world.ts';

vi.setConfig({ testTimeout: 300_000 });

/** One life until it dies at its chance number `at`, or has ended: then false. */
async function life(world: RestoreWorld, at: number): Promise<boolean> {
  const worker = mortal(world.deps, at);
  for (let again = true; again && !worker.isDead;) {
    const result = await world.work(worker.deps, {}, 1).catch(() => undefined);
    again = result?.kind === 'later';
  }
  // Its lease runs out.
  if (worker.isDead) world.lease.lose(world.spec.name);
  return worker.isDead;
}

async function chancesOf(world: RestoreWorld): Promise<number> {
  const worker = mortal(world.deps, Infinity);
  await world.work(worker.deps);
  return worker.chances;
}

/** Every step's script was begun once at most, under one id. */
function beganOnce(world: RestoreWorld): void {
  expect(world.runner.begun).toEqual([...new Set(world.runner.begun)]);
  expect(world.runner.begun.filter((step) => /\.\d+$/.test(step))).toEqual([]);
}

async function agrees(world: RestoreWorld): Promise<void> {
  const { state } = await world.request();
  const data = state === 'succeeded' ? 'new' : 'old';
  expect(['succeeded', 'rolled-back']).toContain(state);
  expect([...world.machines.values()]).toEqual(
    Array.from({ length: 3 }, () => expect.objectContaining({ etcd: true, api: true, data }) as unknown),
  );
  expect(world.sins).toEqual([]);
}

test('a worker killed at any moment leaves a restore that the next one ends, and no script is run twice', async () => {
  const chances = await chancesOf(await restoreWorld());
  expect(chances).toBeGreaterThan(300);
  for (let at = 1; at <= chances; at += 1) {
    const world = await restoreWorld();
    expect(await life(world, at)).toBe(true);
    expect(await life(world, Infinity)).toBe(false);
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    await agrees(world);
    beganOnce(world);
  }
});

const FAILING: readonly PhaseName[] = [
  'check',
  'prepare',
  'stop-apiservers',
  'stop-etcd',
  'prove-stopped',
  'swap',
  'start-etcd',
  'start-apiservers',
  'restart-caches',
];

test('whatever step fails, and wherever workers die on the way, the old cluster serves again', async () => {
  const run = fc.record({
    phase: fc.constantFrom(...FAILING),
    node: fc.constantFrom('cp1', 'cp2', 'cp3'),
    deaths: fc.array(fc.integer({ min: 1, max: 500 }), { maxLength: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(run, async ({ phase, node, deaths }) => {
      const world = await restoreWorld();
      // Fails without having done anything, when it is first done on the way forward.
      let failures = 0;
      world.meddle((on, verb) => {
        if (on !== node || verb !== verbOf(phase) || failures > 0) return undefined;
        failures += 1;
        return { code: 1, output: 'no', takesMs: 300 };
      });
      for (const at of deaths) await life(world, at);
      expect(await life(world, Infinity)).toBe(false);
      expect(await world.request()).toMatchObject({ state: 'rolled-back' });
      await agrees(world);
      beganOnce(world);
    }),
    { numRuns: 200 },
  );
});

/** As the world names it: what starts again is the undoing of what stopped. */
function verbOf(phase: PhaseName) {
  if (phase === 'start-etcd') return 'stop-etcd undo';
  return phase === 'start-apiservers' ? 'stop-apiservers undo' : (`${phase} do` as const);
}
