/** Telling of requests: kept before it is told, and an approved one is started once. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { review } from '../../src/domain/restore-review.ts';
import { announceRequest } from '../../src/restore/announce.ts';
import { audited } from '../../src/restore/audited.ts';
import { events } from '../chat/samples.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { alice, done, later, NOW, policy, request } from '../support/requests.ts';

const pending = request({ policy: policy({ threshold: 1 }) });
const approved = done(
  review(pending, { reviewer: alice, verdict: 'approve', digest: pending.digest, now: later(1000) }),
);

function world() {
  const published: KeyturnEvent[] = [];
  const queue = fakeJobQueue(fakeClock());
  return { published, queue, publish: async (event: KeyturnEvent) => void published.push(event) };
}

describe('a changed request', () => {
  test('is told without the scripts of its plan, at the time of the change, and starts nothing', async () => {
    const deps = world();
    await announceRequest(deps, pending);
    expect(deps.published).toMatchObject([
      { type: 'restore.changed', operation: 'r1', cluster: 'prod-eu', at: NOW.toISOString(), request: { version: 1 } },
    ]);
    expect(JSON.stringify(deps.published)).not.toContain('systemctl stop etcd');
    expect(deps.queue.jobs).toEqual([]);
  });

  test('that became approved is started, once however often it is told', async () => {
    const deps = world();
    await announceRequest(deps, approved);
    await announceRequest(deps, approved);
    expect(deps.queue.jobs.map(({ job }) => job)).toEqual([
      { kind: 'restore', id: 'restore-r1-1', cluster: 'prod-eu', request: 'r1' },
    ]);
    expect(deps.queue.jobs[0]?.attempts).toBeGreaterThanOrEqual(1000);
    expect(deps.published[0]).toEqual(deps.published[1]);
  });

  test('that could not be kept is not started', async () => {
    const deps = world();
    const publish = () => Promise.reject(new KeyturnError('audit.failed', 'Full.', { hint: 'Make room.' }));
    await expect(announceRequest({ ...deps, publish }, approved)).rejects.toThrow('Full.');
    expect(deps.queue.jobs).toEqual([]);
  });
});

describe('an event', () => {
  test('is in the audit before anybody hears of it', async () => {
    const order: string[] = [];
    const publish = audited(
      { record: async (fact) => void order.push(`kept ${fact.type}`) },
      async (event) => void order.push(`told ${event.type}`),
    );
    await publish(events.queued);
    expect(order).toEqual(['kept backup.queued', 'told backup.queued']);
  });

  test('that could not be kept is not told', async () => {
    const told: string[] = [];
    const publish = audited(
      { record: () => Promise.reject(new Error('no room')) },
      async (event) => void told.push(event.type),
    );
    await expect(publish(events.failed)).rejects.toThrow('no room');
    expect(told).toEqual([]);
  });

  test('of progress is told and not kept', async () => {
    const seen: string[] = [];
    const publish = audited(
      { record: async (fact) => void seen.push(`kept ${fact.type}`) },
      async (event) => void seen.push(`told ${event.type}`),
    );
    await publish(events.progress);
    const step = { step: 'fetch.cp1', node: 'cp1', done: 1, total: 2 };
    await publish({ type: 'restore.step-progress', at: '', operation: 'r1', cluster: 'prod-eu', ...step });
    expect(seen).toEqual(['told backup.progress', 'told restore.step-progress']);
  });
});
