/** One byte that flips in a stored snapshot never comes to a node, wherever it is. What verify and scrub say is in verify.test.ts. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { restoreWorld } from './restore-world.ts';

test('flip one bit of any byte in every copy: the restore is undone before anything was stopped, and says which copies are damaged', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      fc.integer({ min: 0, max: 7 }),
      async (where, bit) => {
        const world = await restoreWorld();
        const { key } = world.plan.snapshot.object;
        for (const store of world.stores) {
          const body = Buffer.from(await store.get(key));
          const at = Math.floor(where * body.length);
          body[at] = (body[at] ?? 0) ^ (1 << bit);
          await store.put(key, body);
        }
        await world.work();
        expect(world.report()).toMatchObject({ outcome: 'undone', downtimeMs: undefined });
        expect(world.report().reason).toMatch(/store ceph is damaged.*store nas is damaged/);
        expect(world.runner.files.size).toBe(0);
      },
    ),
    { numRuns: 25 },
  );
});
