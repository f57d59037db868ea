/** A store that was away follows a hold, or its release, later; and never one that is not wanted any more. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { parseHold, serialiseHold, type HoldNote } from '../../src/domain/hold.ts';
import type { HoldJob } from '../../src/domain/job.ts';
import { runHold } from '../../src/jobs/run-hold.ts';
import { fakeClock } from '../fakes/clock.ts';
import { memoryStore } from '../fakes/memory-store.ts';
import { clusterSpec, jobContext, silentLog } from './world.ts';

const AT = '2026-11-21T06:00:00.000Z';
const LATER = '2026-11-21T07:00:00.000Z';
const keys = { note: 'prod-eu/x.hold.json', object: 'prod-eu/x.db', manifest: 'prod-eu/x.manifest.json' };
const note: HoldNote = { format: 1, reason: 'upgrade', by: 'U1', at: AT };
const job: HoldJob = { kind: 'hold', id: 'j', cluster: 'prod-eu', store: 'nas', operation: 'o', at: AT, note, keys };
const release: HoldJob = { ...job, note: undefined };
const away = new KeyturnError('store.unreachable', 'Away.', { hint: 'Look.' });

async function world() {
  const [ceph, nas] = [memoryStore('ceph'), memoryStore('nas')];
  for (const store of [ceph, nas])
    for (const key of [keys.object, keys.manifest]) await store.put(key, Buffer.from('abc'));
  const events: KeyturnEvent[] = [];
  const deps = {
    clusters: new Map([['prod-eu', clusterSpec()]]),
    stores: new Map([ceph, nas].map((store) => [store.name, store])),
    publish: async (event: KeyturnEvent) => void events.push(event),
    clock: fakeClock(),
    log: silentLog,
  };
  const put = (store: typeof ceph, each: HoldNote) => store.put(keys.note, Buffer.from(serialiseHold(each)));
  const held = () => parseHold(nas.objects.get(keys.note)?.body.toString('utf8') ?? '');
  return { ceph, nas, deps, events, put, held };
}

describe('a hold', () => {
  test('is put on while it is still what another store has', async () => {
    const { ceph, deps, put, held, events } = await world();
    await put(ceph, note);
    expect(await runHold(job, jobContext(), deps)).toEqual({ kind: 'done' });
    expect(held()).toEqual(note);
    expect(events).toMatchObject([{ type: 'hold.followed', operation: 'o', store: 'nas', problem: undefined }]);
  });

  test('that was released since is not put on', async () => {
    const { deps, held } = await world();
    await runHold(job, jobContext(), deps);
    expect(held()).toBeUndefined();
  });

  test('that was replaced since is not put on', async () => {
    const { ceph, nas, deps, put, held } = await world();
    await put(ceph, { ...note, at: LATER });
    await runHold(job, jobContext(), deps);
    expect(held()).toBeUndefined();
    await put(nas, { ...note, at: LATER });
    await runHold(job, jobContext(), deps);
    expect(held()?.at).toBe(LATER);
  });

  test('waits while the stores that know whether it is wanted are away', async () => {
    const { ceph, deps, put, held } = await world();
    await put(ceph, note);
    ceph.fail('stat', away);
    expect(await runHold(job, jobContext({ attempt: 1, attempts: 96 }), deps)).toEqual({
      kind: 'again',
      afterMs: 10_000,
    });
    expect(held()).toBeUndefined();
  });

  test('in a store without a copy is nothing to do', async () => {
    const { ceph, nas, deps, put } = await world();
    await put(ceph, note);
    await nas.remove(keys.object);
    expect(await runHold(job, jobContext(), deps)).toEqual({ kind: 'done' });
    expect(nas.objects.has(keys.note)).toBe(false);
  });

  test('that its own store noted, but does not keep itself yet, is finished there', async () => {
    const { nas, deps, put } = await world();
    await put(nas, note);
    const legal: string[] = [];
    const locking = { ...nas, legalHold: async (key: string) => (legal.push(key), true) };
    await runHold(job, jobContext(), { ...deps, stores: new Map([['nas', locking]]) });
    expect(legal).toEqual([keys.object, keys.manifest]);
  });
});

describe('a release', () => {
  test('takes the note away, and may come twice', async () => {
    const { nas, deps, put } = await world();
    await put(nas, note);
    for (let i = 0; i < 2; i += 1)
      expect(await runHold({ ...release, at: LATER }, jobContext(), deps)).toEqual({ kind: 'done' });
    expect(nas.objects.has(keys.note)).toBe(false);
  });

  test('leaves a newer hold alone', async () => {
    const { nas, deps, put, held } = await world();
    await put(nas, { ...note, at: LATER });
    await runHold(release, jobContext(), deps);
    expect(held()?.at).toBe(LATER);
  });
});

test('a store that stays away is asked at growing intervals, and told as given up in the end', async () => {
  const { nas, deps, events } = await world();
  nas.fail('stat', away);
  const waits = [];
  for (const attempt of [1, 2, 3, 4, 5, 95])
    waits.push(await runHold(release, jobContext({ attempt, attempts: 96 }), deps));
  expect(waits.map((each) => ('afterMs' in each ? each.afterMs : 0))).toEqual([1e4, 6e4, 3e5, 1.8e6, 1.8e6, 1.8e6]);
  expect(events).toEqual([]);
  expect(await runHold(release, jobContext({ attempt: 96, attempts: 96 }), deps)).toEqual({ kind: 'done' });
  expect(events).toMatchObject([{ type: 'hold.followed', problem: { code: 'store.unreachable' } }]);
});

test('a store that is not configured any more is nothing to do', async () => {
  const { deps } = await world();
  expect(await runHold({ ...job, store: 'gone' }, jobContext(), deps)).toEqual({ kind: 'done' });
});
