/** The adapters on a real Redis keep the same contracts as the fakes. */
import { Queue } from 'bullmq';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { redisClusterLease } from '../../../src/adapters/redis/lease.ts';
import { redisRestoreJournal } from '../../../src/adapters/redis/journal.ts';
import { redisOutbox } from '../../../src/adapters/redis/outbox.ts';
import { redisJobQueue } from '../../../src/adapters/redis/queue.ts';
import { redisRestoreRequests } from '../../../src/adapters/redis/restore-requests.ts';
import { redisScrubMemory } from '../../../src/adapters/redis/scrub-memory.ts';
import { redisSentMessages } from '../../../src/adapters/redis/sent-messages.ts';
import { redisStepUpRecords } from '../../../src/adapters/redis/step-up-records.ts';
import { redisTickMemory } from '../../../src/adapters/redis/tick-memory.ts';
import type { Job } from '../../../src/domain/job.ts';
import { clusterLeaseContract } from '../../contracts/cluster-lease.ts';
import { jobQueueContract } from '../../contracts/job-queue.ts';
import { outboxContract } from '../../contracts/outbox.ts';
import { begun, restoreJournalContract } from '../../contracts/restore-journal.ts';
import { restoreRequestsContract } from '../../contracts/restore-requests.ts';
import { scrubMemoryContract } from '../../contracts/scrub-memory.ts';
import { sentMessagesContract } from '../../contracts/sent-messages.ts';
import { stepUpRecordsContract } from '../../contracts/step-up.ts';
import { tickMemoryContract } from '../../contracts/tick-memory.ts';
import { redisBench } from './bench.ts';
import { sharedRedisUrl, startRedis, type TestRedis } from './server.ts';

let own: TestRedis | undefined;
let url = '';

beforeAll(async () => {
  const shared = sharedRedisUrl();
  own = shared === undefined ? await startRedis() : undefined;
  url = shared ?? own?.url ?? '';
});
afterAll(() => own?.remove());

jobQueueContract('the queue on Redis', async () => {
  const bench = redisBench(url);
  return {
    async open() {
      const queue = redisJobQueue(bench.connections(), { lockMs: 30_000, stalledMs: 5_000 });
      bench.closeLater(() => queue.close());
      return queue;
    },
    close: () => bench.close(),
  };
});

test('what waits in the one queue of before the lanes is worked on, and is not added a second time', async () => {
  const bench = redisBench(url);
  try {
    const job: Job = { kind: 'restore', id: 'restore-r-1', cluster: 'prod', request: 'r-1' };
    const old = new Queue('jobs', { connection: bench.raw(), prefix: bench.prefix });
    bench.closeLater(() => old.close());
    await old.add('restore', { job, attempts: 1, addedBy: 'before' }, { jobId: job.id, attempts: 1 });
    const queue = redisJobQueue(bench.connections(), { lockMs: 30_000, stalledMs: 5_000 });
    bench.closeLater(() => queue.close());
    expect(await queue.add(job, { attempts: 1 })).toBe('known');
    const seen: Job[] = [];
    await queue.work(async (each) => (seen.push(each), { kind: 'done' }), { concurrency: 1 });
    await vi.waitFor(() => expect(seen).toEqual([job]), { timeout: 30_000, interval: 10 });
    expect(await queue.add(job, { attempts: 1 })).toBe('known');
  } finally {
    await bench.close();
  }
});

clusterLeaseContract('the lease on Redis', async () => {
  const bench = redisBench(url);
  return {
    open: async () => redisClusterLease(bench.connections(), { ttlMs: 30_000, renewMs: 100 }),
    async takeOver(operation) {
      const key = `${bench.prefix}:lease:${operation.cluster}`;
      await bench.raw().hset(key, 'holder', 'another', 'operation', JSON.stringify(operation));
    },
    close: () => bench.close(),
  };
});

tickMemoryContract('the tick memory on Redis', async () => {
  const bench = redisBench(url);
  return { open: async () => redisTickMemory(bench.connections()), close: () => bench.close() };
});

scrubMemoryContract('the scrub memory on Redis', async () => {
  const bench = redisBench(url);
  return { open: async () => redisScrubMemory(bench.connections()), close: () => bench.close() };
});

sentMessagesContract('the sent messages on Redis', async () => {
  const bench = redisBench(url);
  return { open: async () => redisSentMessages(bench.connections()), close: () => bench.close() };
});

restoreJournalContract('the journal on Redis', async () => {
  const bench = redisBench(url);
  return { open: async () => redisRestoreJournal(bench.connections()), close: () => bench.close() };
});

test('an entry of the journal that is sent again after a lost answer is there once', async () => {
  const bench = redisBench(url);
  try {
    const connections = bench.connections();
    const twice: typeof connections = {
      ...connections,
      run: (work, options) => connections.run(async (redis) => (await work(redis), work(redis)), options),
    };
    await redisRestoreJournal(twice).append('r-1', 1, begun('a'));
    expect(await redisRestoreJournal(connections).read('r-1')).toHaveLength(1);
  } finally {
    await bench.close();
  }
});

restoreRequestsContract('the restore requests on Redis', async () => {
  const bench = redisBench(url);
  return { open: async () => redisRestoreRequests(bench.connections()), close: () => bench.close() };
});

stepUpRecordsContract('the step-up records on Redis', async () => {
  const bench = redisBench(url);
  return { open: async () => redisStepUpRecords(bench.connections()), close: () => bench.close() };
});

outboxContract('the outbox on Redis', async () => {
  const bench = redisBench(url);
  const times = { pollMs: 20, turnMs: 30_000, retryMs: 50, longestRetryMs: 200, giveUpMs: 3_600_000 };
  return {
    async open() {
      const outbox = redisOutbox(bench.connections(), bench.log, times);
      bench.closeLater(() => outbox.close());
      return outbox;
    },
    close: () => bench.close(),
  };
});
