/** What the adapters do when Redis or a worker is killed, freezes, is not there yet or has lost its memory. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { redisConnections } from '../../src/adapters/redis/connection.ts';
import { redisClusterLease } from '../../src/adapters/redis/lease.ts';
import { redisOutbox } from '../../src/adapters/redis/outbox.ts';
import { redisJobQueue } from '../../src/adapters/redis/queue.ts';
import { redisSentMessages } from '../../src/adapters/redis/sent-messages.ts';
import { redisTickMemory } from '../../src/adapters/redis/tick-memory.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { JobQueue, JobResult, Lease, Outbox } from '../../src/ports.ts';
import { operation } from '../contracts/cluster-lease.ts';
import { deferred } from '../contracts/deferred.ts';
import { backupJob } from '../contracts/job-queue.ts';
import { redisBench, type RedisBench } from '../adapters/redis/bench.ts';
import { startRedis, type TestRedis } from '../adapters/redis/server.ts';
import { LEASE_TIMES, OUTBOX_TIMES, QUEUE_TIMES } from '../adapters/redis/times.ts';

const PATIENCE = { timeout: 50_000, interval: 20 };
const DONE: JobResult = { kind: 'done' };

let redis: TestRedis;
let bench: RedisBench;
let doomed: ChildProcess[];

beforeEach(async () => {
  redis = await startRedis();
  bench = redisBench(redis.url);
  doomed = [];
});
afterEach(async () => {
  for (const child of doomed) child.kill('SIGKILL');
  await bench.close();
  await redis.remove();
});

function openQueue(): JobQueue {
  const queue = redisJobQueue(bench.connections(), QUEUE_TIMES);
  bench.closeLater(() => queue.close());
  return queue;
}

function openOutbox(times = OUTBOX_TIMES): Outbox {
  const outbox = redisOutbox(bench.connections(), bench.log, times);
  bench.closeLater(() => outbox.close());
  return outbox;
}

/** Starts a process that takes one thing up, waits until it has it, and kills it. */
async function takeAndDie(kind: 'job' | 'delivery', expected: string): Promise<void> {
  const script = fileURLToPath(new URL('../adapters/redis/doomed.ts', import.meta.url));
  const args = ['--import', 'tsx', script, kind, redis.url, bench.prefix];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  doomed.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === `took ${expected}`) break;
  }
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function held(lease: ReturnType<ReturnType<typeof redisClusterLease>['acquire']>): Promise<Lease> {
  const answer = await lease;
  if ('heldBy' in answer) throw new Error(`held by ${answer.heldBy.id}`);
  return answer;
}

async function thrownBy(work: Promise<unknown>): Promise<KeyturnError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(KeyturnError);
  return error as KeyturnError;
}

describe('the queue', () => {
  test('hands a job whose worker was killed to another one, with its attempt counted and what it remembered', async () => {
    const queue = openQueue();
    await queue.add(backupJob('b-1'), { attempts: 3 });
    await takeAndDie('job', 'b-1');
    expect(await queue.pendingBackup('prod')).toEqual(backupJob('b-1'));

    const taken = deferred<unknown>();
    await queue.work(
      async (job, { attempt, attempts, remembered }) => {
        taken.resolve({ id: job.id, attempt, attempts, remembered });
        return DONE;
      },
      { concurrency: 1 },
    );
    expect(await taken.promise).toEqual({ id: 'b-1', attempt: 2, attempts: 3, remembered: ['attempt 1'] });
    await vi.waitFor(async () => expect(await queue.pendingBackup('prod')).toBe(undefined), PATIENCE);
  });

  test('hands a job whose last attempt died to a worker once more, above its attempts, to be reported', async () => {
    const queue = openQueue();
    await queue.add(backupJob('b-1'), { attempts: 1 });
    await takeAndDie('job', 'b-1');
    const seen: number[][] = [];
    await queue.work(async (_, { attempt, attempts }) => (seen.push([attempt, attempts]), DONE), { concurrency: 1 });
    await vi.waitFor(async () => {
      expect(seen).toEqual([[2, 1]]);
      expect(await queue.pendingBackup('prod')).toBe(undefined);
    }, PATIENCE);
  });

  test('loses no job when Redis is killed and comes back', async () => {
    const queue = openQueue();
    const ids = Array.from({ length: 30 }, (_, n) => `b-${n}`);
    for (const id of ids) await queue.add(backupJob(id, id), { attempts: 5 });
    const done = new Set<string>();
    await queue.work(async (job) => (await sleep(50), done.add(job.id), DONE), { concurrency: 3 });
    await vi.waitFor(() => expect(done.size).toBeGreaterThan(5), PATIENCE);
    await redis.kill();
    await sleep(1_000);
    await redis.start();
    await vi.waitFor(async () => {
      expect([...done].sort()).toEqual([...ids].sort());
      for (const id of ids) expect(await queue.pendingBackup(id)).toBe(undefined);
    }, PATIENCE);
    expect(await queue.add(backupJob('b-0', 'b-0'), { attempts: 1 })).toBe('known');
  });

  test('refuses a job at once while Redis is away, says what to do, and takes it when Redis is back', async () => {
    const queue = openQueue();
    await queue.add(backupJob('b-1'), { attempts: 1 });
    await redis.kill();
    const before = performance.now();
    const error = await thrownBy(queue.add(backupJob('b-2'), { attempts: 1 }));
    expect(performance.now() - before).toBeLessThan(15_000);
    expect(error.code).toBe('queue.unavailable');
    expect(error.hint).toContain('redis.sock');
    expect((await thrownBy(queue.check())).code).toBe('queue.unavailable');

    await redis.start();
    await vi.waitFor(async () => expect(await queue.add(backupJob('b-2'), { attempts: 1 })).toBe('added'), PATIENCE);
    expect(bench.log.lines.filter((line) => line.includes("can't be reached")).length).toBeLessThan(10);
  });

  test('refuses a job in time while Redis hangs', async () => {
    const queue = openQueue();
    await queue.add(backupJob('b-1'), { attempts: 1 });
    redis.freeze();
    try {
      expect((await thrownBy(queue.add(backupJob('b-2'), { attempts: 1 }))).code).toBe('queue.unavailable');
    } finally {
      redis.thaw();
    }
  });

  test('may be started before Redis: its workers begin when Redis is there', async () => {
    await redis.kill();
    const queue = openQueue();
    const taken = deferred<string>();
    await queue.work(async (job) => (taken.resolve(job.id), DONE), { concurrency: 1 });
    await sleep(500);
    await redis.start();
    await vi.waitFor(() => queue.add(backupJob('b-1'), { attempts: 1 }), PATIENCE);
    expect(await taken.promise).toBe('b-1');
  });

  test('a worker can be stopped while Redis is away', async () => {
    const queue = openQueue();
    const taken = deferred();
    const worker = await queue.work(
      async (_, { signal }) => {
        taken.resolve(undefined);
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        });
        throw signal.reason;
      },
      { concurrency: 1 },
    );
    await queue.add(backupJob('b-1'), { attempts: 3 });
    await taken.promise;
    await redis.kill();
    await worker.stop(200);
    await redis.start();
    const again = deferred<string>();
    await queue.work(async (job) => (again.resolve(job.id), DONE), { concurrency: 1 });
    expect(await again.promise).toBe('b-1');
  });

  test("aborts a job's signal when its lock has run out because Redis hangs; it counts, and the job is taken up again", async () => {
    const queue = openQueue();
    const starts: number[] = [];
    const aborted = deferred<unknown>();
    await queue.work(
      async (_, { attempt, signal }) => {
        starts.push(attempt);
        if (starts.length > 1) return DONE;
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        });
        aborted.resolve(signal.reason);
        throw signal.reason;
      },
      { concurrency: 1 },
    );
    await queue.add(backupJob('b-1'), { attempts: 3 });
    await vi.waitFor(() => expect(starts).toHaveLength(1), PATIENCE);
    redis.freeze();
    const reason = await aborted.promise;
    redis.thaw();
    expect((reason as KeyturnError).code).toBe('job.interrupted');
    await vi.waitFor(async () => {
      expect(starts).toEqual([1, 2]);
      expect(await queue.pendingBackup('prod')).toBe(undefined);
    }, PATIENCE);
  });
});

describe('the lease', () => {
  test('is lost, with lease.lost, when it could not be renewed until it ran out', async () => {
    const lease = await held(redisClusterLease(bench.connections(), LEASE_TIMES).acquire(operation('one')));
    redis.freeze();
    try {
      await vi.waitFor(() => expect(lease.lost.aborted).toBe(true), PATIENCE);
    } finally {
      redis.thaw();
    }
    expect((lease.lost.reason as KeyturnError).code).toBe('lease.lost');
  });

  test('stays held for longer than it lasts, as long as its holder renews it', async () => {
    const leases = redisClusterLease(bench.connections(), LEASE_TIMES);
    const lease = await held(leases.acquire(operation('one')));
    await sleep(LEASE_TIMES.ttlMs + 500);
    expect(await leases.acquire(operation('two'))).toEqual({ heldBy: operation('one') });
    expect(lease.lost.aborted).toBe(false);
    await lease.release();
  });

  test('of a holder that is gone is free when it has run out, not before', async () => {
    const dead = bench.connections();
    await held(redisClusterLease(dead, LEASE_TIMES).acquire(operation('one')));
    await dead.close();
    const leases = redisClusterLease(bench.connections(), LEASE_TIMES);
    expect(await leases.acquire(operation('two'))).toEqual({ heldBy: operation('one') });
    await vi.waitFor(async () => expect(await leases.acquire(operation('two'))).toHaveProperty('token'), PATIENCE);
  });

  test('outlives a Redis that was killed and kept its data', async () => {
    const times = { ttlMs: 30_000, renewMs: 200 };
    const leases = redisClusterLease(bench.connections(), times);
    const lease = await held(leases.acquire(operation('one')));
    await redis.kill();
    await redis.start();
    expect(await leases.acquire(operation('two'))).toEqual({ heldBy: operation('one') });
    expect(lease.lost.aborted).toBe(false);
  });

  test('is made again with its token when Redis forgot it, and later tokens are greater still', async () => {
    const leases = redisClusterLease(bench.connections(), { ttlMs: 30_000, renewMs: 200 });
    const lease = await held(leases.acquire(operation('one')));
    await bench.raw().flushall();
    await vi.waitFor(async () => expect(await leases.current('prod')).toEqual(operation('one')), PATIENCE);
    expect(lease.lost.aborted).toBe(false);
    await lease.release();
    await bench.raw().flushall();
    const next = await held(leases.acquire(operation('two')));
    expect(next.token).toBeGreaterThanOrEqual(lease.token);
    await next.release();
  });

  test('that Redis forgot and another one had meanwhile is lost', async () => {
    const slow = { ttlMs: 30_000, renewMs: 2_000 };
    const lease = await held(redisClusterLease(bench.connections(), slow).acquire(operation('one')));
    await bench.raw().del(`${bench.prefix}:lease:prod`);
    const other = await held(redisClusterLease(bench.connections(), slow).acquire(operation('two')));
    await other.release();
    await vi.waitFor(() => expect(lease.lost.aborted).toBe(true), PATIENCE);
  });
});

describe('the outbox', () => {
  test('makes a delivery again that was killed in the middle, and before all others', async () => {
    const outbox = openOutbox();
    for (const key of ['a', 'b']) await outbox.enqueue(key);
    await takeAndDie('delivery', 'a');
    const seen: string[] = [];
    await outbox.deliver(async (key) => (seen.push(key), 'delivered'));
    await vi.waitFor(() => expect(seen).toHaveLength(2), PATIENCE);
    expect(seen).toEqual(['a', 'b']);
  });

  test('makes a delivery once more when it ended after another had taken it over: an old state may be on top', async () => {
    const begun = deferred();
    const end = deferred();
    let stillOurs = (): boolean => true;
    const hung = openOutbox();
    await hung.deliver(async (_, asked) => {
      stillOurs = asked;
      begun.resolve(undefined);
      await end.promise;
      return 'delivered';
    });
    await hung.enqueue('a');
    await begun.promise;
    expect(stillOurs()).toBe(true);
    // As after a hang: the turn has run out.
    await bench.raw().del(`${bench.prefix}:outbox:turn`);
    const seen: string[] = [];
    await openOutbox().deliver(async (key) => (seen.push(key), 'delivered'));
    await vi.waitFor(() => expect(seen).toEqual(['a']), PATIENCE);
    await vi.waitFor(() => expect(stillOurs()).toBe(false), PATIENCE);
    const ended = hung.close();
    end.resolve(undefined);
    await ended;
    await vi.waitFor(() => expect(seen).toEqual(['a', 'a']), PATIENCE);
  });

  test('loses nothing when Redis is killed and comes back in the middle of a delivery', async () => {
    const outbox = openOutbox();
    const seen: string[] = [];
    const begun = deferred();
    const open = deferred();
    for (const key of ['a', 'b', 'c']) await outbox.enqueue(key);
    await outbox.deliver(async (key) => {
      seen.push(key);
      begun.resolve(undefined);
      await open.promise;
      return 'delivered';
    });
    await begun.promise;
    await redis.kill();
    open.resolve(undefined);
    await sleep(500);
    await redis.start();
    await vi.waitFor(() => expect(seen).toEqual(['a', 'b', 'c']), PATIENCE);
  });

  test('waits for a Redis that is away for a moment, so that an enqueued message is never refused for that', async () => {
    const outbox = openOutbox();
    await outbox.enqueue('a');
    await redis.kill();
    const enqueued = outbox.enqueue('b');
    await sleep(500);
    await redis.start();
    await enqueued;
    const seen: string[] = [];
    await outbox.deliver(async (key) => (seen.push(key), 'delivered'));
    await vi.waitFor(() => expect(seen).toEqual(['a', 'b']), PATIENCE);
  });

  test('gives a message up that failed for too long, says so in the log, and takes it again when asked', async () => {
    const outbox = openOutbox({ ...OUTBOX_TIMES, giveUpMs: 300 });
    let fail = true;
    const seen: string[] = [];
    await outbox.deliver(async (key) => {
      if (fail) throw new Error('refused');
      seen.push(key);
      return 'delivered';
    });
    await outbox.enqueue('a');
    await vi.waitFor(() => expect(bench.log.lines.some((line) => line.startsWith('error '))).toBe(true), PATIENCE);
    fail = false;
    await outbox.enqueue('b');
    await vi.waitFor(() => expect(seen).toEqual(['b']), PATIENCE);
    await outbox.enqueue('a');
    await vi.waitFor(() => expect(seen).toEqual(['b', 'a']), PATIENCE);
  });
});

describe('what is remembered', () => {
  test('a message and a queued run outlive a Redis that was killed and kept its data', async () => {
    const messages = redisSentMessages(bench.connections());
    const ticks = redisTickMemory(bench.connections());
    const run = new Date('2026-11-21T06:00:00.000Z');
    await messages.changeState('m', { text: 'queued' }, 0);
    await ticks.setLastQueuedRun('prod', run);
    await redis.kill();
    await redis.start();
    expect(await messages.read('m')).toMatchObject({ state: { text: 'queued' }, version: 1 });
    expect(await ticks.lastQueuedRun('prod')).toEqual(run);
  });

  test('a message is forgotten 90 days after its last change', async () => {
    await redisSentMessages(bench.connections()).changeState('m', 'state', 0);
    const days = (await bench.raw().pttl(`${bench.prefix}:message:m`)) / (24 * 3600 * 1000);
    expect(days).toBeGreaterThan(89);
    expect(days).toBeLessThanOrEqual(90);
  });
});

describe('the check', () => {
  async function checkOf(args: readonly string[], password?: string): Promise<string> {
    const other = await startRedis(args);
    const connections = redisConnections({ url: other.url, password, prefix: 'check', log: bench.log });
    try {
      return await connections.check();
    } finally {
      await connections.close();
      await other.remove();
    }
  }

  test('names version and persistence', async () => {
    expect(await bench.connections().check()).toMatch(/^Redis \d+\.\d+\.\d+, AOF on$/);
    expect(await checkOf(['--save', '60 1'])).toMatch(/^Redis \d+\.\d+\.\d+, RDB on$/);
  });

  test('warns of a Redis that keeps nothing over a restart, and of one that may throw work away', async () => {
    expect(await checkOf([])).toContain('warning: neither AOF nor RDB is on');
    expect(await checkOf(['--maxmemory-policy', 'allkeys-lru'])).toContain('warning: maxmemory-policy is allkeys-lru');
  });

  test('tells a missing and a wrong password apart from a Redis that is away, and shows no password', async () => {
    const args = ['--requirepass', 'the-right-password'];
    expect(await checkOf(args, 'the-right-password')).toMatch(/^Redis/);
    for (const password of [undefined, 'a-wrong-password']) {
      const error = await thrownBy(checkOf(args, password));
      expect(error.code).toBe('queue.unavailable');
      expect(error.hint).toContain('redis.password');
      expect(`${error.message} ${error.hint}`).not.toContain('the-right-password');
      expect(`${error.message} ${error.hint}`).not.toContain('a-wrong-password');
    }
  });
});
