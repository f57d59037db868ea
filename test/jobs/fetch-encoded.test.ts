/** Encoded snapshots on their way to the nodes: decoded once for all, never handed on when a byte of the object is wrong. */
import { describe, expect, test } from 'vitest';
import { newDamage, serialiseDamage } from '../../src/domain/damage.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { damageKey, PLAIN } from '../../src/domain/snapshot.ts';
import { FAKE_ENCODING, fakeCoder } from '../fakes/snapshot-coder.ts';
import { restoreWorld, type RestoreWorld } from './restore-world.ts';

function encodedWorld(): Promise<RestoreWorld> {
  return restoreWorld({ coder: fakeCoder(), encoding: FAKE_ENCODING });
}

/** One bit of the stored object is another; in the middle unless `at` says where. */
async function flip(world: RestoreWorld, store: 0 | 1, at?: number): Promise<void> {
  const { key: name } = world.plan.snapshot.object;
  const bytes = Buffer.from(await world.stores[store].get(name));
  const where = at ?? Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(where) ^ 4, where);
  await world.stores[store].put(name, bytes);
}

/** A later look found the copy damaged. */
async function mark({ stores, plan, clock }: RestoreWorld, store: 0 | 1): Promise<void> {
  const text = serialiseDamage(newDamage(clock.now(), 'Its sha256 is another one.', 'scrub-1'));
  await stores[store].put(damageKey(plan.snapshot.cluster, plan.snapshot.id), Buffer.from(text));
}

function reads(world: RestoreWorld): number[] {
  return world.stores.map(({ calls }) => calls.filter((call) => call.startsWith('read ')).length);
}

describe('an encrypted snapshot', () => {
  test('is read and decrypted once, and lies on every node as etcd gave it', async () => {
    const world = await encodedWorld();
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(reads(world)).toEqual([1, 0]);
    for (const file of world.runner.files.values()) expect(Buffer.from(file).equals(world.snapshot)).toBe(true);
    expect(world.runner.files.size).toBe(3);
  });

  test.each([0, 40, undefined])('with a bit that flipped at %s is had from the other store', async (at) => {
    const world = await encodedWorld();
    await flip(world, 0, at);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(reads(world)).toEqual([1, 1]);
    for (const file of world.runner.files.values()) expect(Buffer.from(file).equals(world.snapshot)).toBe(true);
  });

  test('whose copy is marked as damaged is had from the next store', async () => {
    const world = await encodedWorld();
    await mark(world, 0);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(reads(world)).toEqual([0, 1]);
  });

  test('whose good copy can not be read is had from the marked one, when that is what the manifest says', async () => {
    const world = await encodedWorld();
    await mark(world, 0);
    world.stores[1].fail('read', new KeyturnError('store.unreachable', 'nas is away.', { hint: 'Look at it.' }));
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(reads(world)).toEqual([1, 1]);
    for (const file of world.runner.files.values()) expect(Buffer.from(file).equals(world.snapshot)).toBe(true);
  });

  test('whose marked copy is damaged indeed never comes from there, and is had from the good one once that can be read', async () => {
    const world = await encodedWorld();
    await mark(world, 0);
    await flip(world, 0);
    world.stores[1].fail('read', new KeyturnError('store.unreachable', 'nas is away.', { hint: 'Look at it.' }), 1);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(reads(world)).toEqual([1, 2]);
    for (const file of world.runner.files.values()) expect(Buffer.from(file).equals(world.snapshot)).toBe(true);
  });

  test('whose copies are all marked is not begun with, and nothing is read', async () => {
    const world = await encodedWorld();
    for (const store of [0, 1] as const) await mark(world, store);
    await world.work({}, {}, 1);
    expect(await world.request()).toMatchObject({ state: 'approved' });
    expect([reads(world), world.worked]).toEqual([[0, 0], []]);
  });

  test('that is damaged everywhere is given up within seconds, and each store is named with what is wrong', async () => {
    const world = await encodedWorld();
    await flip(world, 0);
    const { key: name } = world.plan.snapshot.object;
    await world.stores[1].put(name, Buffer.from('short'));
    const began = world.clock.now().getTime();
    await world.work();
    const { outcome, reason } = world.report();
    expect(outcome).toBe('undone');
    expect(reason).toMatch(/in store ceph is damaged\. Its sha256 is another one/);
    expect(reason).toMatch(/in store nas is damaged\. It has 5 bytes instead of \d+\./);
    expect(world.clock.now().getTime() - began).toBeLessThan(30_000);
    expect(world.runner.files.size).toBe(0);
  });

  test('whose one good copy is in a store that is away is waited for', async () => {
    const world = await encodedWorld();
    await flip(world, 0);
    const away = new KeyturnError('store.unreachable', 'nas is away.', { hint: 'Look at it.' });
    world.stores[1].fail('stat', away, 1);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(reads(world)).toEqual([1, 1]);
  });

  test('is not begun with while no identity here opens it', async () => {
    const world = await encodedWorld();
    const coder = fakeCoder({ hasIdentity: false });
    expect((await world.work({ coder }, {}, 1)).kind).toBe('later');
    expect(await world.request()).toMatchObject({ state: 'approved' });
    expect(world.events.at(-1)).toMatchObject({
      type: 'restore.waits',
      problem: { code: 'encryption.no-identity', hint: expect.stringContaining('identityFiles') as string },
    });
    expect(world.worked).toEqual([]);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });
});

test('a plain copy with other bytes of the same number is damaged, and never reaches a node', async () => {
  const world = await restoreWorld({ encoding: PLAIN });
  await flip(world, 0);
  await flip(world, 1);
  await world.work();
  expect(world.report().reason).toMatch(/store ceph is damaged\. Its sha256.*store nas is damaged\. Its sha256/);
  expect(world.runner.files.size).toBe(0);
});
