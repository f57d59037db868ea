/** Retention at work: what it removes, what it never removes, and what it does when a store or a person is in the way. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { damageKey, holdKey, manifestKey, objectKey } from '../../src/domain/snapshot.ts';
import { BUSY_WAIT_MS } from '../../src/jobs/leftovers.ts';
import type { FakeClock } from '../fakes/clock.ts';
import { jobContext } from './world.ts';
import { CLUSTER, damage, hold, idOf, idsOf, put, rest, retentionWorld, whole } from './retention-world.ts';

const AWAY = new KeyturnError('store.unreachable', 'Store nas does not answer.', { hint: 'Start it.' });
const LOCKED = new KeyturnError('store.locked', 'ceph keeps it until 2027-01-01.', { hint: 'Wait.' });
const NEWEST_5 = idsOf(0, 1, 2, 3, 4);

function result(world: Awaited<ReturnType<typeof retentionWorld>>, store: string) {
  const found = world
    .told('retention.done')
    .at(-1)
    ?.stores.find((each) => each.store === store);
  if (found === undefined) throw new Error(`nothing was told of ${store}`);
  return found;
}

describe('after a backup', () => {
  test('what no rule keeps goes from every store, and the event says what, why, and how much', async () => {
    const world = await retentionWorld();
    expect(await world.run()).toEqual({ kind: 'done' });
    for (const store of world.stores) expect([whole(store), rest(store)]).toEqual([NEWEST_5, []]);
    expect(world.told('retention.done')).toMatchObject([
      {
        after: 'backup-prod-eu-1',
        total: { removed: 3, bytes: 600, keeps: 5 },
        stores: [
          {
            store: 'ceph',
            keeps: 5,
            keptBy: { last: 5, newest: 1 },
            removed: { count: 3, bytes: 300, first: [{ id: idOf(7), reason: 'no rule keeps it' }, {}, {}] },
            asks: false,
          },
          { store: 'nas' },
        ],
      },
    ]);
    expect(await world.lease.current(CLUSTER)).toBe(undefined);
  });

  test('what is about to go is told before the first of it is touched', async () => {
    const world = await retentionWorld();
    const removed: number[] = [];
    const publish = world.deps.publish;
    Object.assign(world.deps, {
      publish: async (event: Parameters<typeof publish>[0]) => {
        if (event.type === 'retention.begins')
          removed.push(whole(event.store === 'ceph' ? world.ceph : world.nas).length);
        await publish(event);
      },
    });
    await world.run();
    expect(removed).toEqual([8, 8]);
    expect(world.told('retention.begins')).toMatchObject([{ removes: { count: 3 } }, { removes: { count: 3 } }]);
  });

  test('nothing goes when what is about to go can not be recorded', async () => {
    const world = await retentionWorld();
    const lost = new KeyturnError('audit.failed', 'The disk is full.', { hint: 'Make room.' });
    Object.assign(world.deps, { publish: () => Promise.reject(lost) });
    await expect(world.run()).rejects.toBe(lost);
    expect(whole(world.ceph)).toHaveLength(8);
  });

  test('the manifest goes first, then the object, then what lay beside them', async () => {
    const world = await retentionWorld({ count: 6 });
    await hold(world.ceph, idOf(5), '2026-11-20T07:00:00.000Z');
    await world.run();
    const keys = [manifestKey, objectKey, holdKey, damageKey].map((of) => `remove ${of(CLUSTER, idOf(5))}`);
    expect(world.ceph.calls.filter((call) => call.startsWith('remove'))).toEqual(keys);
  });

  test('a second run finds nothing to do', async () => {
    const world = await retentionWorld();
    await world.run();
    const calls = world.ceph.calls.length;
    await world.run();
    expect(world.ceph.calls.slice(calls).filter((call) => /^(remove|put)/.test(call))).toEqual([]);
    expect(result(world, 'ceph')).toMatchObject({ removed: { count: 0 }, keeps: 5 });
  });

  test('each store has its own policy; without one everything stays', async () => {
    const world = await retentionWorld({ ofStore: { nas: { policy: {} } } });
    await world.run();
    expect([whole(world.ceph).length, whole(world.nas).length]).toEqual([5, 8]);
    expect(result(world, 'nas').keptBy).toMatchObject({ 'no policy': 8 });
    expect(world.told('retention.done')[0]?.total).toEqual({ removed: 3, bytes: 300, keeps: 8 });
  });

  test('a busy cluster is waited for', async () => {
    const world = await retentionWorld();
    const startedAt = '2026-11-21T06:00:00.000Z';
    await world.lease.acquire({ id: 'b', kind: 'backup', cluster: CLUSTER, startedAt });
    expect(await world.run()).toEqual({ kind: 'later', afterMs: BUSY_WAIT_MS });
    expect(world.events).toEqual([]);
  });

  test('an event with thousands of ids stays small', async () => {
    const world = await retentionWorld({ count: 700, policy: { last: 400 } });
    await world.run();
    expect(whole(world.ceph)).toHaveLength(400);
    for (const event of world.events) expect(JSON.stringify(event).length).toBeLessThan(100_000);
    expect(result(world, 'ceph').removed).toMatchObject({ count: 300 });
    expect(result(world, 'ceph').removed.first).toHaveLength(200);
  });

  test('one that was cut off each time says so, and touches nothing', async () => {
    const world = await retentionWorld();
    expect(await world.run({}, { attempt: 4, attempts: 3 })).toEqual({ kind: 'done' });
    expect(world.told('retention.done')).toMatchObject([{ problem: { code: 'job.interrupted' }, stores: [] }]);
    expect(whole(world.ceph)).toHaveLength(8);
  });
});

describe('what is never removed', () => {
  test('the newest that is verified by its own manifest, though newer ones are there', async () => {
    const world = await retentionWorld({ policy: { last: 1 }, count: 4 });
    await damage(world.ceph, idOf(0));
    world.ceph.objects.set(manifestKey(CLUSTER, idOf(1)), { body: Buffer.from('{}'), modifiedAt: new Date() });
    await world.run();
    expect(whole(world.ceph)).toEqual(idsOf(0, 2));
    expect(whole(world.nas)).toEqual(idsOf(0));
  });

  test('anything, where none of the newest has a good manifest', async () => {
    const world = await retentionWorld({ policy: { last: 11 }, count: 13 });
    for (let age = 0; age < 10; age += 1)
      world.ceph.objects.set(manifestKey(CLUSTER, idOf(age)), { body: Buffer.from('{}'), modifiedAt: new Date() });
    await world.run();
    expect(whole(world.ceph)).toHaveLength(13);
    expect(whole(world.nas)).toHaveLength(11);
    expect(result(world, 'ceph').problem).toMatchObject({ code: 'snapshot.damaged' });
  });

  test('one that is held in any store, from all of them; an ended hold holds nothing', async () => {
    const world = await retentionWorld();
    await hold(world.nas, idOf(6));
    await hold(world.nas, idOf(7), '2026-11-21T06:10:00.000Z');
    await world.run();
    for (const store of world.stores) expect(whole(store)).toEqual([...NEWEST_5, idOf(6)]);
    expect(result(world, 'ceph').keptBy).toMatchObject({ held: 1 });
  });

  test('one whose hold has ended goes, though the store itself still keeps it', async () => {
    const world = await retentionWorld();
    const kept = new Set([objectKey(CLUSTER, idOf(7)), manifestKey(CLUSTER, idOf(7))]);
    const remove = world.ceph.remove.bind(world.ceph);
    Object.assign(world.ceph, {
      legalHold: async (key: string, on: boolean) => (on ? kept.add(key) : kept.delete(key), true),
      remove: (key: string) =>
        kept.has(key) ? Promise.reject(new KeyturnError('store.locked', 'Kept.', { hint: 'Wait.' })) : remove(key),
    });
    await hold(world.nas, idOf(7), '2026-11-21T06:10:00.000Z');
    await world.run();
    for (const store of world.stores) expect(whole(store)).toEqual(NEWEST_5);
  });

  test.each([
    ['no JSON', 'held'],
    ['an unknown field', '{"format":1,"reason":"x","by":"U1","at":"2026-11-20T06:00:00.000Z","for":"ever"}'],
    ['a later format', '{"format":2,"reason":"x","by":"U1","at":"2026-11-20T06:00:00.000Z"}'],
    ['a time that is none', '{"format":1,"reason":"x","by":"U1","at":"2026-11-20T06:00:00.000Z","until":"soon"}'],
    ['too long', ' '.repeat(20_000)],
  ])('one with a hold that can not be read: %s', async (_, text) => {
    const world = await retentionWorld();
    await world.ceph.put(holdKey(CLUSTER, idOf(7)), Buffer.from(text));
    await world.run();
    for (const store of world.stores) expect(whole(store)).toEqual([...NEWEST_5, idOf(7)]);
  });

  test('one that is held after the look and before its turn', async () => {
    const world = await retentionWorld();
    const publish = world.deps.publish;
    Object.assign(world.deps, {
      publish: async (event: Parameters<typeof publish>[0]) => {
        if (event.type === 'retention.begins' && event.store === 'ceph') await hold(world.nas, idOf(6));
        await publish(event);
      },
    });
    await world.run();
    for (const store of world.stores) expect(whole(store)).toEqual([...NEWEST_5, idOf(6)]);
  });

  test('one that an open restore of any cluster wants', async () => {
    const world = await retentionWorld();
    world.want(idOf(7));
    await world.run();
    for (const store of world.stores) expect(whole(store)).toEqual([...NEWEST_5, idOf(7)]);
    expect(result(world, 'ceph').keptBy).toMatchObject({ 'restore request': 1 });
  });

  test('anything, while an approved restore of the cluster waits', async () => {
    const world = await retentionWorld();
    world.restore();
    await world.run();
    for (const store of world.stores) expect(whole(store)).toHaveLength(8);
    expect(result(world, 'ceph').problem).toMatchObject({
      code: 'cluster.busy',
      message: expect.stringContaining('r2') as string,
    });
    expect(await world.lease.current(CLUSTER)).toBe(undefined);
  });

  test("another tool's snapshots and files", async () => {
    const world = await retentionWorld();
    const others = [
      'prod-eu/etcd-snapshot-20200101.db',
      'prod-eu/Full-00000000-00001000-1580000000',
      'prod-eu/notes.txt',
    ];
    for (const key of others) await world.ceph.put(key, Buffer.from('x'));
    await world.run();
    expect(rest(world.ceph)).toEqual([...others].sort());
  });

  test('the only good copy of one whose other copies are damaged', async () => {
    const world = await retentionWorld();
    await damage(world.nas, idOf(7));
    await world.run();
    expect(whole(world.ceph)).toEqual([...NEWEST_5, idOf(7)]);
    expect(whole(world.nas)).toEqual(NEWEST_5);
  });

  test('anything in any store, while one can not be listed: a hold there is not known', async () => {
    const world = await retentionWorld();
    world.nas.fail('list', AWAY);
    expect(await world.run()).toEqual({ kind: 'done' });
    expect(whole(world.ceph)).toHaveLength(8);
    expect(result(world, 'nas').problem).toMatchObject({ message: AWAY.message });
    expect(result(world, 'ceph').problem?.message).toContain("while store nas can't be listed");
    expect([result(world, 'ceph').isKnown, result(world, 'nas').isKnown]).toEqual([false, false]);
  });
});

describe('more than the share at once', () => {
  test('nothing goes there, and people are asked; the other store is not concerned', async () => {
    const world = await retentionWorld({ count: 20, ofStore: { nas: { policy: { last: 15 } } } });
    await world.run();
    expect([whole(world.ceph).length, whole(world.nas).length]).toEqual([20, 15]);
    const [asks, ...more] = world.told('retention.asks');
    expect(more).toEqual([]);
    expect(asks).toMatchObject({
      store: 'ceph',
      total: 20,
      policy: { last: 5 },
      removes: { count: 15, bytes: 1500, first: { length: 10 } },
      newest: '2026-11-21T01:00:00.000Z',
      oldest: '2026-11-20T11:00:00.000Z',
      notNow: undefined,
    });
    expect(result(world, 'ceph').asks).toBe(true);
    expect(world.told('retention.begins')).toHaveLength(1);
  });

  test('up to three go all the same, however few there are', async () => {
    const world = await retentionWorld({ count: 4, policy: { last: 1 } });
    await world.run();
    expect(whole(world.ceph)).toEqual(idsOf(0));
    expect(world.told('retention.asks')).toEqual([]);
  });

  test('exactly the share goes', async () => {
    const world = await retentionWorld({ count: 10 });
    await world.run();
    expect(whole(world.ceph)).toEqual(NEWEST_5);
  });

  /** A world in which the question was asked, and the word that answers it. */
  async function asked() {
    const world = await retentionWorld({ count: 20 });
    await world.run();
    const digest = world.told('retention.asks').find(({ store }) => store === 'ceph')?.digest ?? '';
    const confirmed = { store: 'ceph', digest, by: 'U0OPS' };
    world.events.length = 0;
    return { ...world, confirmed, again: { id: 'retention-confirmed', after: undefined, confirmed } };
  }

  test('a person’s word removes exactly what was asked, and only there', async () => {
    const world = await asked();
    await world.run(world.again);
    expect(whole(world.ceph)).toEqual(NEWEST_5);
    expect(whole(world.nas)).toHaveLength(20);
    expect(world.told('retention.begins')).toMatchObject([{ store: 'ceph', confirmed: world.confirmed }]);
    expect(world.told('retention.done')).toMatchObject([{ confirmed: world.confirmed, stores: [{ store: 'ceph' }] }]);
  });

  test('a worker that died in the middle is followed by one that goes on, and tells all of it', async () => {
    const world = await asked();
    const remove = world.ceph.remove.bind(world.ceph);
    let calls = 0;
    world.ceph.remove = async (key) => {
      calls += 1;
      if (calls === 22) world.lease.lose(CLUSTER);
      await remove(key);
    };
    const context = jobContext();
    await expect(world.run(world.again, context)).rejects.toMatchObject({ code: 'lease.lost' });
    expect(whole(world.ceph).length).toBeGreaterThan(5);
    expect(whole(world.ceph).length).toBeLessThan(20);
    await world.run(world.again, { attempt: 2, remembered: context.remembered });
    expect(whole(world.ceph)).toEqual(NEWEST_5);
    expect(result(world, 'ceph')).toMatchObject({ removed: { count: 15, bytes: 1500 }, keeps: 5, problem: undefined });
  });

  test('of something else removes nothing, and asks anew', async () => {
    const world = await asked();
    await put(world.ceph, idOf(-1));
    await world.run(world.again);
    expect(whole(world.ceph)).toHaveLength(21);
    expect(world.told('retention.asks')).toMatchObject([{ store: 'ceph', notNow: 'U0OPS', removes: { count: 16 } }]);
    expect(result(world, 'ceph').problem).toMatchObject({ code: 'retention.not-now' });
  });

  test('for another policy removes nothing', async () => {
    const world = await asked();
    Object.assign(world.deps, { retentionOf: () => ({ policy: { last: 6 }, mostAtOnce: 0.5, strayGraceMs: 1 }) });
    await world.run(world.again);
    expect(whole(world.ceph)).toHaveLength(20);
  });

  test('twice removes once', async () => {
    const world = await asked();
    await world.run(world.again);
    await world.run({ ...world.again, id: 'retention-confirmed-2' });
    expect(whole(world.ceph)).toEqual(NEWEST_5);
    expect(result(world, 'ceph')).toMatchObject({ removed: { count: 0 }, problem: undefined, asks: false });
  });
});

describe('a store that refuses', () => {
  test('what it has locked is told with its reason and stays whole; the rest goes', async () => {
    const world = await retentionWorld();
    const remove = world.ceph.remove.bind(world.ceph);
    world.ceph.remove = async (key) => {
      if (key === manifestKey(CLUSTER, idOf(7))) throw LOCKED;
      await remove(key);
    };
    await world.run();
    expect(whole(world.ceph)).toEqual([...NEWEST_5, idOf(7)]);
    expect(result(world, 'ceph')).toMatchObject({
      removed: { count: 2 },
      locked: { count: 1, ids: [idOf(7)], message: LOCKED.message },
      problem: undefined,
    });
  });

  test('an object that is locked gets its manifest back', async () => {
    const world = await retentionWorld();
    const before = world.ceph.objects.get(manifestKey(CLUSTER, idOf(7)))?.body;
    const remove = world.ceph.remove.bind(world.ceph);
    world.ceph.remove = async (key) => {
      if (key === objectKey(CLUSTER, idOf(7))) throw LOCKED;
      await remove(key);
    };
    await world.run();
    expect(whole(world.ceph)).toEqual([...NEWEST_5, idOf(7)]);
    expect(world.ceph.objects.get(manifestKey(CLUSTER, idOf(7)))?.body).toEqual(before);
  });

  test('one that can not remove is told, and the others are looked after', async () => {
    const world = await retentionWorld();
    world.ceph.fail('remove', new KeyturnError('store.refused', 'Access denied.', { hint: 'Allow it.' }));
    expect(await world.run()).toEqual({ kind: 'done' });
    expect([whole(world.ceph).length, whole(world.nas).length]).toEqual([8, 5]);
    expect(result(world, 'ceph').problem).toMatchObject({ code: 'store.refused', message: 'Access denied.' });
  });

  test('one that hangs is left after a minute', async () => {
    const world = await retentionWorld();
    world.ceph.remove = () => new Promise(() => undefined);
    const running = world.run();
    const clock = world.clock as FakeClock;
    for (let i = 0; i < 200 && world.told('retention.done').length === 0; i += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (i % 10 === 9) await clock.advance(60_000);
    }
    expect(await running).toEqual({ kind: 'done' });
    expect(result(world, 'ceph').problem?.message).toContain('did not answer within 60 s');
    expect(whole(world.nas)).toEqual(NEWEST_5);
  });
});

describe('without the lease', () => {
  test('nothing more is removed once it is lost, and the run ends with that', async () => {
    const world = await retentionWorld({ count: 40, policy: { last: 21 } });
    const remove = world.ceph.remove.bind(world.ceph);
    let calls = 0;
    world.ceph.remove = async (key) => {
      calls += 1;
      if (calls === 10) world.lease.lose(CLUSTER);
      await remove(key);
    };
    await expect(world.run()).rejects.toMatchObject({ code: 'lease.lost' });
    expect(calls).toBeLessThan(20);
    expect(whole(world.nas)).toHaveLength(40);
    expect(world.told('retention.done')).toEqual([]);
  });

  test('that somebody else has meanwhile nothing is removed, though nobody said that it was lost', async () => {
    const world = await retentionWorld();
    Object.assign(world.deps, {
      lease: {
        ...world.lease,
        current: async () => ({ id: 'other', kind: 'backup', cluster: CLUSTER, startedAt: '' }),
      },
    });
    await expect(world.run()).rejects.toMatchObject({ code: 'lease.lost' });
    expect(whole(world.ceph)).toHaveLength(8);
  });

  test('a worker that is told to stop stops, and says nothing of an end', async () => {
    const world = await retentionWorld();
    const stop = new AbortController();
    const remove = world.ceph.remove.bind(world.ceph);
    world.ceph.remove = async (key) => {
      stop.abort(new Error('stop'));
      await remove(key);
    };
    await expect(world.run({}, { signal: stop.signal })).rejects.toThrow('stop');
    expect(world.told('retention.done')).toEqual([]);
    expect(await world.lease.current(CLUSTER)).toBe(undefined);
  });
});
