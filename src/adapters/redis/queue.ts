/**
 * Owns the queue of jobs, on BullMQ. BullMQ keeps jobs, locks and delays; how often a job was tried and what it
 * remembers is kept beside it, so that it is right after kill -9 too.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as bullmq from 'bullmq';
import { KeyturnError } from '../../domain/error.ts';
import type { BackupJob, Job } from '../../domain/job.ts';
import type { JobHandler, JobQueue, Worker } from '../../ports.ts';
import { afterAttempt, mayStart, type Outcome } from './attempts.ts';
import { evaluate, script, WORKER_PATIENCE_MS, type RedisConnections } from './connection.ts';

export interface QueueTimes {
  /** A job whose worker gave no sign for so long is taken from it. Default 15,000. */
  readonly lockMs: number;
  /** How often is looked for such jobs. Default 5,000. */
  readonly stalledMs: number;
}

interface Stored {
  readonly job: Job;
  readonly attempts: number;
  /** Made by `add`: tells whose job it is that stands under the id. */
  readonly addedBy: string;
}

type StoredJob = bullmq.Job<Stored>;

const QUEUE = 'jobs';
const DAY_MS = 24 * 3600 * 1000;
/** Done and failed jobs stay so long, so that their ids are known. */
const KEPT = { age: (7 * DAY_MS) / 1000, count: 5_000 };
/** Longer than any job is kept. */
const RUNS_KEPT_MS = 30 * DAY_MS;
/** BullMQ's own limit of lost workers is left open: attempts are counted here. */
const ANY_NUMBER = 1_000_000;
/** What is left to do after the grace period when all is well; bounds a stop while Redis is away. */
const CLOSE_MS = 2_000;

/** KEYS: run, remembered. ARGV: id of this start, time to live. Counts an attempt; answers its number and what is remembered. */
const BEGIN = script(`
if redis.call('HGET', KEYS[1], 'start') ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'spent', 1)
  redis.call('HSET', KEYS[1], 'start', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {tonumber(redis.call('HGET', KEYS[1], 'spent')), redis.call('LRANGE', KEYS[2], 0, -1)}
`);

/** KEYS: run. ARGV: id of the start that shall not count. */
const GIVE_BACK = script(`
if redis.call('HGET', KEYS[1], 'start') == ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'spent', -1)
  redis.call('HDEL', KEYS[1], 'start')
end
return 0
`);

/** KEYS: run, remembered. ARGV: id of this value, value, time to live. */
const REMEMBER = script(`
if redis.call('HGET', KEYS[1], 'value') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
`);

export function redisJobQueue(
  connections: RedisConnections,
  times: QueueTimes = { lockMs: 15_000, stalledMs: 5_000 },
): JobQueue {
  const workers = new Set<Worker>();
  let producer: bullmq.Queue<Stored> | undefined;

  /** BullMQ's queue can only be made on a connection that is up; after that it lives through everything. */
  function queueOn(redis: Parameters<Parameters<RedisConnections['run']>[0]>[0]): bullmq.Queue<Stored> {
    if (producer === undefined) {
      const made = new bullmq.Queue<Stored>(QUEUE, { connection: redis, prefix: connections.prefix });
      made.on('error', (error) => connections.complaints.about('The job queue has trouble with Redis', error));
      made.waitUntilReady().catch(() => {
        if (producer === made) producer = undefined;
      });
      producer = made;
    }
    return producer;
  }

  return {
    async add(job, { attempts }) {
      const stored: Stored = { job, attempts, addedBy: randomUUID() };
      return connections.run(async (redis) => {
        const queue = queueOn(redis);
        await queue.add(job.kind, stored, { jobId: job.id, attempts: 1 });
        const standing = await queue.getJob(job.id);
        return standing === undefined || standing.data.addedBy === stored.addedBy ? 'added' : 'known';
      });
    },
    async pendingBackup(cluster) {
      return connections.run(async (redis) => {
        const queue = queueOn(redis);
        // Jobs that run, wait or are delayed are few; finished ones, which are many, are not looked at.
        for (const states of [['active'], ['waiting'], ['delayed']] as const) {
          const jobs: readonly (StoredJob | undefined)[] = await queue.getJobs([...states]);
          const found = jobs.map((entry) => entry?.data.job).find((job) => isBackupOf(job, cluster));
          if (found !== undefined) return found as BackupJob;
        }
        return undefined;
      });
    },
    async work(handler, { concurrency }) {
      const worker = startWorker(connections, handler, concurrency, times);
      workers.add(worker);
      return worker;
    },
    check: () => connections.check(),
    async close() {
      await Promise.all([...workers].map((worker) => worker.stop(0)));
      await producer?.close();
    },
  };
}

function isBackupOf(job: Job | undefined, cluster: string): boolean {
  return job?.kind === 'backup' && job.cluster === cluster;
}

/** One start of a job in this process. */
interface Run {
  readonly stored: StoredJob;
  readonly start: string;
  readonly stop: AbortController;
  /** By the monotonic clock: when the lock was last known to be ours. */
  lockedAt: number;
  /** The worker has let go of it: what comes out of the handler is not heard any more. */
  abandoned: boolean;
}

function startWorker(
  connections: RedisConnections,
  handler: JobHandler,
  concurrency: number,
  times: QueueTimes,
): Worker {
  const { complaints } = connections;
  const patience = { patienceMs: WORKER_PATIENCE_MS };
  const runs = new Set<Run>();
  const stopping = new AbortController();
  let worker: bullmq.Worker<Stored> | undefined;
  let stopped: Promise<void> | undefined;

  const keysOf = (id: string): [string, string] => [
    `${connections.prefix}:run:${id}`,
    `${connections.prefix}:remembered:${id}`,
  ];

  async function begin(id: string, start: string): Promise<{ attempt: number; remembered: readonly string[] }> {
    const answer = await connections.run(
      (redis) => evaluate(redis, BEGIN, keysOf(id), [start, RUNS_KEPT_MS]),
      patience,
    );
    const [attempt, remembered] = answer as [number, string[]];
    return { attempt, remembered };
  }

  async function giveBack(run: Run): Promise<void> {
    await connections.run((redis) => evaluate(redis, GIVE_BACK, [keysOf(idOf(run.stored))[0]], [run.start]), patience);
  }

  async function remember(id: string, value: string): Promise<void> {
    const args = [randomUUID(), value, RUNS_KEPT_MS];
    await connections.run((redis) => evaluate(redis, REMEMBER, keysOf(id), args), patience);
  }

  /** BullMQ's processor. It moves the job itself, and tells BullMQ so by throwing WaitingError. */
  async function process(stored: StoredJob, token: string | undefined): Promise<void> {
    const run: Run = {
      stored,
      start: randomUUID(),
      stop: new AbortController(),
      lockedAt: performance.now(),
      abandoned: false,
    };
    runs.add(run);
    try {
      if (stopping.signal.aborted) return await moveOn(run, token, { delayMs: 0, free: false });
      const { attempt, remembered } = await begin(idOf(stored), run.start);
      const { attempts } = stored.data;
      if (!mayStart(attempt, attempts)) throw new bullmq.UnrecoverableError(`given up at attempt ${attempt}`);
      const outcome = await outcomeOf(run, () =>
        handler(stored.data.job, {
          attempt,
          attempts,
          signal: run.stop.signal,
          remembered,
          remember: (value) => remember(idOf(stored), value),
        }),
      );
      if (run.abandoned) throw new bullmq.WaitingError();
      const next = afterAttempt(outcome, attempt, attempts);
      if (next.kind === 'failed') throw new bullmq.UnrecoverableError(`given up at attempt ${attempt} of ${attempts}`);
      if (next.kind === 'wait') await moveOn(run, token, next);
    } catch (error) {
      if (error instanceof bullmq.WaitingError || error instanceof bullmq.UnrecoverableError) throw error;
      // Redis failed us. The lock runs out, and the job is taken up again.
      complaints.about(`Job ${idOf(stored)} could not be kept up with`, error);
      throw new bullmq.WaitingError();
    } finally {
      runs.delete(run);
    }
  }

  async function outcomeOf(run: Run, work: () => ReturnType<JobHandler>): Promise<Outcome> {
    try {
      return await work();
    } catch (error) {
      if (run.stop.signal.aborted) return { kind: 'interrupted' };
      complaints.about(`Job ${idOf(run.stored)} failed`, error);
      return { kind: 'threw' };
    }
  }

  /** Puts the job back, at once or later; always throws. */
  async function moveOn(
    run: Run,
    token: string | undefined,
    { delayMs, free }: { readonly delayMs: number; readonly free: boolean },
  ): Promise<never> {
    if (free) await giveBack(run);
    if (delayMs > 0) await run.stored.moveToDelayed(Date.now() + delayMs, token);
    else await run.stored.moveToWait(token);
    throw new bullmq.WaitingError();
  }

  function lose(run: Run): void {
    run.stop.abort(
      new KeyturnError('job.interrupted', 'The job was taken from its worker: Redis could not be reached in time.', {
        hint: 'Wait: the job is taken up again.',
      }),
    );
  }

  /** BullMQ renews locks, but does not notice by itself that a hanging Redis has let them run out. */
  const watch = setInterval(() => {
    for (const run of runs) if (performance.now() - run.lockedAt > times.lockMs) lose(run);
  }, times.lockMs / 20).unref();

  function runsOf(ids: readonly string[]): Run[] {
    return [...runs].filter((run) => ids.includes(idOf(run.stored)));
  }

  function openWorker(): bullmq.Worker<Stored> {
    const opened = new bullmq.Worker<Stored>(QUEUE, process, {
      connection: { ...connections.workerOptions },
      prefix: connections.prefix,
      concurrency,
      lockDuration: times.lockMs,
      stalledInterval: times.stalledMs,
      maxStalledCount: ANY_NUMBER,
      removeOnComplete: KEPT,
      removeOnFail: KEPT,
      runRetryDelay: 1_000,
      autorun: false,
    });
    opened.on('error', (error) => complaints.about('A worker has trouble with Redis', error));
    opened.on('locksRenewed', ({ jobIds }) => {
      for (const run of runsOf(jobIds)) run.lockedAt = performance.now();
    });
    opened.on('lockRenewalFailed', (ids) => {
      for (const run of runsOf(ids)) lose(run);
    });
    return opened;
  }

  /** Waits for a Redis that answers before BullMQ is let at it: a BullMQ worker does not survive a failed start. */
  async function start(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await connections.run((redis) => redis.ping(), patience);
        break;
      } catch (error) {
        complaints.about('Workers wait for Redis', error);
        await sleep(1_000, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
    if (stopping.signal.aborted) return;
    worker = openWorker();
    await worker.run();
  }

  async function stop(graceMs: number): Promise<void> {
    stopping.abort();
    clearInterval(watch);
    await worker?.pause(true);
    for (const run of runs) run.stop.abort(interrupted());
    const until = performance.now() + graceMs;
    while (runs.size > 0 && performance.now() < until) await sleep(10);
    const hanging = [...runs];
    for (const run of hanging) run.abandoned = true;
    await Promise.race([closeWorker(hanging), sleep(CLOSE_MS)]);
    await worker?.disconnect();
  }

  /** Hands what hangs to other workers, then closes. */
  async function closeWorker(hanging: readonly Run[]): Promise<void> {
    const moves = hanging.map((run) => giveBack(run).then(() => run.stored.moveToWait(run.stored.token)));
    for (const move of await Promise.allSettled(moves)) {
      if (move.status === 'rejected') complaints.about('A job could not be handed over', move.reason);
    }
    await worker?.close(hanging.length > 0);
  }

  start().catch((error: unknown) => complaints.about('The worker ended', error));
  return { stop: (graceMs) => (stopped ??= stop(graceMs)) };
}

function idOf(stored: StoredJob): string {
  if (stored.id === undefined) throw new Error('BullMQ handed out a job without id');
  return stored.id;
}

function interrupted(): KeyturnError {
  return new KeyturnError('job.interrupted', 'Keyturn was told to stop while the job ran.', {
    hint: 'Wait: another worker takes the job up.',
  });
}
