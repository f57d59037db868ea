/** Holds: written into every store before they are told, lifted everywhere, and safe whichever store is away. */
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import type { RestoreCommandDeps } from '../../src/commands/deps.ts';
import type { RetentionCommandDeps } from '../../src/commands/show-retention.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { parseHold } from '../../src/domain/hold.ts';
import type { RetentionSpec } from '../../src/domain/retention.ts';
import { holdKey, manifestKey, serialiseManifest } from '../../src/domain/snapshot.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { record, spec } from '../chat/samples.ts';
import { memoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { somebody } from '../support/requests.ts';
import { refusalOf, restoreWorld } from '../support/restore-world.ts';

const ID = '20261121T060000Z-17';
const NOTE = holdKey('prod-eu', ID);
const operator = somebody('U0OPERATOR', { groups: ['S0OPS'] });
const onlooker = somebody('U0ONLOOKER');
const origin = { user: operator.id, channel: 'C1' };
const away = new KeyturnError('store.unreachable', 'Store nas is away.', { hint: 'Look at it.' });
const wish = { cluster: 'prod-eu', snapshot: ID, reason: 'before the upgrade', end: undefined } as const;
const release = { cluster: 'prod-eu', snapshot: ID, isConfirmed: true } as const;

async function save(store: SnapshotStore, change: Parameters<typeof record>[0] = {}): Promise<void> {
  const made = record({ size: 3, object: { ...record().object, size: 3 }, ...change });
  await store.put(made.object.key, Buffer.from('abc'));
  await store.put(manifestKey(made.cluster, made.id), Buffer.from(serialiseManifest(made)));
}

async function world(
  change: { deps?: Partial<RestoreCommandDeps & RetentionCommandDeps>; stores?: readonly SnapshotStore[] } = {},
) {
  const [ceph, nas] = [memoryStore('ceph'), memoryStore('nas')];
  for (const store of [ceph, nas]) await save(store);
  const stores = change.stores ?? [ceph, nas];
  const clusters = [spec('prod-eu', { stores: ['ceph', 'nas'] }), spec('staging', { stores: ['ceph', 'nas'] })];
  const made = restoreWorld({
    clusters,
    people: { request: [], approve: [], operate: [operator.id] },
    stores: new Map(stores.map((store) => [store.name, store])),
    catalogue: catalogue(stores, () => ['ceph', 'nas']),
    directory: { person: async (user) => (user === operator.id ? operator : onlooker) },
    ...change.deps,
  });
  const noteIn = (store: MemoryStore) => {
    const body = store.objects.get(NOTE)?.body;
    return body === undefined ? undefined : parseHold(body.toString('utf8'));
  };
  return { ...made, ceph, nas, noteIn };
}

describe('a hold', () => {
  test('is noted in every store with a copy, kept in the audit before, and told after', async () => {
    const { commands, ceph, nas, noteIn, facts, published, clock } = await world();
    const answer = await commands.holdSnapshot(operator, { ...wish, end: { kind: 'for', ms: 86_400_000 } }, origin);
    const at = clock.now();
    const note = {
      format: 1,
      reason: 'before the upgrade',
      by: operator.id,
      at: at.toISOString(),
      until: new Date(at.getTime() + 86_400_000).toISOString(),
    };
    expect([noteIn(ceph), noteIn(nas)]).toEqual([note, note]);
    expect(answer).toMatchObject({ snapshot: ID, before: undefined, change: { kind: 'held', note } });
    expect(answer.stores).toEqual([
      { store: 'ceph', problem: undefined },
      { store: 'nas', problem: undefined },
    ]);
    expect(facts).toMatchObject([{ type: 'hold.asked', snapshot: ID, change: { kind: 'held', note } }]);
    expect(published).toMatchObject([{ type: 'hold.changed', snapshot: ID, change: { kind: 'held', note }, origin }]);
    expect(await commands.showSnapshot(onlooker, wish)).toMatchObject({ hold: { note, isActive: true } });
  });

  test('is found without its cluster when only one has it', async () => {
    const { commands, ceph, noteIn } = await world();
    await commands.holdSnapshot(operator, { ...wish, cluster: undefined, snapshot: ID.toLowerCase() }, origin);
    expect(noteIn(ceph)?.reason).toBe('before the upgrade');
  });

  test('needs its cluster when several have one of that name', async () => {
    const { commands, ceph } = await world();
    await save(ceph, { cluster: 'staging', object: { ...record().object, size: 3, key: `staging/${ID}.db` } });
    const error = await refusalOf(commands.holdSnapshot(operator, { ...wish, cluster: undefined }, origin));
    expect(error).toMatchObject({
      code: 'command.invalid',
      hint: expect.stringContaining('prod-eu, staging') as string,
    });
  });

  test('of a store that is away is tried again by a job, and the snapshot is held meanwhile', async () => {
    const { commands, ceph, nas, noteIn, queue } = await world();
    nas.fail('put', away);
    const answer = await commands.holdSnapshot(operator, wish, origin);
    expect(answer.stores).toMatchObject([
      { store: 'ceph', problem: undefined },
      { store: 'nas', problem: { code: away.code } },
    ]);
    expect(noteIn(ceph)).toBeDefined();
    expect(queue.jobs.map(({ job }) => job)).toMatchObject([
      { kind: 'hold', store: 'nas', note: { reason: wish.reason }, keys: { note: NOTE, object: `prod-eu/${ID}.db` } },
    ]);
  });

  test('goes to a store that could not be listed, too', async () => {
    const { commands, nas, queue } = await world();
    nas.fail('list', away);
    nas.fail('stat', away);
    const answer = await commands.holdSnapshot(operator, wish, origin);
    expect(answer.stores.map(({ store, problem }) => [store, problem?.code])).toEqual([
      ['ceph', undefined],
      ['nas', 'store.unreachable'],
    ]);
    expect(queue.jobs).toHaveLength(1);
  });

  test('that no store takes is refused, and nothing is told', async () => {
    const { commands, ceph, nas, queue, published } = await world();
    for (const store of [ceph, nas]) store.fail('put', away);
    const error = await refusalOf(commands.holdSnapshot(operator, wish, origin));
    expect(error).toMatchObject({ code: 'store.unreachable', message: expect.stringContaining('not held') as string });
    expect([queue.jobs.length, published.length]).toEqual([0, 0]);
  });

  test('of a snapshot that retention removes in this very moment leaves nothing behind, and says so', async () => {
    const [ceph, nas] = [memoryStore('ceph'), memoryStore('nas')];
    const stores = [ceph, nas].map((store): SnapshotStore => ({
      ...store,
      async put(key, body) {
        await store.put(key, body);
        if (key === NOTE) await store.remove(`prod-eu/${ID}.db`);
      },
    }));
    for (const store of [ceph, nas]) await save(store);
    const { commands } = await world({ stores });
    const error = await refusalOf(commands.holdSnapshot(operator, wish, origin));
    expect(error.code).toBe('snapshot.unknown');
    expect([ceph.objects.has(NOTE), nas.objects.has(NOTE)]).toEqual([false, false]);
  });

  test.each(['object', 'manifest'])(
    'waits for a run of retention that is just removing the %s, and then tells the truth',
    async (part) => {
      const { commands, clock, lease, ceph, nas } = await world();
      await lease.acquire({ id: 'r', kind: 'retention', cluster: 'prod-eu', startedAt: clock.now().toISOString() });
      const held = refusalOf(commands.holdSnapshot(operator, wish, origin));
      for (let i = 0; i < 100 && !nas.objects.has(NOTE); i += 1) await new Promise((resolve) => setImmediate(resolve));
      for (const store of [ceph, nas])
        await store.remove(part === 'object' ? `prod-eu/${ID}.db` : manifestKey('prod-eu', ID));
      await clock.advance(3_000);
      expect((await held).code).toBe('snapshot.unknown');
      expect([ceph.objects.has(NOTE), nas.objects.has(NOTE)]).toEqual([false, false]);
    },
  );

  test('takes the place of another, which is named', async () => {
    const { commands, clock, noteIn, ceph } = await world();
    await commands.holdSnapshot(operator, wish, origin);
    await clock.advance(1000);
    const answer = await commands.holdSnapshot(operator, { ...wish, reason: 'the auditors ask' }, origin);
    expect(answer.before?.reason).toBe('before the upgrade');
    expect(noteIn(ceph)?.reason).toBe('the auditors ask');
  });

  test("has the store's own legal hold put on object and manifest, and taken off again", async () => {
    const legal: string[] = [];
    const [ceph, nas] = [memoryStore('ceph'), memoryStore('nas')];
    for (const store of [ceph, nas]) await save(store);
    const locking: SnapshotStore = {
      ...ceph,
      legalHold: async (key, on) => (legal.push(`${on ? '+' : '-'}${key}`), true),
    };
    const { commands } = await world({ stores: [locking, nas] });
    await commands.holdSnapshot(operator, wish, origin);
    await commands.releaseSnapshot(operator, release, origin);
    const keys = [`prod-eu/${ID}.db`, manifestKey('prod-eu', ID)];
    expect(legal).toEqual([...keys.map((key) => `+${key}`), ...keys.map((key) => `-${key}`)]);
    expect(ceph.objects.has(NOTE)).toBe(false);
  });

  test('counts when the note was taken, though the store can not keep the object itself yet', async () => {
    const ceph = memoryStore('ceph');
    await save(ceph);
    const refusing: SnapshotStore = { ...ceph, legalHold: () => Promise.reject(away) };
    const { commands, queue } = await world({ stores: [refusing] });
    const answer = await commands.holdSnapshot(operator, wish, origin);
    expect(answer.stores).toMatchObject([{ store: 'ceph', problem: { code: away.code } }]);
    expect(queue.jobs).toHaveLength(1);
    expect(ceph.objects.has(NOTE)).toBe(true);
  });

  test.each([
    ['no reason', { reason: ' \n ' }, 'command.invalid'],
    ['an end that is past', { end: { kind: 'until', at: '2020-01-01T00:00:00.000Z' } }, 'command.invalid'],
    ['an end beyond a hundred years', { end: { kind: 'for', ms: 1e15 } }, 'command.invalid'],
    ['a snapshot that is not there', { snapshot: '20261121T060000Z-99' }, 'snapshot.unknown'],
    ['a cluster that is not there', { cluster: 'prod' }, 'cluster.unknown'],
  ] as const)('with %s is refused', async (_, change, code) => {
    const { commands, facts, ceph } = await world();
    expect((await refusalOf(commands.holdSnapshot(operator, { ...wish, ...change }, origin))).code).toBe(code);
    expect(facts).toEqual([]);
    expect(ceph.objects.has(NOTE)).toBe(false);
  });

  test('of a snapshot that is nearly there says which was meant', async () => {
    const { commands } = await world();
    const error = await refusalOf(commands.holdSnapshot(operator, { ...wish, snapshot: '20261121T060000Z-1' }, origin));
    expect(error.hint).toContain(`Did you mean "${ID}"?`);
  });

  test('is for operators, and so is the release', async () => {
    const { commands } = await world();
    expect((await refusalOf(commands.holdSnapshot(onlooker, wish, origin))).code).toBe('permission.denied');
    expect((await refusalOf(commands.releaseSnapshot(onlooker, release, origin))).code).toBe('permission.denied');
  });

  test('is not put on when the audit can not keep it', async () => {
    const failed = new KeyturnError('audit.failed', 'The disk is full.', { hint: 'Make room.' });
    const { commands, ceph, deps } = await world();
    deps.audit.record = () => Promise.reject(failed);
    expect((await refusalOf(commands.holdSnapshot(operator, wish, origin))).code).toBe('audit.failed');
    expect(ceph.objects.has(NOTE)).toBe(false);
  });

  test("of another tool's snapshot goes by its name", async () => {
    const { commands, ceph } = await world();
    await ceph.put('prod-eu/nightly.db', Buffer.from('abc'));
    await commands.holdSnapshot(operator, { ...wish, snapshot: 'nightly.db' }, origin);
    expect(ceph.objects.has('prod-eu/nightly.db.hold.json')).toBe(true);
    expect(await commands.showSnapshot(onlooker, { cluster: 'prod-eu', snapshot: 'nightly.db' })).toMatchObject({
      record: undefined,
      hold: { isActive: true },
    });
  });
});

describe('a release', () => {
  test('takes the note away in every store', async () => {
    const { commands, ceph, nas, published } = await world();
    await commands.holdSnapshot(operator, wish, origin);
    const answer = await commands.releaseSnapshot(operator, release, origin);
    expect(answer).toMatchObject({ change: { kind: 'released', by: operator.id }, before: { reason: wish.reason } });
    expect([ceph.objects.has(NOTE), nas.objects.has(NOTE)]).toEqual([false, false]);
    expect(published.at(-1)).toMatchObject({ type: 'hold.changed', change: { kind: 'released' } });
    expect((await commands.showSnapshot(onlooker, wish)).hold).toBeUndefined();
  });

  test('leaves it held where a store is away, which a job sees to', async () => {
    const { commands, nas, queue } = await world();
    await commands.holdSnapshot(operator, wish, origin);
    nas.fail('remove', away);
    const answer = await commands.releaseSnapshot(operator, release, origin);
    expect(answer).toMatchObject({ stores: [{ store: 'ceph' }, { store: 'nas', problem: { code: away.code } }] });
    expect(queue.jobs.map(({ job }) => job)).toMatchObject([{ kind: 'hold', store: 'nas', note: undefined }]);
    expect(await commands.showSnapshot(onlooker, wish)).toMatchObject({ hold: { isActive: true, stores: ['nas'] } });
  });

  describe('after which retention would remove it at once', () => {
    const NEWER = '20261121T063000Z-18';
    const newest = { policy: { last: 1 }, mostAtOnce: 0.5, strayGraceMs: 0 };
    const typed = { ...release, isConfirmed: false };
    async function twoOf(policy: RetentionSpec) {
      const made = await world({ deps: { retentionOf: () => policy } });
      const object = { ...record().object, size: 3, key: `prod-eu/${NEWER}.db` };
      for (const store of [made.ceph, made.nas])
        await save(store, { id: NEWER, takenAt: '2026-11-21T06:30:00.000Z', object });
      await made.commands.holdSnapshot(operator, wish, origin);
      return made;
    }

    test('is asked about first, and nothing is released until it is confirmed', async () => {
      const { commands, ceph } = await twoOf(newest);
      const question = await commands.releaseSnapshot(operator, typed, origin);
      expect(question).toMatchObject({ snapshot: ID, goes: [{ store: 'ceph' }, { store: 'nas' }] });
      expect(ceph.objects.has(NOTE)).toBe(true);
      await commands.releaseSnapshot(operator, release, origin);
      expect(ceph.objects.has(NOTE)).toBe(false);
    });

    test('is not asked about when another rule keeps it', async () => {
      const { commands, ceph } = await twoOf({ ...newest, policy: { last: 9 } });
      expect(await commands.releaseSnapshot(operator, typed, origin)).toMatchObject({ change: { kind: 'released' } });
      expect(ceph.objects.has(NOTE)).toBe(false);
    });

    test('is asked about too when nobody can tell', async () => {
      const { commands, deps, ceph } = await twoOf({ ...newest, policy: { last: 9 } });
      deps.requests.open = () => Promise.reject(new KeyturnError('queue.unavailable', 'Away.', { hint: 'Wait.' }));
      expect(await commands.releaseSnapshot(operator, typed, origin)).toMatchObject({ snapshot: ID, goes: undefined });
      expect(ceph.objects.has(NOTE)).toBe(true);
    });

    test('shows in the details what retention does, held and released', async () => {
      const { commands } = await twoOf(newest);
      const { retention } = await commands.showSnapshot(onlooker, wish);
      expect(retention?.stores).toMatchObject([
        { goesNext: false, goes: 'stays as long as it is held' },
        { store: 'nas' },
      ]);
      expect(retention?.released).toMatchObject([{ goesNext: true }, { goesNext: true }]);
    });
  });

  test('of what nobody holds is refused', async () => {
    const { commands } = await world();
    const error = await refusalOf(commands.releaseSnapshot(operator, release, origin));
    expect(error).toMatchObject({
      code: 'command.invalid',
      message: expect.stringContaining('Nothing holds') as string,
    });
  });
});

describe('what is shown of a hold', () => {
  test('that ended is that it has', async () => {
    const { commands, clock } = await world();
    await commands.holdSnapshot(operator, { ...wish, end: { kind: 'for', ms: 60_000 } }, origin);
    await clock.advance(60_001);
    const { lines } = await commands.listSnapshots(onlooker, { cluster: 'prod-eu', filters: ['held'], page: 0 });
    expect(lines).toMatchObject([{ hold: { isActive: false, note: { reason: wish.reason } } }]);
  });

  test('whose note was tampered with is that it holds for ever', async () => {
    const { commands, ceph } = await world();
    await commands.holdSnapshot(operator, { ...wish, end: { kind: 'for', ms: 60_000 } }, origin);
    await ceph.put(NOTE, Buffer.from('{"until":"2020-01-01T00:00:00.000Z"}'));
    expect(await commands.showSnapshot(onlooker, wish)).toMatchObject({ hold: { note: undefined, isActive: true } });
  });
});
