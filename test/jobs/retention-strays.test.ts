/** What lies in a store and belongs to nothing: told at once, removed once nobody can need it any more. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { FoundStray } from '../../src/domain/retention-event.ts';
import { damageKey, holdKey, manifestKey, objectKey, serialiseManifest } from '../../src/domain/snapshot.ts';
import type { FakeClock } from '../fakes/clock.ts';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { CLUSTER, hold, idOf, put, rest, retentionWorld, whole } from './retention-world.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const OLD = new Date(Date.parse('2026-11-21T06:10:00.000Z') - DAY - 1);

/** As if it had been written more than a day ago. */
function age(store: MemoryStore, ...keys: readonly string[]): void {
  for (const key of keys) writtenAt(store, key, OLD);
}

function writtenAt(store: MemoryStore, key: string, modifiedAt: Date): void {
  const object = store.objects.get(key);
  if (object !== undefined) store.objects.set(key, { ...object, modifiedAt });
}

/** The world after one run: what became of each stray in ceph, by its key. */
async function fates(world: Awaited<ReturnType<typeof retentionWorld>>): Promise<Record<string, FoundStray['fate']>> {
  await world.run();
  const found = world.told('retention.done').at(-1)?.strays?.first ?? [];
  return Object.fromEntries(found.filter(({ store }) => store === 'ceph').map(({ key, fate }) => [key, fate]));
}

const GONE = idOf(9);
const [OBJECT, MANIFEST, HOLD, DAMAGE] = [objectKey, manifestKey, holdKey, damageKey].map((of) =>
  of(CLUSTER, GONE),
) as [string, string, string, string];

async function worldWith(...keys: readonly string[]) {
  const world = await retentionWorld({ count: 3 });
  for (const key of keys) await world.ceph.put(key, Buffer.from('x'));
  age(world.ceph, ...keys);
  return world;
}

describe('an object without a manifest', () => {
  test('waits for its grace, is told meanwhile, and is removed after it', async () => {
    const world = await retentionWorld({ count: 3 });
    await world.ceph.put(OBJECT, Buffer.from('xyz'));
    // Somebody may be making a copy: nobody is alarmed.
    expect(await fates(world)).toEqual({ [OBJECT]: 'spared' });
    writtenAt(world.ceph, OBJECT, new Date(OLD.getTime() + 2 * HOUR));
    expect(await fates(world)).toEqual({ [OBJECT]: 'waits' });
    expect(world.told('retention.done')[1]?.strays).toMatchObject({ count: 1, bytes: 3 });
    age(world.ceph, OBJECT);
    expect(await fates(world)).toEqual({ [OBJECT]: 'removed' });
    expect(rest(world.ceph)).toEqual([]);
    expect(await fates(world)).toEqual({});
  });

  test('is removed in every form of its name', async () => {
    const keys = ['.db', '.db.zst', '.db.age', '.db.zst.age'].map((end) => `${CLUSTER}/${GONE}${end}`);
    const world = await worldWith(...keys.slice(0, 2));
    await world.run();
    expect(rest(world.ceph)).toEqual([]);
    const more = await worldWith(...keys.slice(2));
    await more.run();
    expect(rest(more.ceph)).toEqual([]);
  });

  test('stays when it is held, wanted by a restore, or newer than any snapshot', async () => {
    const held = await worldWith(OBJECT);
    await hold(held.ceph, GONE);
    expect(await fates(held)).toMatchObject({ [OBJECT]: 'left' });
    const wanted = await worldWith(OBJECT);
    wanted.want(GONE);
    expect(await fates(wanted)).toEqual({ [OBJECT]: 'left' });
    const newest = objectKey(CLUSTER, idOf(-5));
    const newer = await worldWith(newest);
    expect(await fates(newer)).toEqual({ [newest]: 'left' });
    for (const world of [held, wanted, newer]) expect(rest(world.ceph).length).toBeGreaterThan(0);
  });

  test('stays where there are too many: somebody may have removed their manifests', async () => {
    const world = await retentionWorld({ count: 9, policy: {} });
    for (let i = 3; i < 9; i += 1) {
      world.ceph.objects.delete(manifestKey(CLUSTER, idOf(i)));
      age(world.ceph, objectKey(CLUSTER, idOf(i)));
    }
    expect(Object.values(await fates(world))).toEqual(Array(6).fill('left'));
    expect(rest(world.ceph)).toHaveLength(6);
  });

  test('whose manifest came meanwhile stays', async () => {
    const world = await worldWith(OBJECT);
    const stat = world.ceph.stat.bind(world.ceph);
    world.ceph.stat = async (key) => {
      if (key === MANIFEST) await put(world.ceph, GONE);
      return stat(key);
    };
    expect(await fates(world)).toEqual({ [OBJECT]: 'left' });
    expect(whole(world.ceph)).toContain(GONE);
  });

  test('that was written anew since the listing stays', async () => {
    const world = await worldWith(OBJECT);
    const stat = world.ceph.stat.bind(world.ceph);
    world.ceph.stat = async (key) => {
      if (key === OBJECT) await world.ceph.put(OBJECT, Buffer.from('new'));
      return stat(key);
    };
    expect(await fates(world)).toEqual({ [OBJECT]: 'left' });
    expect(rest(world.ceph)).toEqual([OBJECT]);
  });

  test("of another tool's naming is nobody's stray", async () => {
    const others = ['prod-eu/etcd-snapshot-2020.db', 'prod-eu/20261121T060000Z.db', 'prod-eu/x/20261121T060000Z-1.db'];
    const world = await worldWith(...others);
    expect(await fates(world)).toEqual({});
    expect(rest(world.ceph)).toEqual([...others].sort());
  });
});

describe('a manifest without an object', () => {
  async function worldWithManifest(key = OBJECT) {
    const world = await retentionWorld({ count: 3 });
    const record = snapshotRecord({ cluster: CLUSTER, id: GONE, object: { key, size: 3, sha256: 'a'.repeat(64) } });
    await world.ceph.put(MANIFEST, Buffer.from(serialiseManifest(record)));
    age(world.ceph, MANIFEST);
    return world;
  }

  test('is removed after its grace', async () => {
    const world = await worldWithManifest();
    expect(await fates(world)).toEqual({ [MANIFEST]: 'removed' });
    expect(rest(world.ceph)).toEqual([]);
  });

  test('stays where another store has a good copy, which can repair it', async () => {
    const world = await worldWithManifest();
    await put(world.nas, GONE);
    expect(await fates(world)).toEqual({ [MANIFEST]: 'left' });
    expect(rest(world.ceph)).toEqual([MANIFEST]);
  });

  test('that speaks of an object of another name, or can not be read, stays', async () => {
    const other = await worldWithManifest(`${CLUSTER}/etcd-snapshot-2020.db`);
    await other.ceph.put(`${CLUSTER}/etcd-snapshot-2020.db`, Buffer.from('xyz'));
    expect(await fates(other)).toEqual({ [MANIFEST]: 'left' });
    const broken = await worldWith(MANIFEST);
    expect(await fates(broken)).toEqual({ [MANIFEST]: 'left' });
  });
});

describe('a note beside a snapshot that is gone', () => {
  test('goes after its grace', async () => {
    const world = await worldWith(HOLD, DAMAGE);
    expect(await fates(world)).toEqual({ [HOLD]: 'removed', [DAMAGE]: 'removed' });
    expect(rest(world.ceph)).toEqual([]);
  });

  test('stays while the snapshot lies in another store, without alarm', async () => {
    const world = await worldWith(HOLD);
    await put(world.nas, GONE);
    expect(await fates(world)).toEqual({ [HOLD]: 'spared' });
  });

  test('stays while parts of the snapshot are there', async () => {
    const world = await worldWith(HOLD, OBJECT);
    expect(await fates(world)).toEqual({ [HOLD]: 'left', [OBJECT]: 'left' });
  });
});

describe('an open upload', () => {
  const begin = (world: Awaited<ReturnType<typeof retentionWorld>>, key: string) =>
    world.ceph.beginUpload(key, new AbortController().signal);

  async function open(world: Awaited<ReturnType<typeof retentionWorld>>): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of world.ceph.openUploads('')) keys.push(key);
    return keys;
  }

  test('is told, and aborted after its grace; those of others stay', async () => {
    const world = await retentionWorld({ count: 3 });
    await begin(world, OBJECT);
    await begin(world, `${CLUSTER}/backup.tar`);
    expect(await fates(world)).toEqual({ [OBJECT]: 'spared' });
    await (world.clock as FakeClock).advance(2 * HOUR);
    expect(await fates(world)).toEqual({ [OBJECT]: 'waits' });
    await (world.clock as FakeClock).advance(DAY);
    expect(await fates(world)).toEqual({ [OBJECT]: 'removed' });
    expect(await open(world)).toEqual([`${CLUSTER}/backup.tar`]);
  });

  test('that can not be listed is told, and the run goes on', async () => {
    const world = await retentionWorld();
    const refused = new KeyturnError('store.refused', 'May not list uploads.', { hint: 'Allow it.' });
    world.ceph.fail('openUploads', refused);
    await world.run();
    expect(whole(world.nas)).toHaveLength(5);
    expect(world.told('retention.done')[0]?.strays?.problems).toEqual([
      { store: 'ceph', problem: { code: 'store.refused', message: refused.message, hint: refused.hint } },
    ]);
  });
});

test('nothing is removed while another store can not be listed', async () => {
  const world = await worldWith(OBJECT, HOLD);
  world.nas.fail('list', new KeyturnError('store.unreachable', 'Away.', { hint: 'Wait.' }));
  expect(await fates(world)).toEqual({ [OBJECT]: 'left', [HOLD]: 'left' });
});

test('what a store will not let go of is left, and said', async () => {
  const world = await worldWith(OBJECT);
  world.ceph.fail('remove', new KeyturnError('store.locked', 'Locked until 2030.', { hint: 'Wait.' }));
  await world.run();
  expect(world.told('retention.done')[0]?.strays?.first).toMatchObject([{ fate: 'left', why: 'Locked until 2030.' }]);
});

test('a run that a person confirmed looks for none', async () => {
  const world = await worldWith(OBJECT);
  await world.run({ after: undefined, confirmed: { store: 'ceph', digest: 'x', by: 'U1' } });
  expect(world.told('retention.done')[0]?.strays).toBe(undefined);
  expect(rest(world.ceph)).toEqual([OBJECT]);
});
