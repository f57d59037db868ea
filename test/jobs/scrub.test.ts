import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { SCRUB_EVERY_MS, SCRUB_LEASE, scrubId, type ScrubJob } from '../../src/domain/job.ts';
import { dueCopies, type ScrubCopy } from '../../src/domain/scrub.ts';
import { damageKey, objectKey, snapshotId } from '../../src/domain/snapshot.ts';
import { queueScrub } from '../../src/jobs/verify/queue-scrub.ts';
import { runScrub } from '../../src/jobs/verify/run-scrub.ts';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { copiesWorld, flip, ID, SMALL, stock, type CopiesWorld } from './copies-world.ts';
import { jobContext, silentLog } from './world.ts';

const DAY = 86_400_000;
const job: ScrubJob = { kind: 'scrub', id: 'scrub-1', cluster: SCRUB_LEASE };

const scrub = (world: CopiesWorld, deps = world.deps) => runScrub(job, jobContext({ attempts: 1 }), deps);
const idAt = (hour: number): string => snapshotId(new Date(Date.UTC(2026, 10, 21, hour)), 1);
const readsOf = (store: MemoryStore): string[] =>
  store.calls.filter((call) => call.startsWith('read ')).map((call) => call.replace(/^read .*\/|\.db$/g, ''));

test('copies that were never read come first, the newest snapshots before others; a second scrub finds nothing due', async () => {
  const world = copiesWorld();
  for (const hour of [1, 3, 2]) stock([world.ceph], { id: idAt(hour) });
  for (let n = 0; n < 3; n += 1) await scrub(world);
  expect(readsOf(world.ceph)).toEqual([idAt(3), idAt(2), idAt(1)]);
  await scrub(world);
  expect(readsOf(world.ceph)).toHaveLength(3);
  expect(world.events).toEqual([]);
});

test('then those that were read longest ago', async () => {
  const world = copiesWorld();
  for (const hour of [1, 2]) stock([world.ceph], { id: idAt(hour) });
  const now = world.clock.now().getTime();
  for (const [hour, days] of [
    [1, 25],
    [2, 24],
  ] as const)
    await world.scrubMemory.setRead('prod-eu', `ceph/${objectKey('prod-eu', idAt(hour))}`, new Date(now - days * DAY));
  await scrub(world);
  await scrub(world);
  expect(readsOf(world.ceph)).toEqual([idAt(1), idAt(2)]);
});

test('damage is told once with what is known of the other copies, which are read at once; good copies make no noise', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.ceph, objectKey('prod-eu', ID), 7);
  for (let n = 0; n < 4; n += 1) await scrub(world);
  expect(world.events.map(({ type }) => type)).toEqual(['copy.damaged']);
  expect(world.told('copy.damaged')).toMatchObject([{ store: 'ceph', whole: ['nas'], isRepaired: true, by: job.id }]);
  expect(world.ceph.objects.has(damageKey('prod-eu', ID))).toBe(true);
});

test('damage whose telling was cut off is told by the next scrub that comes by, as the same', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  flip(world.ceph, objectKey('prod-eu', ID), 7);
  const deaf = { ...world.deps, publish: () => Promise.reject(new Error('killed')) };
  await expect(scrub(world, deaf)).rejects.toThrow('killed');
  await world.clock.advance(SCRUB_EVERY_MS);
  await scrub(world);
  expect(world.told('copy.damaged')).toHaveLength(1);
});

test('one replica scrubs at a time', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  const other = await world.lease.acquire({ id: 'scrub-0', kind: 'scrub', cluster: SCRUB_LEASE, startedAt: '' });
  expect(await scrub(world)).toEqual({ kind: 'done' });
  expect(readsOf(world.ceph)).toEqual([]);
  if ('release' in other) await other.release();
  await scrub(world);
  expect(readsOf(world.ceph)).toEqual([ID]);
});

test('replicas that look in the same five minutes queue one scrub, and Redis being away is no reason to fail', async () => {
  const world = copiesWorld();
  await queueScrub(world.deps);
  await queueScrub(world.deps);
  expect(world.queue.jobs.map(({ job: each }) => each.id)).toEqual([scrubId(world.clock.now())]);
  await world.clock.advance(SCRUB_EVERY_MS);
  await queueScrub(world.deps);
  expect(world.queue.jobs).toHaveLength(2);
  const away = { add: () => Promise.reject(new Error('no Redis')) };
  await queueScrub({ queue: away, clock: world.clock, log: silentLog });
});

test('a scrub ends after some minutes, and the next one goes on where it was', async () => {
  const world = copiesWorld();
  for (let hour = 0; hour < 6; hour += 1) stock([world.ceph], { id: idAt(hour) });
  const late = new Date(world.clock.now().getTime() - 31 * DAY);
  for (let hour = 0; hour < 6; hour += 1)
    await world.scrubMemory.setRead('prod-eu', `ceph/${objectKey('prod-eu', idAt(hour))}`, late);
  const read = world.ceph.read.bind(world.ceph);
  world.ceph.read = async (key, signal) => {
    const stream = await read(key, signal);
    await world.clock.advance(90_000);
    return stream;
  };
  await scrub(world);
  expect(readsOf(world.ceph)).toHaveLength(3);
  await scrub(world);
  expect(new Set(readsOf(world.ceph)).size).toBe(6);
});

test('a store that is away is left alone until the next scrub; what it has stays due, and the others are read', async () => {
  const world = copiesWorld();
  for (const hour of [1, 2]) stock([world.ceph, world.nas], { id: idAt(hour) });
  world.ceph.fail('read', new KeyturnError('store.unreachable', 'ceph is away.', { hint: 'Look at it.' }));
  const long = new Date(world.clock.now().getTime() - 40 * DAY);
  for (const store of ['ceph', 'nas'])
    for (const hour of [1, 2])
      await world.scrubMemory.setRead('prod-eu', `${store}/${objectKey('prod-eu', idAt(hour))}`, long);
  await scrub(world);
  expect(readsOf(world.ceph)).toHaveLength(1);
  expect(readsOf(world.nas)).toHaveLength(2);
  expect(world.events).toEqual([]);
  world.ceph.heal();
  await scrub(world);
  expect(new Set(readsOf(world.ceph)).size).toBe(2);
});

test('one object that can not be read does not keep others from their turn: it comes again after a day', async () => {
  const world = copiesWorld();
  for (const hour of [1, 2]) stock([world.ceph], { id: idAt(hour) });
  world.ceph.fail('read', new KeyturnError('store.refused', 'A bad sector.', { hint: 'Look at the disk.' }), 1);
  await scrub(world);
  await scrub(world);
  expect(readsOf(world.ceph)).toEqual([idAt(2), idAt(1)]);
  // What was put off is not told as read.
  const reads = await world.scrubMemory.lastReads('prod-eu');
  expect(reads.has(`ceph/${objectKey('prod-eu', idAt(1))}`)).toBe(true);
  expect(reads.has(`ceph/${objectKey('prod-eu', idAt(2))}`)).toBe(false);
  await scrub(world);
  expect(readsOf(world.ceph)).toHaveLength(2);
  await world.clock.advance(DAY + 1);
  await scrub(world);
  expect(readsOf(world.ceph)).toEqual([idAt(2), idAt(1), idAt(2)]);
});

test('what is gone is forgotten, but not while a store can not be listed', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  await scrub(world);
  world.ceph.objects.clear();
  world.nas.fail('list', new KeyturnError('store.unreachable', 'nas is away.', { hint: 'Look at it.' }));
  await scrub(world);
  expect((await world.scrubMemory.lastReads('prod-eu')).size).toBe(1);
  world.nas.heal();
  await scrub(world);
  expect((await world.scrubMemory.lastReads('prod-eu')).size).toBe(0);
});

test('a rate that is too low for all copies in their time is said once, and again after it was well', async () => {
  const world = copiesWorld();
  stock([world.ceph, world.nas]);
  const slow = { ...world.deps, scrub: { enabled: true, everyMs: 30 * DAY, rateLimit: 0.0001 } };
  const quick = { ...slow, scrub: { ...slow.scrub, rateLimit: 1e15 } };
  const tell = async (deps: typeof slow): Promise<number> => {
    // What is read at that rate takes for ever: the scrub is ended after its first look.
    const context = jobContext({ signal: AbortSignal.abort(new Error('stop')) });
    await runScrub(job, context, deps).catch(() => undefined);
    return world.told('scrub.behind').length;
  };
  expect(await tell(slow)).toBe(1);
  expect(await tell(slow)).toBe(1);
  expect(world.told('scrub.behind')[0]).toMatchObject({ bytes: 2 * SMALL.length, everyMs: 30 * DAY });
  expect(await tell(quick)).toBe(1);
  expect(await tell(slow)).toBe(2);
});

test('copies that are missing from a store are queued to be made, of the newest ten, where retention keeps them', async () => {
  const world = copiesWorld();
  const off = { ...world.deps, scrub: { ...world.deps.scrub, enabled: false } };
  for (let hour = 0; hour < 12; hour += 1) stock([world.ceph], { id: idAt(hour) });
  stock([world.nas], { id: idAt(11) });
  await scrub(world, off);
  const queued = (): string[] =>
    world.queue.jobs.flatMap(({ job: each }) => (each.kind === 'repair' ? [`${each.store} ${each.snapshot}`] : []));
  expect(queued()).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2].map((hour) => `nas ${idAt(hour)}`));
  expect(readsOf(world.ceph)).toEqual([]);
  const kept = copiesWorld();
  for (let hour = 0; hour < 12; hour += 1) stock([kept.ceph], { id: idAt(hour) });
  const policy = { ...kept.spec.retention, policy: { last: 2 } };
  await scrub(kept, { ...kept.deps, retentionOf: () => policy });
  expect(kept.queue.jobs).toHaveLength(2);
});

test('a store that can not be listed lacks nothing', async () => {
  const world = copiesWorld();
  stock([world.ceph]);
  world.nas.fail('list', new KeyturnError('store.unreachable', 'nas is away.', { hint: 'Look at it.' }));
  await scrub(world);
  expect(world.queue.jobs).toEqual([]);
});

test('every copy is read within its time, whatever their number and sizes, and no scrub reads much more than its share', () => {
  const everyMs = 30 * DAY;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 30 }), (sizes) => {
      const lastRead = new Map<number, Date>();
      const steps = (2 * everyMs) / (SCRUB_EVERY_MS * 96);
      const start = Date.UTC(2026, 10, 21);
      let worst = 0;
      // Steps of eight hours stand for 96 scrubs each, which read the share of one at least.
      for (let step = 0; step < steps; step += 1) {
        const now = new Date(start + step * SCRUB_EVERY_MS * 96);
        const copies = sizes.map((size, i): ScrubCopy => ({
          entry: { id: String(i), cluster: 'c', takenAt: '', origin: 'keyturn', copies: [], isHeld: false },
          store: 's',
          size,
          lastRead: lastRead.get(i),
        }));
        const due = dueCopies(copies, everyMs, now);
        for (const { entry } of due) {
          const before = lastRead.get(Number(entry.id));
          if (before !== undefined) worst = Math.max(worst, now.getTime() - before.getTime());
          lastRead.set(Number(entry.id), now);
        }
      }
      expect(lastRead.size).toBe(sizes.length);
      expect(worst).toBeLessThanOrEqual(everyMs + SCRUB_EVERY_MS * 96);
    }),
    { numRuns: 30 },
  );
});
