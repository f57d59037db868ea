import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { manifestKey, objectKey, parseManifest } from '../../src/domain/snapshot.ts';
import { runBackup } from '../../src/jobs/run-backup.ts';
import { fakeSnapshot } from '../fakes/etcd-client.ts';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { clusterSpec, fakeWorld, job, jobContext } from './world.ts';

const storeAway = new KeyturnError('store.unreachable', 'Store ceph does not answer.', { hint: 'Start it.' });
const cutOff = new KeyturnError('ssh.lost', 'The connection to cp2 broke.', { hint: 'Look at the network.' });

function types(events: readonly KeyturnEvent[]): string[] {
  return events.map((event) => event.type).filter((type) => type !== 'backup.progress');
}

function last<T extends KeyturnEvent['type']>(events: readonly KeyturnEvent[], type: T) {
  const found = events.findLast((event) => event.type === type);
  if (found === undefined) throw new Error(`nothing was told of ${type}`);
  return found as Extract<KeyturnEvent, { type: T }>;
}

async function openUploads(store: MemoryStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const upload of store.openUploads('')) keys.push(upload.key);
  return keys;
}

describe('a good backup', () => {
  test('stores exactly what etcd gave, with a manifest beside it, in every store', async () => {
    const { deps, ceph, nas, events } = fakeWorld();
    expect(await runBackup(job, jobContext(), deps)).toEqual({ kind: 'done' });
    const { record, copies, nextRunAt } = last(events, 'backup.stored');
    for (const store of [ceph, nas]) {
      expect(store.objects.get(record.object.key)?.body).toEqual(fakeSnapshot());
      const manifest = parseManifest(String(store.objects.get(manifestKey('prod-eu', record.id))?.body));
      expect(manifest).toEqual({ ok: true, record });
    }
    expect(copies.map((copy) => copy.problem)).toEqual([undefined, undefined]);
    expect(nextRunAt).toBe('2026-11-21T07:00:00.000Z');
    expect(types(events)).toEqual(['backup.started', 'backup.stored']);
  });

  test('writes the manifest last of all', async () => {
    const { deps, ceph } = fakeWorld();
    await runBackup(job, jobContext(), deps);
    const writes = ceph.calls.filter((call) => /^(upload\.write|upload\.complete|put)/.test(call));
    expect(writes.at(-2)).toMatch(/^upload\.complete/);
    expect(writes.at(-1)).toMatch(/^put .*\.manifest\.json/);
  });

  test('is followed by one run of retention, however often its end is reported', async () => {
    const { deps, queue } = fakeWorld();
    const context = jobContext();
    await runBackup(job, context, deps);
    await runBackup(job, jobContext({ attempt: 2, remembered: context.remembered }), deps);
    expect(queue.jobs.map((entry) => entry.job)).toEqual([
      { kind: 'retention', id: `retention-${job.id}`, cluster: 'prod-eu', after: job.id },
    ]);
  });

  test('stays good when no retention can be queued', async () => {
    const { deps, events } = fakeWorld();
    const queue = { ...deps.queue, add: () => Promise.reject(new Error('Redis is away')) };
    expect(await runBackup(job, jobContext(), { ...deps, queue })).toEqual({ kind: 'done' });
    expect(types(events)).toEqual(['backup.started', 'backup.stored']);
  });

  test('reads from a follower, and closes what it opened', async () => {
    const { deps, etcd, lease } = fakeWorld();
    await runBackup(job, jobContext(), deps);
    expect(etcd.snapshotsOf).toEqual(['m2']);
    expect([etcd.openSessions, etcd.openStreams]).toEqual([0, 0]);
    expect(await lease.current('prod-eu')).toBeUndefined();
  });
});

describe('a store that fails', () => {
  test('does not spoil the others, and the report says which copy is missing', async () => {
    const { deps, ceph, nas, events } = fakeWorld();
    ceph.fail('upload.write', storeAway);
    await runBackup(job, jobContext(), deps);
    const { copies, record } = last(events, 'backup.stored');
    expect(copies).toEqual([
      { store: 'nas', problem: undefined },
      { store: 'ceph', problem: { code: 'store.unreachable', message: storeAway.message, hint: storeAway.hint } },
    ]);
    expect([...ceph.objects.keys()]).toEqual([]);
    expect(nas.objects.has(record.object.key)).toBe(true);
  });

  test('and can not be cleaned now is swept later', async () => {
    const { deps, ceph, queue } = fakeWorld();
    ceph.fail('upload.write', storeAway);
    ceph.fail('upload.abort', storeAway);
    await runBackup(job, jobContext(), deps);
    const sweeps = queue.jobs.map((entry) => entry.job).filter(({ kind }) => kind === 'sweep');
    expect(sweeps).toMatchObject([{ kind: 'sweep', store: 'ceph', cluster: 'prod-eu' }]);
  });

  test('gets its copy later, by a repair that is queued once', async () => {
    const { deps, ceph, queue } = fakeWorld();
    ceph.fail('upload.write', storeAway);
    const context = jobContext();
    await runBackup(job, context, deps);
    await runBackup(job, jobContext({ attempt: 2, remembered: context.remembered }), deps);
    const repairs = queue.jobs.filter((entry) => entry.job.kind === 'repair');
    expect(repairs).toMatchObject([{ attempts: 50, job: { store: 'ceph', snapshot: context.remembered[0] } }]);
  });

  test('and gives back another manifest than was written keeps neither manifest nor object', async () => {
    const { deps, ceph, nas, events } = fakeWorld();
    const get = ceph.get.bind(ceph);
    ceph.get = async (key) => (key.endsWith('.manifest.json') ? Buffer.from('{}') : get(key));
    await runBackup(job, jobContext(), deps);
    const { copies } = last(events, 'backup.stored');
    expect(copies.map(({ store, problem }) => [store, problem?.code])).toEqual([
      ['nas', undefined],
      ['ceph', 'store.corrupt'],
    ]);
    expect([...ceph.objects.keys()]).toEqual([]);
    expect(nas.objects.size).toBe(2);
  });

  test('everywhere fails the attempt, which is tried again', async () => {
    const { deps, stores, events } = fakeWorld();
    stores.forEach((store) => store.fail('upload.complete', storeAway));
    expect(await runBackup(job, jobContext(), deps)).toEqual({ kind: 'again', afterMs: 5_000 });
    expect(types(events)).toEqual(['backup.started', 'backup.retrying']);
  });
});

describe('a stream that breaks', () => {
  test('leaves neither object nor open upload', async () => {
    const { deps, stores } = fakeWorld({ failAt: { bytes: 40_000, error: cutOff } });
    expect(await runBackup(job, jobContext(), deps)).toEqual({ kind: 'again', afterMs: 5_000 });
    for (const store of stores) {
      expect([...store.objects.keys()]).toEqual([]);
      expect(await openUploads(store)).toEqual([]);
    }
  });

  test('is told as failed after the last attempt, with the age of the last good backup', async () => {
    const world = fakeWorld();
    await runBackup({ ...job, id: 'backup-prod-eu-earlier' }, jobContext(), world.deps);
    world.etcd.set({ failAt: { bytes: 0, error: cutOff } });
    expect(await runBackup(job, jobContext({ attempt: 3 }), world.deps)).toEqual({ kind: 'done' });
    // The earlier one was stored; after this one nothing may go.
    expect(world.queue.jobs.map((entry) => entry.job.id)).toEqual(['retention-backup-prod-eu-earlier']);
    expect(last(world.events, 'backup.failed')).toMatchObject({
      problem: { code: 'ssh.lost', message: cutOff.message, hint: cutOff.hint },
      attempts: 3,
      lastGoodAt: '2026-11-21T06:00:00.000Z',
      rpoMs: 7_200_000,
    });
  });

  test('with bytes that are no snapshot is never stored', async () => {
    const bytes = Buffer.from(fakeSnapshot());
    bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000);
    const { deps, stores, events } = fakeWorld({ snapshot: bytes });
    await runBackup(job, jobContext({ attempt: 3 }), deps);
    expect(last(events, 'backup.failed').problem.code).toBe('etcd.snapshot-corrupt');
    expect(stores.flatMap((store) => [...store.objects.keys()])).toEqual([]);
  });
});

describe('a cluster that is not fit', () => {
  test('without a leader is not read; the message says so', async () => {
    const down = { code: 'etcd.unreachable', message: 'it does not answer', hint: 'start it' };
    const members = [
      { name: 'm1', isLeader: false },
      { name: 'm2', problem: down },
    ];
    const { deps, events } = fakeWorld({ members });
    await runBackup(job, jobContext({ attempt: 3 }), deps);
    expect(last(events, 'backup.failed').problem).toMatchObject({
      code: 'etcd.no-leader',
      message: 'The etcd of prod-eu has no leader: it does not answer.',
    });
  });

  test('with only learners to read from is refused', async () => {
    const members = [{ name: 'm1', isLeader: true, isLearner: true }];
    const { deps, events } = fakeWorld({ members });
    await runBackup(job, jobContext({ attempt: 3 }), deps);
    expect(last(events, 'backup.failed').problem.code).toBe('etcd.no-member');
  });

  test('with a wrong host key is not tried a second time', async () => {
    const openError = new KeyturnError('ssh.host-key', 'cp1 shows another key.', { hint: 'Compare.' });
    const { deps, events } = fakeWorld({ openError });
    expect(await runBackup(job, jobContext(), deps)).toEqual({ kind: 'done' });
    expect(types(events)).toEqual(['backup.failed']);
  });

  test('that is busy makes the job wait, at no cost', async () => {
    const { deps, lease, events } = fakeWorld();
    await lease.acquire({ id: 'other', kind: 'backup', cluster: 'prod-eu', startedAt: '' });
    expect(await runBackup(job, jobContext(), deps)).toEqual({ kind: 'later', afterMs: 5_000 });
    expect(events).toEqual([]);
  });

  test('that left the configuration is told, not tried again', async () => {
    const { deps, events } = fakeWorld();
    await runBackup({ ...job, cluster: 'gone' }, jobContext(), deps);
    expect(last(events, 'backup.failed').problem.code).toBe('cluster.unknown');
  });
});

describe('a worker that was killed', () => {
  test('in the middle: the next attempt clears what it left and stores one snapshot', async () => {
    const { deps, ceph, nas } = fakeWorld();
    const id = '20261121T055900Z-7';
    await ceph.beginUpload(objectKey('prod-eu', id), new AbortController().signal);
    nas.objects.set(objectKey('prod-eu', id), { body: Buffer.from('half'), modifiedAt: new Date() });
    await runBackup(job, jobContext({ attempt: 2, remembered: [id] }), deps);
    expect(await openUploads(ceph)).toEqual([]);
    expect([...nas.objects.keys()].filter((key) => key.includes(id))).toEqual([]);
    expect((await deps.catalogue.entries('prod-eu')).entries).toHaveLength(1);
  });

  test('between manifest and report: the next attempt reports it, and takes no second one', async () => {
    const { deps, ceph, nas, etcd, events } = fakeWorld();
    const context = jobContext();
    await runBackup(job, context, deps);
    events.length = 0;
    await runBackup(job, jobContext({ attempt: 2, remembered: context.remembered }), deps);
    expect(types(events)).toEqual(['backup.stored']);
    expect(etcd.snapshotsOf).toHaveLength(1);
    expect([ceph.objects.size, nas.objects.size]).toEqual([2, 2]);
  });

  test('after the last attempt wrote its manifest: the report tells the backup, not a failure', async () => {
    const { deps, etcd, events } = fakeWorld();
    const context = jobContext({ attempt: 3 });
    await runBackup(job, context, deps);
    events.length = 0;
    await runBackup(job, jobContext({ attempt: 4, remembered: context.remembered }), deps);
    expect(types(events)).toEqual(['backup.stored']);
    expect(etcd.snapshotsOf).toHaveLength(1);
  });

  test('in the last attempt: the report clears what it left', async () => {
    const { deps, ceph, events } = fakeWorld();
    const id = '20261121T055900Z-7';
    await ceph.beginUpload(objectKey('prod-eu', id), new AbortController().signal);
    ceph.objects.set(objectKey('prod-eu', id), { body: Buffer.from('half'), modifiedAt: new Date() });
    await runBackup(job, jobContext({ attempt: 4, remembered: [id] }), deps);
    expect(types(events)).toEqual(['backup.failed']);
    expect(await openUploads(ceph)).toEqual([]);
    expect([...ceph.objects.keys()]).toEqual([]);
  });

  test('with one store away since: the next attempt stores in the other', async () => {
    const { deps, ceph, events } = fakeWorld();
    ceph.fail('stat', storeAway);
    ceph.fail('beginUpload', storeAway);
    await runBackup(job, jobContext({ attempt: 2, remembered: ['20261121T055900Z-7'] }), deps);
    expect(last(events, 'backup.stored').copies.map((copy) => [copy.store, copy.problem?.code])).toEqual([
      ['nas', undefined],
      ['ceph', 'store.unreachable'],
    ]);
  });

  test('each time is told as failed in the end', async () => {
    const { deps, events } = fakeWorld();
    expect(await runBackup(job, jobContext({ attempt: 4 }), deps)).toEqual({ kind: 'done' });
    expect(last(events, 'backup.failed')).toMatchObject({ problem: { code: 'job.interrupted' }, attempts: 3 });
  });

  test('leaves objects of others alone', async () => {
    const { deps, ceph } = fakeWorld();
    ceph.objects.set('prod-eu/etcd-snapshot-20261120.db', { body: Buffer.from('x'), modifiedAt: new Date() });
    await ceph.beginUpload('prod-eu/somebody-else.db', new AbortController().signal);
    await runBackup(job, jobContext({ attempt: 2, remembered: ['20261121T055900Z-7'] }), deps);
    expect(ceph.objects.has('prod-eu/etcd-snapshot-20261120.db')).toBe(true);
    expect(await openUploads(ceph)).toEqual(['prod-eu/somebody-else.db']);
  });
});

describe('a manifest', () => {
  test('that could not be read back goes with its object: no snapshot may be listed that is not there', async () => {
    const { deps, ceph, nas, events } = fakeWorld();
    ceph.fail('get', storeAway);
    await runBackup(job, jobContext(), deps);
    const { record } = last(events, 'backup.stored');
    expect([...ceph.objects.keys()]).toEqual([]);
    expect([...nas.objects.keys()]).toContain(manifestKey('prod-eu', record.id));
  });

  test('that could not be told is not told as failed: the attempt throws, and the next one finds the snapshot', async () => {
    const { deps, events } = fakeWorld();
    const queueAway = new KeyturnError('queue.unavailable', 'Redis is away.', { hint: 'Start it.' });
    const running = runBackup(job, jobContext({ attempt: 3 }), {
      ...deps,
      publish: async (event) => {
        events.push(event);
        if (event.type === 'backup.stored') throw queueAway;
      },
    });
    await expect(running).rejects.toBe(queueAway);
    expect(types(events)).toEqual(['backup.started', 'backup.stored']);
  });

  test('of a worker that hung, written after another cleared its object, is taken back', async () => {
    const { deps, ceph, nas, events } = fakeWorld();
    const lost = new AbortController();
    const hung = new KeyturnError('lease.lost', 'The lease was lost.', { hint: 'Wait.' });
    for (const store of [ceph, nas]) {
      const put = store.put.bind(store);
      // The successor clears, the lease is seen as lost, and only then the manifest arrives.
      store.put = async (key, body) => {
        await store.remove(key.replace('.manifest.json', '.db'));
        lost.abort(hung);
        await put(key, body);
      };
    }
    const lease = { acquire: async () => ({ token: 7, lost: lost.signal, release: async () => {} }) };
    const result = await runBackup(job, jobContext(), { ...deps, lease: { ...deps.lease, ...lease } });
    expect(result).toEqual({ kind: 'again', afterMs: 5_000 });
    expect(last(events, 'backup.retrying').problem.code).toBe('lease.lost');
    expect([...ceph.objects.keys(), ...nas.objects.keys()]).toEqual([]);
  });

  test('of a worker that lost its lease while it was read back is left to the next attempt, which may count it', async () => {
    const { deps, ceph, nas, events } = fakeWorld();
    const lost = new AbortController();
    for (const store of [ceph, nas]) {
      store.get = async () => {
        lost.abort(new KeyturnError('lease.lost', 'The lease was lost.', { hint: 'Wait.' }));
        throw storeAway;
      };
    }
    const lease = { acquire: async () => ({ token: 7, lost: lost.signal, release: async () => {} }) };
    const running = runBackup(job, jobContext({ attempt: 3 }), { ...deps, lease: { ...deps.lease, ...lease } });
    await expect(running).rejects.toMatchObject({ code: 'lease.lost' });
    expect(types(events)).toEqual(['backup.started']);
    expect([ceph.objects.size, nas.objects.size]).toEqual([2, 2]);
  });
});

describe('an attempt that has to end', () => {
  test('because the process stops: nothing is told as failed, nothing is left', async () => {
    const stop = new AbortController();
    const { deps, stores, events } = fakeWorld({ snapshot: { size: 4 * 1024 * 1024 + 32 }, delayMs: 1 });
    const running = runBackup(job, jobContext({ signal: stop.signal }), {
      ...deps,
      publish: async (event) => {
        events.push(event);
        if (event.type === 'backup.started') setTimeout(() => stop.abort(new Error('stopping')), 20);
      },
    });
    await expect(running).rejects.toThrow('stopping');
    expect(types(events)).toEqual(['backup.started']);
    expect(stores.flatMap((store) => [...store.objects.keys()])).toEqual([]);
  });

  test('because time is up: it says so', async () => {
    const spec = clusterSpec({ timeoutMs: 60_000 });
    const { deps, clock, events } = fakeWorld({ snapshot: { size: 4 * 1024 * 1024 + 32 }, delayMs: 1 }, spec);
    const result = await runBackup(job, jobContext(), {
      ...deps,
      publish: async (event) => {
        events.push(event);
        if (event.type === 'backup.started') setTimeout(() => void clock.advance(60_000), 20);
      },
    });
    expect(result.kind).toBe('again');
    expect(last(events, 'backup.retrying').problem).toMatchObject({
      code: 'job.timeout',
      message: 'The backup took longer than 60 s.',
    });
  });
});
