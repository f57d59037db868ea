import { expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { manifestKey, objectKey, serialiseManifest, type SnapshotRecord } from '../../src/domain/snapshot.ts';
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

test('copies of a snapshot are one entry, and the newest comes first', async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  const old = await save(a, day(1));
  const both = await save(a, day(3));
  await save(b, day(3));
  const middle = await save(b, day(2));
  const found = await catalogue([a, b], () => ['a', 'b']).list('prod');
  expect(found).toEqual({
    snapshots: [
      { record: both, stores: ['a', 'b'] },
      { record: middle, stores: ['b'] },
      { record: old, stores: ['a'] },
    ],
    problems: [],
  });
});

test("only the cluster's own stores are asked, and only for its own name", async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  await save(a, { cluster: 'prod', ...day(1) });
  await save(a, { cluster: 'prod-eu', ...day(2) });
  await save(b, { cluster: 'prod', ...day(3) });
  const found = await catalogue([a, b], (cluster) => (cluster === 'prod' ? ['a'] : [])).list('prod');
  expect(found.snapshots.map(({ record }) => record.id)).toEqual([day(1).id]);
  expect(b.calls.filter((call) => call.startsWith('list'))).toEqual([]);
});

test('an object without a manifest is no snapshot', async () => {
  const store = memoryStore('a');
  await store.put(objectKey('prod', '20261121T060000Z-17'), Buffer.from('bytes'));
  expect(await catalogue([store], () => ['a']).list('prod')).toEqual({ snapshots: [], problems: [] });
});

test('a manifest whose object is missing or of another size is a problem, not a snapshot', async () => {
  const store = memoryStore('a');
  const missing = await save(store, day(1));
  const short = await save(store, day(2));
  await store.remove(missing.object.key);
  await store.put(short.object.key, Buffer.alloc(1));
  const { snapshots, problems } = await catalogue([store], () => ['a']).list('prod');
  expect(snapshots).toEqual([]);
  expect(problems.map((problem) => problem.message)).toEqual([
    expect.stringContaining('is missing'),
    expect.stringContaining('has 1 bytes instead of 100'),
  ]);
});

test.each([
  ['not JSON', () => '{'],
  ['of a later format', () => JSON.stringify({ ...snapshotRecord(), format: 3 })],
  ["another cluster's", () => serialiseManifest(snapshotRecord({ cluster: 'other' }))],
  ["another snapshot's", () => serialiseManifest(snapshotRecord(day(7)))],
  ['too long', () => ' '.repeat(70_000)],
])('a manifest that is %s is a problem with a hint, and hides no other snapshot', async (_what, text) => {
  const store = memoryStore('a');
  const good = await save(store, day(9));
  const id = snapshotRecord().id;
  await store.put(objectKey('prod', id), Buffer.alloc(100));
  await store.put(manifestKey('prod', id), Buffer.from(text()));
  const { snapshots, problems } = await catalogue([store], () => ['a']).list('prod');
  expect(snapshots.map(({ record }) => record)).toEqual([good]);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatchObject({ store: 'a', message: expect.stringContaining(id) as string });
  expect(problems[0]?.hint).not.toBe('');
});

test('two copies that differ are told, and the first store counts', async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  const record = await save(a);
  await save(b, { sha256: 'f'.repeat(64) });
  const { snapshots, problems } = await catalogue([a, b], () => ['a', 'b']).list('prod');
  expect(snapshots).toEqual([{ record, stores: ['a'] }]);
  expect(problems).toMatchObject([{ store: 'b', message: expect.stringContaining('not the same') as string }]);
});

test('a store that is away is named, and the others are still listed', async () => {
  const [a, b] = [memoryStore('a'), memoryStore('b')];
  await save(a);
  await save(b);
  a.fail('list', new KeyturnError('store.unreachable', 'Store a is away.', { hint: 'Look at it.' }));
  const { snapshots, problems } = await catalogue([a, b], () => ['a', 'b']).list('prod');
  expect(snapshots).toMatchObject([{ stores: ['b'] }]);
  expect(problems).toEqual([{ store: 'a', message: 'Store a is away.', hint: 'Look at it.' }]);
});

test('an error that is no answer of a store is a bug and is not hidden', async () => {
  const store = memoryStore('a');
  store.fail('list', new TypeError('x is not a function'));
  await expect(catalogue([store], () => ['a']).list('prod')).rejects.toThrow('x is not a function');
});

test('a manifest is fetched once, and again only when it changed', async () => {
  let now = Date.parse('2026-11-21T06:00:00Z');
  const store = memoryStore('a', { now: () => new Date((now += 1000)), sleep: async () => undefined });
  const list = () => catalogued.list('prod');
  const catalogued = catalogue([store], () => ['a']);
  for (let n = 1; n <= 20; n += 1) await save(store, day(n));
  expect((await list()).snapshots).toHaveLength(20);
  expect((await list()).snapshots).toHaveLength(20);
  expect(gets(store)).toBe(20);

  await save(store, day(21));
  await store.remove(manifestKey('prod', day(1).id ?? ''));
  expect((await list()).snapshots).toHaveLength(20);
  expect(gets(store)).toBe(21);

  await save(store, { ...day(21), etcdVersion: '3.6.0' });
  expect((await list()).snapshots[0]?.record.etcdVersion).toBe('3.6.0');
  expect(gets(store)).toBe(22);
});

test('only a few manifests are fetched at once', async () => {
  const store = memoryStore('a');
  for (let n = 1; n <= 30; n += 1) await save(store, day(n));
  let [running, most] = [0, 0];
  const slow = {
    ...store,
    get: async (key: string) => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setTimeout(resolve, 1));
      running -= 1;
      return store.get(key);
    },
  };
  expect((await catalogue([slow], () => ['a']).list('prod')).snapshots).toHaveLength(30);
  expect(most).toBe(8);
});

test('a manifest that is removed while the catalogue is read is no problem', async () => {
  const store = memoryStore('a');
  await save(store);
  store.fail('get', new KeyturnError('store.not-found', 'gone', { hint: 'x' }));
  expect(await catalogue([store], () => ['a']).list('prod')).toEqual({ snapshots: [], problems: [] });
});

test('a store full of broken manifests is told in a few lines', async () => {
  const store = memoryStore('a');
  for (let n = 10; n < 60; n += 1) {
    await store.put(manifestKey('prod', `20261121T0600${n}Z-1`), Buffer.from('broken'));
  }
  const { problems } = await catalogue([store], () => ['a']).list('prod');
  expect(problems).toHaveLength(11);
  expect(problems.at(-1)?.message).toContain('40 more');
});
