/** The list of snapshots and the details of one: what is read for them, and what is told of what can't be. */
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { newDamage, serialiseDamage } from '../../src/domain/damage.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { adoptedManifestKey, damageKey, manifestKey, serialiseManifest } from '../../src/domain/snapshot.ts';
import type { ScrubMemory } from '../../src/ports.ts';
import { record, spec } from '../chat/samples.ts';
import { memoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { fakeScrubMemory } from '../fakes/scrub-memory.ts';
import { somebody } from '../support/requests.ts';
import { refusalOf, restoreWorld } from '../support/restore-world.ts';

const person = somebody('U0NOOR');
const guest = somebody('U0GUEST', { isGuest: true });
const prod = { cluster: 'prod-eu' } as const;
const gets = (store: MemoryStore): number => store.calls.filter((call) => call.startsWith('get ')).length;

function idOf(n: number): string {
  return `202611${String(1 + (n % 28)).padStart(2, '0')}T${String(Math.floor(n / 28)).padStart(2, '0')}0000Z-${n + 1}`;
}

async function save(store: MemoryStore, id: string): Promise<string> {
  const key = `prod-eu/${id}.db`;
  await store.put(key, Buffer.from('abc'));
  const made = record({ id, object: { ...record().object, key, size: 3 } });
  await store.put(manifestKey('prod-eu', id), Buffer.from(serialiseManifest(made)));
  return key;
}

function world(scrubMemory: Pick<ScrubMemory, 'lastReads' | 'setRead'> = fakeScrubMemory()) {
  const [ceph, nas] = [memoryStore('ceph'), memoryStore('nas')];
  const made = restoreWorld({
    clusters: [spec('prod-eu', { stores: ['ceph', 'nas'] })],
    people: { request: [person.id], approve: [], operate: [] },
    stores: new Map([ceph, nas].map((store) => [store.name, store])),
    catalogue: catalogue([ceph, nas], () => ['ceph', 'nas']),
    scrubMemory,
  });
  const list = (filters: readonly string[] = [], page = 0) =>
    made.commands.listSnapshots(person, { ...prod, filters, page });
  const show = (snapshot: string) => made.commands.showSnapshot(person, { ...prod, snapshot });
  return { ...made, ceph, nas, list, show, scrubMemory };
}

describe('the list', () => {
  test('is paged, newest first, and reads the manifests of its page only', async () => {
    const { ceph, list } = world();
    for (let n = 0; n < 205; n += 1) await save(ceph, idOf(n));
    const first = await list();
    expect(first).toMatchObject({ total: 205, fitting: 205, page: 0, pages: 21 });
    expect(first.lines.map(({ entry }) => entry.takenAt)).toEqual(
      [...first.lines.map(({ entry }) => entry.takenAt)].sort().reverse(),
    );
    expect(gets(ceph)).toBe(10);
    const last = await list([], 999);
    expect(last).toMatchObject({ page: 20, lines: { length: 5 } });
    expect(gets(ceph)).toBe(15);
  });

  test('is narrowed down by all the filters together, and says by which', async () => {
    const { ceph, nas, list } = world();
    for (let n = 0; n < 30; n += 1) await save(n % 2 === 0 ? ceph : nas, idOf(n));
    await ceph.put(damageKey('prod-eu', idOf(0)), Buffer.from('{}'));
    expect(await list(['in:CEPH', '2026-11-01'])).toMatchObject({
      filters: ['in:ceph', '2026-11-01'],
      total: 30,
      fitting: 2,
    });
    expect(await list(['damaged'])).toMatchObject({ fitting: 1, lines: [{ entry: { id: idOf(0) } }] });
    expect(await list(['before:2026'])).toMatchObject({ total: 30, fitting: 0, page: 0, pages: 1, lines: [] });
  });

  test('names what has no good manifest, and what a store can not tell', async () => {
    const { ceph, nas, list } = world();
    await save(ceph, idOf(1));
    await ceph.put(manifestKey('prod-eu', idOf(1)), Buffer.from('{'));
    nas.fail('list', new KeyturnError('store.unreachable', 'Away.', { hint: 'Look.' }));
    const { lines, problems } = await list();
    expect(lines).toMatchObject([
      { record: undefined, problems: [{ message: expect.stringContaining('not JSON') as string }] },
    ]);
    expect(problems).toMatchObject([{ store: 'nas' }]);
  });

  test("shows other tools' snapshots beside its own, and counts the increments that it leaves out", async () => {
    const { ceph, list } = world();
    await save(ceph, idOf(1));
    await ceph.put('prod-eu/etcd-snapshot-20261130-000000.db', Buffer.from('abc'));
    await ceph.put('prod-eu/v2/Incr-00000001-00000002-1763704800', Buffer.from('abc'));
    const { lines, increments } = await list();
    expect(lines.map(({ entry }) => entry.origin)).toEqual(['other', 'keyturn']);
    expect(increments).toBe(1);
  });

  test('is not for guests', async () => {
    const { commands } = world();
    const error = await refusalOf(commands.listSnapshots(guest, { ...prod, filters: [], page: 0 }));
    expect(error.code).toBe('permission.denied');
  });
});

describe('the details', () => {
  test('tell of each copy, of stores without one, and what the person may do', async () => {
    const { ceph, nas, show } = world();
    await save(ceph, idOf(1));
    await save(nas, idOf(1));
    await nas.put(manifestKey('prod-eu', idOf(1)), Buffer.from('{'));
    const details = await show(idOf(1));
    expect(details).toMatchObject({
      record: { id: idOf(1) },
      stores: ['ceph', 'nas'],
      copies: [
        { store: 'ceph', problem: undefined },
        { store: 'nas', problem: expect.stringContaining('not JSON') as string },
      ],
      may: { hold: false, restore: true, verify: false },
    });
  });

  test('of one found damaged everywhere have no record, and say so', async () => {
    const { ceph, show } = world();
    await save(ceph, idOf(1));
    await ceph.put(damageKey('prod-eu', idOf(1)), Buffer.from('{}'));
    const { record: read, copies, problems } = await show(idOf(1));
    expect([read, copies[0]?.isDamaged]).toEqual([undefined, true]);
    expect(problems[0]?.message).toContain('found damaged');
  });

  test('tell when each copy was last read again, and what the mark of a damaged one says', async () => {
    const { ceph, nas, show, scrubMemory } = world();
    const at = new Date('2026-11-18T06:30:00.000Z');
    await save(nas, idOf(1));
    await scrubMemory.setRead('prod-eu', `ceph/${await save(ceph, idOf(1))}`, at);
    const damage = newDamage(at, 'Its sha256 is another one.', 'scrub-1');
    await nas.put(damageKey('prod-eu', idOf(1)), Buffer.from(serialiseDamage(damage)));
    expect((await show(idOf(1))).copies).toMatchObject([
      { store: 'ceph', readAt: at.toISOString(), damage: undefined },
      { store: 'nas', readAt: undefined, isDamaged: true, damage },
    ]);
  });

  test.each([
    ['not JSON', 'x'],
    ['changed since it was written', '{}'],
    ['too large to be one', 'x'.repeat(20_000)],
  ])('say of a mark that can not be read that it is %s; a large one is not read', async (why, text) => {
    const { ceph, nas, show } = world();
    for (const store of [ceph, nas]) await save(store, idOf(1));
    await nas.put(damageKey('prod-eu', idOf(1)), Buffer.from(text));
    expect((await show(idOf(1))).copies[1]).toMatchObject({ isDamaged: true, damage: { found: `its mark is ${why}` } });
    expect(nas.calls.filter((call) => call.startsWith('get ') && call.includes('damage'))).toHaveLength(
      text.length > 9999 ? 0 : 1,
    );
  });

  test('are shown without the reads when Redis is away, and without the mark when its store is', async () => {
    const { ceph, nas, show } = world({ ...fakeScrubMemory(), lastReads: () => Promise.reject(new Error('no Redis')) });
    for (const store of [ceph, nas]) await save(store, idOf(1));
    await nas.put(damageKey('prod-eu', idOf(1)), Buffer.from('{}'));
    nas.fail('stat', new KeyturnError('store.unreachable', 'Away.', { hint: 'Look.' }));
    expect(await show(idOf(1))).toMatchObject({
      record: { id: idOf(1) },
      copies: [{ readAt: undefined }, { isDamaged: true, damage: undefined }],
    });
  });

  test('of an adopted one are those of its manifest, and a copy without one is told', async () => {
    const { ceph, nas, show } = world();
    const key = 'prod-eu/v2/Full-00000000-00000042-1763704800.gz';
    for (const store of [ceph, nas]) await store.put(key, Buffer.from('abc'));
    const adopted = record({ id: idOf(3), object: { ...record().object, key, size: 3 } });
    await ceph.put(adoptedManifestKey('prod-eu', idOf(3)), Buffer.from(serialiseManifest(adopted)));
    expect(await show(idOf(3))).toMatchObject({
      entry: { origin: 'adopted' },
      record: adopted,
      copies: [{ problem: undefined }, { problem: 'its manifest is missing' }],
    });
  });

  test('of what is not there are an error with the nearest that is', async () => {
    const { ceph, show } = world();
    await save(ceph, idOf(1));
    const error = await refusalOf(show(`${idOf(1)}1`));
    expect(error).toMatchObject({ code: 'snapshot.unknown', hint: expect.stringContaining(idOf(1)) as string });
    expect((await refusalOf(show('20200101T000000Z-1'))).hint).toContain('/etcd snapshots prod-eu');
  });

  test('of what a store that is away may have say so', async () => {
    const { nas, show } = world();
    nas.fail('list', new KeyturnError('store.unreachable', 'Away.', { hint: 'Look.' }));
    const error = await refusalOf(show(idOf(1)));
    expect(error.message).toContain('nas: Away.');
    expect(error.hint).toContain('may have it');
  });
});
