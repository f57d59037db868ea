import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDamage } from '../../src/domain/damage.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { VerifyJob } from '../../src/domain/job.ts';
import { damageKey, manifestKey, objectKey, serialiseManifest } from '../../src/domain/snapshot.ts';
import { FAKE_ENCODING } from '../fakes/snapshot-coder.ts';
import { runVerify } from '../../src/jobs/verify/run-verify.ts';
import { bodyOf, copiesWorld, flip, ID, put, SMALL, stock, type CopiesWorld } from './copies-world.ts';
import { jobContext } from './world.ts';

const OBJECT = objectKey('prod-eu', ID);
const MANIFEST = manifestKey('prod-eu', ID);
const NOT_ENCODED = Buffer.from(SMALL).reverse();
const MARK = damageKey('prod-eu', ID);

const job: VerifyJob = {
  kind: 'verify',
  id: 'verify-prod-eu-1',
  cluster: 'prod-eu',
  snapshot: ID,
  origin: { channel: 'C1', user: 'U1' },
  askedAt: '2026-11-21T06:00:00.000Z',
};

async function verify(world: CopiesWorld, change: Partial<VerifyJob> = {}) {
  expect(await runVerify({ ...job, ...change }, jobContext(), world.deps)).toEqual({ kind: 'done' });
  const [ended] = world.told('verify.ended').slice(-1);
  return Object.fromEntries((ended?.copies ?? []).map(({ store, verdict }) => [store, verdict]));
}

const away = (store: string) =>
  new KeyturnError('store.unreachable', `Store ${store} can't be reached.`, { hint: 'Look at it.' });

test('copies that are as they were written are whole; nothing is marked and nobody is called', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  const whole = { kind: 'whole', unopened: undefined };
  expect(await verify(world)).toEqual({ ceph: whole, nas: whole });
  expect(world.told('copy.damaged')).toEqual([]);
  expect(world.ceph.calls.filter((call) => /^(put|remove)/.test(call))).toEqual([]);
  expect((await world.scrubMemory.lastReads('prod-eu')).size).toBe(2);
});

test('a copy with one wrong byte is read twice, marked in its store, told once, and repaired from the good one', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 100);
  const verdicts = await verify(world);
  expect(verdicts['ceph']?.kind).toBe('whole');
  expect(verdicts['nas']).toEqual({
    kind: 'damaged',
    found: 'its bytes are not those that were written: the sha256 differs',
  });
  expect(world.nas.calls.filter((call) => call === `read ${OBJECT}`)).toHaveLength(2);
  expect(parseDamage(bodyOf(world.nas, MARK).toString())).toMatchObject({ ok: true, damage: { by: job.id } });
  expect(world.ceph.objects.has(MARK)).toBe(false);
  expect(world.told('copy.damaged')).toMatchObject([
    { store: 'nas', snapshot: ID, whole: ['ceph'], isRepaired: true, markProblem: undefined, by: job.id },
  ]);
  expect(world.queue.jobs.map(({ job: each }) => each)).toMatchObject([{ kind: 'repair', store: 'nas', snapshot: ID }]);
  await verify(world, { id: 'verify-prod-eu-2' });
  expect(world.told('copy.damaged')).toHaveLength(1);
});

test('bytes too few or too many are told as such', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  put(world.ceph, OBJECT, SMALL.subarray(0, 500));
  put(world.nas, OBJECT, Buffer.concat([SMALL, SMALL]));
  expect(await verify(world)).toMatchObject({
    ceph: { kind: 'damaged', found: 'it has 500 bytes instead of 544' },
    nas: { kind: 'damaged', found: 'it has 1088 bytes instead of 544' },
  });
  expect(world.told('copy.damaged').map(({ whole, isRepaired }) => [whole, isRepaired])).toEqual([
    [[], false],
    [[], false],
  ]);
  expect(world.queue.jobs).toEqual([]);
});

test('bytes that fit the manifest and are no whole snapshot are damaged', async () => {
  const world = copiesWorld();
  const spoilt = Buffer.from(SMALL);
  spoilt[40] = 1;
  stock([world.ceph], {}, { snapshot: spoilt });
  expect(await verify(world)).toMatchObject({
    ceph: {
      kind: 'damaged',
      found: expect.stringContaining('its sha256 trailer does not fit its content') as string,
    },
  });
});

test('an encrypted copy is opened where there is an identity; without one its bytes are all that is known, and that is told', async () => {
  const world = copiesWorld();
  const body = await buffer(world.coder.encode(FAKE_ENCODING, Readable.from([SMALL]), new AbortController().signal));
  stock([world.ceph], { encoding: FAKE_ENCODING }, { body });
  expect(await verify(world)).toMatchObject({ ceph: { kind: 'whole', unopened: undefined } });
  world.coder.hasIdentity = false;
  expect(await verify(world)).toMatchObject({
    ceph: { kind: 'whole', unopened: { code: 'encryption.no-identity' } },
  });
  stock([world.ceph], { encoding: FAKE_ENCODING }, { body: NOT_ENCODED });
  world.coder.hasIdentity = true;
  expect(await verify(world)).toMatchObject({
    ceph: { kind: 'damaged', found: "it can't be decoded: the encoded bytes are damaged" },
  });
});

test('with another passphrase than it was encrypted with a copy is not opened, and not called damaged', async () => {
  const world = copiesWorld();
  stock([world.ceph], { encoding: { ...FAKE_ENCODING, recipients: ['passphrase'] } }, { body: NOT_ENCODED });
  expect(await verify(world)).toMatchObject({
    ceph: { kind: 'whole', unopened: { code: 'snapshot.damaged', message: 'The encoded bytes are damaged.' } },
  });
});

test('a store that is away, slow or breaks off says nothing of its copy', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  world.nas.fail('read', away('nas'));
  world.ceph.fail('get', away('ceph'));
  expect(await verify(world)).toMatchObject({
    ceph: { kind: 'unknown', problem: { code: 'store.unreachable' } },
    nas: { kind: 'unknown', problem: { code: 'store.unreachable' } },
  });
  expect(world.told('copy.damaged')).toEqual([]);
  expect(await world.scrubMemory.lastReads('prod-eu')).toEqual(new Map());
});

test('a store that gives other bytes with each read is a store with a problem, and its copy is not marked', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  const read = world.ceph.read.bind(world.ceph);
  let reads = 0;
  world.ceph.read = async (key, signal) => {
    flip(world.ceph, OBJECT, (reads += 1));
    return read(key, signal);
  };
  expect(await verify(world)).toMatchObject({ ceph: { kind: 'unknown', problem: { code: 'store.corrupt' } } });
  expect(world.ceph.objects.has(MARK)).toBe(false);
});

test('what was read wrong once and right the second time is whole', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  const read = world.ceph.read.bind(world.ceph);
  let reads = 0;
  flip(world.ceph, OBJECT, 3);
  world.ceph.read = async (key, signal) => {
    if ((reads += 1) === 2) flip(world.ceph, OBJECT, 3);
    return read(key, signal);
  };
  expect(await verify(world)).toMatchObject({ ceph: { kind: 'whole' } });
});

test('a manifest that was changed is damage of its copy; the others are not touched by it', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, MANIFEST, 200);
  const verdicts = await verify(world);
  expect(verdicts['ceph']?.kind).toBe('whole');
  expect(verdicts['nas']).toMatchObject({ kind: 'damaged', found: expect.stringMatching(/^its manifest /) as string });
});

test('two good manifests that differ are nobody’s damage: both are told, none is marked or written over', async () => {
  const world = copiesWorld();
  const record = stock([world.ceph, world.nas]);
  put(world.nas, MANIFEST, Buffer.from(serialiseManifest({ ...record, keys: '1' })));
  expect(await verify(world)).toMatchObject({
    ceph: { kind: 'disputed', found: 'its manifest says something else than in store nas' },
    nas: { kind: 'disputed', found: 'its manifest says something else than in store ceph' },
  });
  expect(world.told('copy.damaged').map(({ isDisputed, isRepaired }) => [isDisputed, isRepaired])).toEqual([
    [true, false],
    [true, false],
  ]);
  expect([world.ceph.objects.has(MARK), world.nas.objects.has(MARK)]).toEqual([false, false]);
});

test('a copy that is whole again loses its mark, and that is told once', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 9);
  await verify(world);
  flip(world.nas, OBJECT, 9);
  expect(await verify(world)).toMatchObject({ nas: { kind: 'whole' } });
  expect(world.nas.objects.has(MARK)).toBe(false);
  const [damaged] = world.told('copy.damaged');
  expect(world.told('copy.healed')).toMatchObject([{ operation: damaged?.operation, store: 'nas', snapshot: ID }]);
  await verify(world);
  expect(world.told('copy.healed')).toHaveLength(1);
});

test('a mark that can not be written is told, and the damage all the same', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 9);
  world.nas.fail('put', new KeyturnError('store.refused', 'nas is read-only.', { hint: 'Let it be written to.' }));
  await verify(world);
  expect(world.told('verify.ended')[0]?.copies).toMatchObject([
    { store: 'ceph', markProblem: undefined },
    { store: 'nas', markProblem: { code: 'store.refused' } },
  ]);
  expect(world.told('copy.damaged')).toMatchObject([{ isRepaired: false, markProblem: { code: 'store.refused' } }]);
});

test('a store of the cluster without a copy is told as missing; a snapshot that nobody has is unknown', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  expect(await verify(world)).toMatchObject({ ceph: { kind: 'whole' }, nas: { kind: 'missing' } });
  await verify(world, { snapshot: '20261121T040000Z-1' });
  expect(world.told('verify.failed')).toMatchObject([{ problem: { code: 'snapshot.unknown' } }]);
});

test('a worker that died each time is told of; one that is told to stop says nothing and leaves the job to another', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  await runVerify(job, jobContext({ attempt: 4, attempts: 3 }), world.deps);
  expect(world.told('verify.failed')).toMatchObject([{ problem: { code: 'job.interrupted' } }]);
  const stop = new AbortController();
  stop.abort(new Error('stop'));
  await expect(runVerify(job, jobContext({ signal: stop.signal }), world.deps)).rejects.toThrow('stop');
  expect(world.told('verify.failed')).toHaveLength(1);
});

test('flip one bit of any byte of object or manifest: its copy is damaged, and the mark keeps it so until it is whole', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(OBJECT, MANIFEST),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      fc.integer({ min: 0, max: 7 }),
      async (key, where, bit) => {
        const world = copiesWorld();
        stock([world.ceph, world.nas]);
        const body = Buffer.from(bodyOf(world.nas, key));
        const at = Math.floor(where * body.length);
        body[at] = (body[at] ?? 0) ^ (1 << bit);
        put(world.nas, key, body);
        const verdicts = await verify(world);
        expect(verdicts['ceph']?.kind).toBe('whole');
        expect(verdicts['nas']?.kind).toBe('damaged');
        const { entries } = await world.deps.catalogue.entries('prod-eu');
        expect(entries[0]?.copies.map(({ store, isDamaged }) => [store, isDamaged])).toEqual([
          ['ceph', false],
          ['nas', true],
        ]);
      },
    ),
    { numRuns: 300 },
  );
});

test('flip any byte of a mark: the copy stays damaged, and what the mark said is not believed', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.nas, OBJECT, 9);
  await verify(world);
  const mark = bodyOf(world.nas, MARK);
  for (let at = 0; at < mark.length; at += 1) {
    flip(world.nas, MARK, at);
    expect(parseDamage(bodyOf(world.nas, MARK).toString('utf8')).ok).toBe(false);
    flip(world.nas, MARK, at);
  }
  flip(world.nas, MARK, 30);
  const { entries } = await world.deps.catalogue.entries('prod-eu');
  expect(entries[0]?.copies.find(({ store }) => store === 'nas')?.isDamaged).toBe(true);
  expect(await verify(world)).toMatchObject({ nas: { kind: 'damaged' } });
});
