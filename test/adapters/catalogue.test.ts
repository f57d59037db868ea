import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import {
  adoptedManifestKey,
  manifestKey,
  objectKey,
  serialiseManifest,
  type SnapshotRecord,
} from '../../src/domain/snapshot.ts';
import type { SnapshotEntry } from '../../src/domain/snapshot-entry.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { memoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';

const day = (n: number): Partial<SnapshotRecord> => ({
  id: `202611${String(n).padStart(2, '0')}T060000Z-${n}`,
  takenAt: `2026-11-${String(n).padStart(2, '0')}T06:00:00.000Z`,
});

async function save(store: MemoryStore, changes: Partial<SnapshotRecord> = {}): Promise<SnapshotRecord> {
  const record = snapshotRecord(changes);
  await store.put(record.object.key, Buffer.alloc(record.object.size));
  await store.put(manifestKey(record.cluster, record.id), Buffer.from(serialiseManifest(record)));
  return record;
}
const gets = (store: MemoryStore): number => store.calls.filter((call) => call.startsWith('get ')).length;
const lists = (store: MemoryStore): number => store.calls.filter((call) => call.startsWith('list ')).length;
const away = new KeyturnError('store.unreachable', 'Store a is away.', { hint: 'Look at it.' });
const never = new Promise<never>(() => undefined);

/** What the whole catalogue says of a cluster: every manifest that can be read, and everything that is wrong. */
async function everything(stores: readonly SnapshotStore[], cluster = 'prod') {
  const all = catalogue(stores, () => stores.map(({ name }) => name));
  const { entries, problems } = await all.entries(cluster);
  const read = await Promise.all(
    entries.map((entry) =>
      all.record(entry).catch((error: unknown) => ({
        record: undefined,
        problems: [{ message: String(error), store: '', hint: '' }],
      })),
    ),
  );
  return {
    entries,
    records: read.flatMap(({ record }) => record ?? []),
    problems: [...problems, ...read.flatMap((each) => each.problems)].map(({ message }) => message),
  };
}

test('copies of a snapshot are one entry, the newest comes first, and no manifest is read for it', async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  for (const n of [1, 3]) await save(a, day(n));
  for (const n of [2, 3]) await save(b, day(n));
  const { entries, problems } = await catalogue([a, b], () => ['a', 'b']).entries('prod');
  expect(entries.map(({ id, copies }) => [id, copies.map(({ store }) => store)])).toEqual([
    [day(3).id, ['a', 'b']],
    [day(2).id, ['b']],
    [day(1).id, ['a']],
  ]);
  expect(problems).toEqual([]);
  expect(gets(a) + gets(b)).toBe(0);
});

test("only the cluster's own stores are asked, and only for its own name", async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  await save(a, { cluster: 'prod', ...day(1) });
  await save(a, { cluster: 'prod-eu', ...day(2) });
  await save(b, { cluster: 'prod', ...day(3) });
  const found = await catalogue([a, b], (cluster) => (cluster === 'prod' ? ['a'] : [])).entries('prod');
  expect(found.entries.map(({ id }) => id)).toEqual([day(1).id]);
  expect(lists(b)).toBe(0);
});

test('a manifest whose object is of another size is a problem, not a snapshot', async () => {
  const store = memoryStore('a');
  const short = await save(store, day(2));
  await store.put(short.object.key, Buffer.alloc(1));
  const { records, problems } = await everything([store]);
  expect(records).toEqual([]);
  expect(problems).toEqual([expect.stringContaining('has 1 bytes instead of 100')]);
});

test.each([
  ['not JSON', () => '{'],
  ['of a later format', () => JSON.stringify({ ...snapshotRecord(), format: 3 })],
  ["another cluster's", () => serialiseManifest(snapshotRecord({ cluster: 'other' }))],
  ["another snapshot's", () => serialiseManifest(snapshotRecord(day(7)))],
  [
    "another object's",
    () => serialiseManifest(snapshotRecord({ object: { ...snapshotRecord().object, key: 'prod/x.db' } })),
  ],
  ['too long', () => ' '.repeat(70_000)],
])('a manifest that is %s is a problem with a hint, and hides no other snapshot', async (_what, text) => {
  const store = memoryStore('a');
  const good = await save(store, day(9));
  const id = snapshotRecord().id;
  await store.put(objectKey('prod', id), Buffer.alloc(100));
  await store.put(manifestKey('prod', id), Buffer.from(text()));
  const { records, problems } = await everything([store]);
  expect(records).toEqual([good]);
  expect(problems).toEqual([expect.stringContaining(id)]);
});

test('a copy whose manifest is bad does not count, and is told when another copy has a good one', async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  const record = await save(a);
  await save(b);
  await a.put(manifestKey('prod', record.id), Buffer.from('{'));
  expect(await everything([a, b])).toMatchObject({
    records: [record],
    problems: [expect.stringContaining('in store a is not usable: not JSON')],
  });
});

test('a store that is away is named, and the others are still listed', async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  await save(a);
  await save(b);
  a.fail('list', away);
  const { entries, problems } = await catalogue([a, b], () => ['a', 'b']).entries('prod');
  expect(entries).toMatchObject([{ copies: [{ store: 'b' }] }]);
  expect(problems).toEqual([{ store: 'a', message: 'Store a is away.', hint: 'Look at it.' }]);
});

test('an error that is no answer of a store is a bug and is not hidden', async () => {
  const store = memoryStore('a');
  store.fail('list', new TypeError('x is not a function'));
  await expect(catalogue([store], () => ['a']).entries('prod')).rejects.toThrow('x is not a function');
});

test('a manifest is fetched once, and again only when it changed', async () => {
  let now = Date.parse('2026-11-21T06:00:00Z');
  const store = memoryStore('a', { now: () => new Date((now += 1000)), sleep: async () => undefined });
  const all = catalogue([store], () => ['a']);
  const newest = async (): Promise<SnapshotRecord> => {
    const [entry] = (await all.entries('prod')).entries;
    return (await all.record(entry as SnapshotEntry)).record;
  };
  await save(store, day(20));
  expect(await newest()).toEqual(await newest());
  expect(gets(store)).toBe(1);
  await save(store, { ...day(20), etcdVersion: '3.6.0' });
  expect((await newest()).etcdVersion).toBe('3.6.0');
  expect(gets(store)).toBe(2);
});

test('only so many manifests are remembered, those that were asked for last', async () => {
  const store = memoryStore('a');
  const all = catalogue([store], () => ['a'], { remembered: 2 });
  for (let n = 1; n <= 3; n += 1) await save(store, day(n));
  const [third, second, first] = (await all.entries('prod')).entries as [SnapshotEntry, SnapshotEntry, SnapshotEntry];
  for (const entry of [first, second, first, third]) await all.record(entry);
  expect(gets(store)).toBe(3);
  await all.record(first);
  expect(gets(store)).toBe(3);
  await all.record(second);
  expect(gets(store)).toBe(4);
});

test('a snapshot that is removed while it is looked at is said to be gone', async () => {
  const store = memoryStore('a');
  const { id } = await save(store);
  const all = catalogue([store], () => ['a']);
  const [entry] = (await all.entries('prod')).entries as [SnapshotEntry];
  await store.remove(manifestKey('prod', id));
  await expect(all.record(entry)).rejects.toMatchObject({ code: 'store.not-found' });
});

test('those who ask for the same cluster at the same time share one listing', async () => {
  const store = memoryStore('a');
  const all = catalogue([store], () => ['a']);
  await Promise.all([all.entries('prod'), all.entries('prod'), all.entries('other')]);
  expect(lists(store)).toBe(2);
  await all.entries('prod');
  expect(lists(store)).toBe(3);
});

test('a store that hangs is told as silent in time, and then nobody waits for it for a while', async () => {
  const [hanging, b] = [memoryStore('a'), memoryStore('b')];
  await save(b);
  let asked = 0;
  const a: SnapshotStore = {
    ...hanging,
    // eslint-disable-next-line require-yield -- it never comes to one
    async *list() {
      asked += 1;
      await never;
    },
  };
  const all = catalogue([a, b], () => ['a', 'b'], { patienceMs: 30, restMs: 200 });
  for (const cluster of ['prod', 'prod', 'next']) {
    const { problems } = await all.entries(cluster);
    expect(problems).toMatchObject([{ store: 'a', message: 'Nothing came from store a for 0.03 s.' }]);
  }
  expect(asked).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 250));
  const { entries } = await all.entries('prod');
  expect(entries).toHaveLength(1);
  expect(asked).toBe(2);
});

test('a listing that takes long but goes on is waited for', async () => {
  const quick = memoryStore('a');
  for (let n = 1; n <= 8; n += 1) await save(quick, day(n));
  const slow: SnapshotStore = {
    ...quick,
    async *list(prefix) {
      for await (const object of quick.list(prefix)) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        yield object;
      }
    },
  };
  const { entries, problems } = await catalogue([slow], () => ['a'], { patienceMs: 100 }).entries('prod');
  expect(entries).toHaveLength(8);
  expect(problems).toEqual([]);
});

test('a manifest that never comes is a silent store too, and the next copy is taken', async () => {
  const [hanging, b] = [memoryStore('a'), memoryStore('b')];
  for (const store of [hanging, b]) await save(store);
  const a: SnapshotStore = { ...hanging, get: () => never };
  const all = catalogue([a, b], () => ['a', 'b'], { patienceMs: 30 });
  const [entry] = (await all.entries('prod')).entries as [SnapshotEntry];
  const { record, problems } = await all.record(entry);
  expect(record.id).toBe(entry.id);
  expect(problems).toMatchObject([{ store: 'a' }]);
});

describe("another tool's snapshot", () => {
  const key = 'prod/v2/Backup-1763700000/Full-00000000-00000042-1763704800.gz';
  const adopted = snapshotRecord({
    id: '20251121T060000Z-5',
    takenAt: '2025-11-21T06:00:00.000Z',
    object: { key, size: 7, sha256: 'b'.repeat(64) },
  });
  const adopt = async (store: MemoryStore): Promise<void> => {
    await store.put(key, Buffer.alloc(7));
    await store.put(adoptedManifestKey('prod', adopted.id), Buffer.from(serialiseManifest(adopted)));
  };

  test('is listed by its name, and has no record until somebody looked through it', async () => {
    const store = memoryStore('a');
    await store.put(key, Buffer.alloc(7));
    const all = catalogue([store], () => ['a']);
    const [entry] = (await all.entries('prod')).entries as [SnapshotEntry];
    expect(entry).toMatchObject({
      origin: 'other',
      takenAt: '2025-11-21T06:00:00.000Z',
      id: key.slice('prod/'.length),
    });
    await expect(all.record(entry)).rejects.toMatchObject({
      code: 'store.not-found',
      hint: expect.stringContaining('verified') as string,
    });
    expect(gets(store)).toBe(0);
  });

  test('is one entry with its record once it was adopted', async () => {
    const store = memoryStore('a');
    await adopt(store);
    const { entries, records, problems } = await everything([store]);
    expect(entries).toMatchObject([{ id: adopted.id, origin: 'adopted', copies: [{ key }] }]);
    expect(records).toEqual([adopted]);
    expect(problems).toEqual([]);
  });

  test('whose adoption can not be read is told, and is still listed', async () => {
    const store = memoryStore('a');
    await adopt(store);
    await store.put(adoptedManifestKey('prod', adopted.id), Buffer.from('{'));
    const { entries, strays, problems } = await catalogue([store], () => ['a']).entries('prod');
    expect(entries).toMatchObject([{ origin: 'other' }]);
    expect(strays).toEqual([]);
    expect(problems).toMatchObject([{ message: expect.stringContaining('not usable') as string }]);
  });
});

test('a store full of broken adoptions is told in eleven lines', async () => {
  const store = memoryStore('a');
  for (let n = 10; n < 40; n += 1)
    await store.put(adoptedManifestKey('prod', `20261121T0600${n}Z-1`), Buffer.from('no'));
  const { problems } = await catalogue([store], () => ['a']).entries('prod');
  expect(problems).toHaveLength(11);
  expect(problems.at(-1)?.message).toContain('20 more');
});
