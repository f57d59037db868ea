import { expect, test } from 'vitest';
import { damageKey, manifestKey, objectKey, serialiseManifest } from '../../src/domain/snapshot.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { RepairJob, VerifyJob } from '../../src/domain/job.ts';
import { runRepair } from '../../src/jobs/verify/run-repair.ts';
import { runVerify } from '../../src/jobs/verify/run-verify.ts';
import { memoryStore } from '../fakes/memory-store.ts';
import { request } from '../support/requests.ts';
import { bodyOf, copiesWorld, flip, ID, put, SMALL, stock, type CopiesWorld } from './copies-world.ts';
import { doomed } from './doomed.ts';
import { jobContext } from './world.ts';

const OBJECT = objectKey('prod-eu', ID);
const MANIFEST = manifestKey('prod-eu', ID);
const MARK = damageKey('prod-eu', ID);

const job: RepairJob = { kind: 'repair', id: 'repair-1', cluster: 'prod-eu', snapshot: ID, store: 'nas' };
const verifyJob: VerifyJob = {
  kind: 'verify',
  id: 'verify-1',
  cluster: 'prod-eu',
  snapshot: ID,
  origin: { channel: 'C1', user: 'U1' },
  askedAt: '2026-11-21T06:00:00.000Z',
};

const verify = (world: CopiesWorld) => runVerify(verifyJob, jobContext(), world.deps);
const repair = (world: CopiesWorld, attempt = 1) => runRepair(job, jobContext({ attempt, attempts: 50 }), world.deps);

/** Both copies are as they were written, and nothing is marked. */
function expectWhole({ ceph, nas }: CopiesWorld): void {
  for (const store of [ceph, nas]) {
    expect([...store.objects.keys()].sort()).toEqual([OBJECT, MANIFEST].sort());
    expect(bodyOf(store, OBJECT).equals(SMALL)).toBe(true);
  }
  expect(bodyOf(nas, MANIFEST).equals(bodyOf(ceph, MANIFEST))).toBe(true);
}

test('a copy that is missing is made from the good one, the manifest last, and told to the backup it belongs to', async () => {
  const world = copiesWorld();
  const record = stock([world.ceph]);
  expect(await repair(world)).toEqual({ kind: 'done' });
  expectWhole(world);
  expect(world.nas.calls.filter((call) => /^(put|upload.complete)/.test(call))).toEqual([
    `upload.complete ${OBJECT}`,
    `put ${MANIFEST}`,
  ]);
  expect(world.told('copy.repaired')).toMatchObject([
    { store: 'nas', from: 'ceph', why: 'missing', backup: record.operation, bytes: SMALL.length, operation: job.id },
  ]);
  expect(await world.lease.current('prod-eu')).toBe(undefined);
});

test('a manifest without its object, and an object without its manifest, are made whole copies', async () => {
  for (const lost of [OBJECT, MANIFEST]) {
    const world = copiesWorld();
    stock([world.ceph, world.nas]);
    world.nas.objects.delete(lost);
    expect(await repair(world)).toEqual({ kind: 'done' });
    expectWhole(world);
  }
});

test('a damaged copy is written over, read again, and only then loses its mark', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 5);
  await verify(world);
  const [damaged] = world.told('copy.damaged');
  expect(await repair(world)).toEqual({ kind: 'done' });
  expectWhole(world);
  expect(world.told('copy.repaired')).toMatchObject([{ why: 'damaged', operation: damaged?.operation }]);
  const calls = world.nas.calls;
  expect(calls.lastIndexOf(`read ${OBJECT}`)).toBeLessThan(calls.lastIndexOf(`remove ${MARK}`));
});

test('a store that spoils the copy again keeps the mark, and is tried again', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 5);
  await verify(world);
  const read = world.nas.read.bind(world.nas);
  world.nas.read = async (key, signal) => {
    put(world.nas, OBJECT, Buffer.from(SMALL).fill(0));
    return read(key, signal);
  };
  expect(await repair(world)).toEqual({ kind: 'again', afterMs: 10_000 });
  expect(world.nas.objects.has(MARK)).toBe(true);
  expect(world.told('copy.repaired')).toEqual([]);
});

test('never from a damaged copy: what does not fit is not made visible, and the source is marked and told of', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  flip(world.ceph, OBJECT, 5);
  expect(await repair(world)).toEqual({ kind: 'done' });
  expect([...world.nas.objects.keys()]).toEqual([]);
  expect(world.nas.calls.filter((call) => call.startsWith('upload.complete'))).toEqual([]);
  expect(world.ceph.objects.has(MARK)).toBe(true);
  expect(world.told('copy.damaged')).toMatchObject([{ store: 'ceph', whole: [], isRepaired: false }]);
  expect(world.told('copy.not-repaired')).toMatchObject([{ store: 'nas', problem: { code: 'snapshot.damaged' } }]);
});

test('where manifests of two other stores differ, nothing is copied', async () => {
  const world = copiesWorld();
  const record = stock([world.ceph, world.nas]);
  put(world.nas, MANIFEST, Buffer.from(serialiseManifest({ ...record, keys: '1' })));
  const third = { ...job, store: 'third' };
  const spec = { ...world.spec, backup: { ...world.spec.backup, stores: ['ceph', 'nas', 'third'] } };
  const stores = new Map([...world.deps.stores, ['third', memoryStore('third')]]);
  await runRepair(third, jobContext(), { ...world.deps, clusters: new Map([['prod-eu', spec]]), stores });
  expect(world.told('copy.not-repaired')[0]?.problem.message).toContain('differ from store to store');
});

test('a store that is away is asked again, less and less often, for as long as attempts last; then that is told', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 5);
  await verify(world);
  world.nas.fail('beginUpload', new KeyturnError('store.unreachable', 'nas is away.', { hint: 'Look at it.' }));
  expect(await repair(world, 1)).toEqual({ kind: 'again', afterMs: 10_000 });
  expect(await repair(world, 9)).toEqual({ kind: 'again', afterMs: 1_800_000 });
  expect(world.told('copy.not-repaired')).toEqual([]);
  expect(await repair(world, 50)).toEqual({ kind: 'done' });
  expect(world.told('copy.not-repaired')).toMatchObject([
    { operation: world.told('copy.damaged')[0]?.operation, why: 'damaged', problem: { message: 'nas is away.' } },
  ]);
  expect(await repair(world, 51)).toEqual({ kind: 'done' });
  expect(world.told('copy.not-repaired')[1]?.problem.code).toBe('job.interrupted');
});

test('a snapshot that was removed meanwhile, and a copy that is whole by now, need no repair', async () => {
  const world = copiesWorld();
  expect(await repair(world)).toEqual({ kind: 'done' });
  stock([world.ceph, world.nas]);
  expect(await repair(world)).toEqual({ kind: 'done' });
  expect(world.nas.calls.filter((call) => /^(put|remove|beginUpload)/.test(call))).toEqual([]);
  expect(world.events).toEqual([]);
});

test('it waits while the cluster is busy, and lets a restore by that has its approvals', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  const lease = await world.lease.acquire({ id: 'b', kind: 'backup', cluster: 'prod-eu', startedAt: '' });
  expect(await repair(world)).toEqual({ kind: 'later', afterMs: 5_000 });
  if ('release' in lease) await lease.release();
  world.ask({ ...request(), state: 'approved' });
  expect(await repair(world)).toEqual({ kind: 'later', afterMs: 30_000 });
  world.ask({ ...request(), state: 'pending' });
  expect(await repair(world)).toEqual({ kind: 'done' });
  expectWhole(world);
});

test('a restore that is approved in the middle ends the repair, which leaves nothing and goes on later', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  const beginUpload = world.nas.beginUpload.bind(world.nas);
  world.nas.beginUpload = async (key, signal) => {
    const upload = await beginUpload(key, signal);
    world.ask({ ...request(), state: 'approved' });
    await world.clock.advance(5_000);
    await new Promise((resolve) => setImmediate(resolve));
    return upload;
  };
  expect(await repair(world)).toEqual({ kind: 'later', afterMs: 30_000 });
  expect([...world.nas.objects.keys()]).toEqual([]);
  expect(await world.lease.current('prod-eu')).toBe(undefined);
  expect(world.events).toEqual([]);
});

test('a lease that is lost in the middle ends the repair before its manifest', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  const beginUpload = world.nas.beginUpload.bind(world.nas);
  world.nas.beginUpload = async (key, signal) => {
    const upload = await beginUpload(key, signal);
    world.lease.lose('prod-eu');
    return upload;
  };
  expect(await repair(world)).toEqual({ kind: 'again', afterMs: 10_000 });
  expect(world.nas.objects.has(MANIFEST)).toBe(false);
});

test.each(['missing', 'damaged'] as const)(
  'a worker that dies anywhere while it makes a %s copy anew: nothing wrong counts meanwhile, and the next one ends it',
  async (why) => {
    for (let at = 1; at < 200; at += 1) {
      const world = copiesWorld();
      stock(why === 'missing' ? [world.ceph] : [world.ceph, world.nas]);
      if (why === 'damaged') {
        flip(world.nas, OBJECT, 5);
        await verify(world);
      }
      const context = jobContext();
      const dying = doomed(world, context, at);
      const outcome = await runRepair(job, dying.context, dying.deps).catch((error: unknown) => error);
      if (!dying.isDead()) {
        expect(outcome).toEqual({ kind: 'done' });
        expect(at).toBeGreaterThan(10);
        return;
      }
      const { entries } = await world.deps.catalogue.entries('prod-eu');
      const counts = entries[0]?.copies.some(({ store, isDamaged }) => store === 'nas' && !isDamaged);
      if (counts === true) expect(bodyOf(world.nas, OBJECT).equals(SMALL)).toBe(true);
      world.lease.lose('prod-eu');
      const again = jobContext({ attempt: 2, remembered: context.remembered });
      expect(await runRepair(job, again, world.deps)).toEqual({ kind: 'done' });
      expectWhole(world);
      const told = new Set(world.told('copy.repaired').map(({ operation }) => operation));
      expect(told.size).toBe(1);
      await verify(world);
      expect(await world.scrubMemory.told(`prod-eu/${ID}/nas`)).toBe(undefined);
    }
    throw new Error('it never came to its end');
  },
);
