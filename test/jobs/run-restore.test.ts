/** A restore as it is carried out, undone, rolled back, waited for and gone on with. */
import { describe, expect, test } from 'vitest';
import { restoreWorld } from './restore-world.ts';

describe('a restore that goes well', () => {
  test('ends as succeeded with every node on the restored data', async () => {
    const world = await restoreWorld();
    expect(await world.work()).toEqual({ kind: 'done' });
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(world.report().reason).toBe(undefined);
    expect([...world.machines.values()]).toEqual(
      Array.from({ length: 3 }, () => ({ etcd: true, api: true, data: 'new', prepared: true })),
    );
    expect(world.sins).toEqual([]);
    console.log(JSON.stringify(world.report(), null, 1));
  });
});
