import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { VerifyJob } from '../../src/domain/job.ts';
import { isVerified } from '../../src/domain/snapshot.ts';
import { runScrub } from '../../src/jobs/verify/run-scrub.ts';
import { runVerify } from '../../src/jobs/verify/run-verify.ts';
import { runRepair } from '../../src/jobs/verify/run-repair.ts';
import { SCRUB_LEASE } from '../../src/domain/job.ts';
import { findSnapshot } from '../../src/stored/read-snapshots.ts';
import { coderOf } from '../support/coder.ts';
import { copiesWorld, flip, put, sha256, SMALL, type CopiesWorld } from './copies-world.ts';
import { doomed } from './doomed.ts';
import { jobContext } from './world.ts';

const PLAIN_NAME = 'etcd-snapshot-20261120-060000.db';
const GZIPPED = 'v2/Full-00000000-00004711-1795284000.gz';

const world = (): CopiesWorld => {
  const made = copiesWorld();
  return { ...made, deps: { ...made.deps, coder: coderOf() } };
};

const job = (snapshot: string): VerifyJob => ({
  kind: 'verify',
  id: 'verify-1',
  cluster: 'prod-eu',
  snapshot,
  origin: { channel: 'C1', user: 'U1' },
  askedAt: '2026-11-21T06:00:00.000Z',
});

async function verify(w: CopiesWorld, snapshot = PLAIN_NAME) {
  await runVerify(job(snapshot), jobContext(), w.deps);
  return w.told('verify.ended').at(-1);
}

const entryOf = async (w: CopiesWorld) => (await w.deps.catalogue.entries('prod-eu')).entries[0];

test('what etcdctl wrote is read through and taken up: it counts by its own time, and can be restored like any other', async () => {
  const w = world();
  for (const store of [w.ceph, w.nas]) put(store, `prod-eu/${PLAIN_NAME}`, SMALL);
  const before = await entryOf(w);
  expect(before).toMatchObject({ origin: 'other', id: PLAIN_NAME });
  const ended = await verify(w);
  expect(ended?.copies.map(({ verdict }) => verdict.kind)).toEqual(['whole', 'whole']);
  const entry = await entryOf(w);
  expect(entry).toMatchObject({ origin: 'adopted', id: ended?.adoptedAs, takenAt: '2026-11-20T06:00:00.000Z' });
  const record = await findSnapshot(w.deps.catalogue, 'prod-eu', ended?.adoptedAs ?? '');
  expect(isVerified(record)).toBe(true);
  expect(record).toMatchObject({ source: 'found', size: SMALL.length, sha256: sha256(SMALL), revisionBefore: '0' });
  expect((await verify(w, ended?.adoptedAs))?.copies.map(({ verdict }) => verdict.kind)).toEqual(['whole', 'whole']);
});

test('etcdbrctl’s are unpacked, and their revision is in their name', async () => {
  const w = world();
  put(w.ceph, `prod-eu/${GZIPPED}`, gzipSync(SMALL));
  const ended = await verify(w, GZIPPED);
  const record = await findSnapshot(w.deps.catalogue, 'prod-eu', ended?.adoptedAs ?? '');
  expect(record).toMatchObject({
    encoding: { compression: 'gzip' },
    revisionBefore: '4711',
    sha256: sha256(SMALL),
    object: { sha256: sha256(gzipSync(SMALL)) },
  });
});

test('a copied database file, which has no hash, is refused with why; nothing is written or marked', async () => {
  const w = world();
  put(w.ceph, `prod-eu/${PLAIN_NAME}`, SMALL.subarray(0, 512));
  const ended = await verify(w);
  expect(ended).toMatchObject({ adoptedAs: undefined, copies: [{ verdict: { kind: 'refused' } }] });
  expect(JSON.stringify(ended?.copies)).toContain('as a copied database file does');
  expect(w.ceph.objects.size).toBe(1);
  expect(w.told('copy.damaged')).toEqual([]);
});

test('a byte that flipped, a gzip that is torn and a form that can not be read are refused', async () => {
  for (const [name, body] of [
    [PLAIN_NAME, Buffer.from(SMALL).fill(7, 100, 101)],
    [GZIPPED, gzipSync(SMALL).subarray(0, 40)],
    [GZIPPED.replace('.gz', '.lzw'), SMALL],
  ] as const) {
    const w = world();
    put(w.ceph, `prod-eu/${name}`, body);
    expect(await verify(w, name)).toMatchObject({ adoptedAs: undefined, copies: [{ verdict: { kind: 'refused' } }] });
  }
});

test('two stores with different snapshots under one name: neither is taken up', async () => {
  const w = world();
  put(w.ceph, `prod-eu/${PLAIN_NAME}`, SMALL);
  put(w.nas, `prod-eu/${PLAIN_NAME}`, gzipSync(SMALL));
  put(w.nas, `prod-eu/${PLAIN_NAME}`, (await import('../fakes/etcd-client.ts')).fakeSnapshot(1024 + 32));
  expect((await verify(w))?.adoptedAs).toBe(undefined);
});

test('a store that is away says nothing; one that takes no manifest is told', async () => {
  const w = world();
  for (const store of [w.ceph, w.nas]) put(store, `prod-eu/${PLAIN_NAME}`, SMALL);
  w.ceph.fail('read', new KeyturnError('store.unreachable', 'ceph is away.', { hint: 'Look.' }));
  w.nas.fail('put', new KeyturnError('store.refused', 'nas is read-only.', { hint: 'Let it be written to.' }));
  expect(await verify(w)).toMatchObject({
    adoptedAs: undefined,
    copies: [{ verdict: { kind: 'unknown' } }, { verdict: { kind: 'whole' }, markProblem: { code: 'store.refused' } }],
  });
});

test('once it is taken up it is scrubbed, and its damage marked, told and repaired', async () => {
  const w = world();
  for (const store of [w.ceph, w.nas]) put(store, `prod-eu/${PLAIN_NAME}`, SMALL);
  const id = (await verify(w))?.adoptedAs ?? '';
  flip(w.nas, `prod-eu/${PLAIN_NAME}`, 9);
  const scrub = { kind: 'scrub', id: 's', cluster: SCRUB_LEASE } as const;
  for (let n = 0; n < 3; n += 1) await runScrub(scrub, jobContext(), w.deps);
  expect(w.told('copy.damaged')).toMatchObject([{ snapshot: id, store: 'nas', whole: ['ceph'] }]);
  const repair = { kind: 'repair', id: 'r', cluster: 'prod-eu', snapshot: id, store: 'nas' } as const;
  expect(await runRepair(repair, jobContext(), w.deps)).toEqual({ kind: 'done' });
  expect(w.nas.objects.get(`prod-eu/${PLAIN_NAME}`)?.body.equals(Buffer.from(SMALL))).toBe(true);
});

test('a worker that dies anywhere while it takes a snapshot up: the next one ends it, with one id and one manifest', async () => {
  for (let at = 1; at < 100; at += 1) {
    const w = world();
    for (const store of [w.ceph, w.nas]) put(store, `prod-eu/${PLAIN_NAME}`, SMALL);
    const context = jobContext();
    const dying = doomed(w, context, at);
    await runVerify(job(PLAIN_NAME), dying.context, dying.deps).catch(() => undefined);
    if (!dying.isDead()) {
      expect(at).toBeGreaterThan(4);
      return;
    }
    await runVerify(job(PLAIN_NAME), jobContext({ attempt: 2 }), w.deps);
    for (const { job: queued } of w.queue.jobs)
      if (queued.kind === 'repair') await runRepair(queued, jobContext(), w.deps);
    const entry = await entryOf(w);
    expect(entry?.origin).toBe('adopted');
    expect(entry?.copies.every(({ manifest }) => manifest !== undefined)).toBe(true);
    const ended = await verify(w, entry?.id);
    expect(ended?.copies.map(({ verdict }) => verdict.kind)).toEqual(['whole', 'whole']);
  }
  throw new Error('it never came to its end');
});
