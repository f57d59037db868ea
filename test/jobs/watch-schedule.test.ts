import { describe, expect, test } from 'vitest';
import { queueDueBackups } from '../../src/jobs/watch-schedule.ts';
import { runBackup } from '../../src/jobs/run-backup.ts';
import { fakeTickMemory } from '../fakes/tick-memory.ts';
import { clusterSpec, fakeWorld, job, jobContext } from './world.ts';

const HOUR = 3_600_000;

function scheduled(spec = clusterSpec()) {
  const world = fakeWorld({}, spec);
  const deps = { ...world.deps, clusters: [spec], ticks: fakeTickMemory() };
  return {
    ...world,
    deps,
    look: () => queueDueBackups(deps),
    ids: () => world.queue.jobs.map((entry) => entry.job.id),
    backups: () => world.queue.jobs.filter((entry) => entry.job.kind === 'backup'),
  };
}

describe('a schedule', () => {
  test('makes one job of one run, however many replicas look at it how often', async () => {
    const { look, ids, clock, events } = scheduled();
    await Promise.all([look(), look(), look()]);
    await clock.advance(60_000);
    await look();
    expect(ids()).toEqual(['backup-prod-eu-20261121T0600Z']);
    expect(events.map((event) => event.type)).toEqual(['backup.queued']);
  });

  test('makes a job of each run in time', async () => {
    const { look, ids, clock } = scheduled();
    for (let i = 0; i < 3; i++) {
      await look();
      await clock.advance(HOUR);
    }
    expect(ids()).toHaveLength(3);
  });

  test('after a stop catches up the newest missed run, not all of them, and says so', async () => {
    const { look, queue, clock } = scheduled();
    await look();
    await clock.advance(5 * HOUR + 600_000);
    await look();
    expect(queue.jobs).toHaveLength(2);
    expect(queue.jobs[1]?.job).toMatchObject({
      id: 'backup-prod-eu-20261121T1100Z',
      trigger: { kind: 'schedule', caughtUp: true, dueAt: '2026-11-21T11:00:00.000Z' },
    });
  });

  test('with an empty Redis and a snapshot since the last run queues nothing', async () => {
    const world = scheduled();
    await runBackup(job, jobContext(), fakeDeps(world));
    await world.look();
    expect(world.backups()).toEqual([]);
    await world.clock.advance(HOUR);
    await world.look();
    expect(world.backups()).toHaveLength(1);
  });

  test('of a cluster that was never backed up begins at once, and is told as the first', async () => {
    const { look, queue } = scheduled();
    await look();
    expect(queue.jobs.map(({ job }) => job)).toMatchObject([{ kind: 'backup', trigger: { kind: 'first' } }]);
  });

  test('that is not there queues nothing', async () => {
    const { look, queue } = scheduled(clusterSpec({ schedule: undefined }));
    await look();
    expect(queue.jobs).toEqual([]);
  });
});

function fakeDeps(world: ReturnType<typeof scheduled>) {
  return { ...world.deps, clusters: new Map([[world.spec.name, world.spec]]) };
}
