/**
 * Owns how jobs of one lane's queue are worked on: one BullMQ worker, whose locks are watched by our own clock, whose attempts
 * are counted by ourselves, and which can be stopped at any time, with Redis or without.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as bullmq from 'bullmq';
import { KeyturnError } from '../../domain/error.ts';
import type { JobHandler, Worker } from '../../ports.ts';
import { afterAttempt, mayStart, type Next, type Outcome } from './attempts.ts';
import { WORKER_PATIENCE_MS, type RedisConnections } from './connection.ts';
import { runMemory, type RunMemory } from './run-memory.ts';
import { idOf, type JobData, type StoredJob } from './stored-job.ts';

export interface QueueTimes {
  /** A job whose worker gave no sign for so long is taken from it. Default 15,000. */
  readonly lockMs: number;
  /** How often is looked for such jobs. Default 5,000. */
  readonly stalledMs: number;
}

export interface WorkerSettings extends QueueTimes {
  /** Name of the queue. */
  readonly queue: string;
  readonly concurrency: number;
}

/** Done and failed jobs stay for 7 days, so that their ids are known. */
const KEPT = { age: 7 * 24 * 3600, count: 5_000 };
/** BullMQ's own limit of lost workers is left open: attempts are counted here. */
const ANY_NUMBER = 1_000_000;
/** So long may each of the two last steps of a stop take, when Redis does not answer. */
const CLOSE_MS = 2_000;

/** One start of a job in this process. */
interface Run {
  readonly stored: StoredJob;
  readonly id: string;
  /** Told to the handler: stop. */
  readonly stop: AbortController;
  /** Aborted when the worker lets go of the job: what comes out of the handler is not heard any more. */
  readonly letGo: AbortController;
  /** By the monotonic clock: when the lock was last known to be ours. */
  lockedAt: number;
}

/** What the parts of one worker share. */
interface Floor {
  readonly connections: RedisConnections;
  readonly handler: JobHandler;
  readonly memory: RunMemory;
  readonly runs: Set<Run>;
  readonly stopping: AbortController;
}

/** Works until it is stopped; begins when Redis is there. Throws nothing: trouble is logged, and passes with Redis. */
export function startWorker(connections: RedisConnections, handler: JobHandler, options: WorkerSettings): Worker {
  const floor: Floor = {
    connections,
    handler,
    memory: runMemory(connections),
    runs: new Set(),
    stopping: new AbortController(),
  };
  const watch = watchLocks(floor.runs, options.lockMs);
  let worker: bullmq.Worker<JobData> | undefined;
  let stopped: Promise<void> | undefined;

  async function start(): Promise<void> {
    await untilReached(floor);
    if (floor.stopping.signal.aborted) return;
    worker = openWorker(floor, options);
    await worker.run();
  }

  async function stop(graceMs: number): Promise<void> {
    floor.stopping.abort();
    clearInterval(watch);
    await worker?.pause(true);
    await endRuns(floor, graceMs);
    // A close that is not forced waits for BullMQ's own last words on jobs that ended; without Redis it waits for ever.
    if (await within(CLOSE_MS, worker?.close(!connections.isUp()))) return;
    worker?.disconnect().catch((error: unknown) => {
      connections.complaints.about('A worker could not be closed', error);
    });
  }

  start().catch((error: unknown) => connections.complaints.about('The worker ended', error));
  return { stop: (graceMs) => (stopped ??= stop(graceMs)) };
}

/** BullMQ is let at a Redis that answers only: its worker does not survive a failed start. */
async function untilReached({ connections, stopping }: Floor): Promise<void> {
  while (!stopping.signal.aborted) {
    try {
      await connections.run((redis) => redis.ping(), { patienceMs: WORKER_PATIENCE_MS });
      return;
    } catch (error) {
      connections.complaints.about('Workers wait for Redis', error);
      await sleep(1_000, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }
}

function openWorker(floor: Floor, options: WorkerSettings): bullmq.Worker<JobData> {
  const { connections, runs } = floor;
  const process = (stored: StoredJob, token?: string): Promise<void> => work(floor, stored, token);
  const worker = new bullmq.Worker<JobData>(options.queue, process, {
    connection: { ...connections.workerOptions },
    prefix: connections.prefix,
    concurrency: options.concurrency,
    lockDuration: options.lockMs,
    stalledInterval: options.stalledMs,
    maxStalledCount: ANY_NUMBER,
    removeOnComplete: KEPT,
    removeOnFail: KEPT,
    runRetryDelay: 1_000,
    autorun: false,
  });
  const runsOf = (ids: readonly string[]): Run[] => [...runs].filter((run) => ids.includes(idOf(run.stored)));
  worker.on('error', (error) => connections.complaints.about('A worker has trouble with Redis', error));
  worker.on('locksRenewed', ({ jobIds }) => {
    for (const run of runsOf(jobIds)) run.lockedAt = performance.now();
  });
  worker.on('lockRenewalFailed', (jobIds) => {
    for (const run of runsOf(jobIds)) run.stop.abort(taken());
  });
  return worker;
}

/** BullMQ renews locks, but does not notice by itself that a hanging Redis has let them run out. */
function watchLocks(runs: ReadonlySet<Run>, lockMs: number): NodeJS.Timeout {
  return setInterval(() => {
    for (const run of runs) if (performance.now() - run.lockedAt > lockMs) run.stop.abort(taken());
  }, lockMs / 20).unref();
}

/** BullMQ's processor. A job that is not over is moved on here; WaitingError tells BullMQ to leave it alone. */
async function work(floor: Floor, stored: StoredJob, token: string | undefined): Promise<void> {
  const run: Run = {
    stored,
    id: randomUUID(),
    stop: new AbortController(),
    letGo: new AbortController(),
    lockedAt: performance.now(),
  };
  floor.runs.add(run);
  let next: Next | undefined;
  try {
    next = await attempt(floor, run);
    if (next?.kind === 'wait') await moveOn(floor, run, token, next);
  } catch (error) {
    // Redis failed us. The lock runs out, and the job is taken up again.
    floor.connections.complaints.about(`Job ${idOf(stored)} could not be kept up with`, error);
    next = undefined;
  } finally {
    floor.runs.delete(run);
  }
  if (next?.kind === 'failed') throw new bullmq.UnrecoverableError('no attempt is left');
  if (next?.kind !== 'completed') throw new bullmq.WaitingError();
}

/** Hands the job to the handler. Undefined when the worker let go of it before the handler ended. */
async function attempt({ memory, handler, stopping, connections }: Floor, run: Run): Promise<Next | undefined> {
  // A worker that was told to stop may still be handed one last job.
  if (stopping.signal.aborted) return { kind: 'wait', delayMs: 0, free: false };
  const id = idOf(run.stored);
  const { job, attempts } = run.stored.data;
  const { attempt: number, remembered } = await memory.begin(id, run.id);
  if (!mayStart(number, attempts)) {
    connections.complaints.about(`Job ${id} is given up`, new Error('its worker died each time, even in reporting it'));
    return { kind: 'failed' };
  }
  const outcome = await untilLetGo(run, async (): Promise<Outcome> => {
    try {
      const remember = (value: string): Promise<void> => memory.remember(id, value);
      return await handler(job, { attempt: number, attempts, signal: run.stop.signal, remembered, remember });
    } catch (error) {
      if (run.stop.signal.aborted) return { kind: stopping.signal.aborted ? 'interrupted' : 'taken' };
      connections.complaints.about(`Job ${id} failed`, error);
      return { kind: 'threw' };
    }
  });
  return outcome === undefined ? undefined : afterAttempt(outcome, number, attempts);
}

function untilLetGo<T>(run: Run, task: () => Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    run.letGo.signal.addEventListener('abort', () => resolve(undefined), { once: true });
    task().then(resolve, reject);
  });
}

/** Puts the job back, at once or later. */
async function moveOn(
  { memory }: Floor,
  { stored, id }: Run,
  token: string | undefined,
  { delayMs, free }: Extract<Next, { kind: 'wait' }>,
): Promise<void> {
  if (free) await memory.giveBack(idOf(stored), id);
  if (delayMs > 0) await stored.moveToDelayed(Date.now() + delayMs, token);
  else await stored.moveToWait(token);
}

/** Tells the handlers to stop, waits up to `graceMs`, and hands what hangs to other workers. */
async function endRuns({ runs, memory, connections }: Floor, graceMs: number): Promise<void> {
  const handOver = async (run: Run): Promise<void> => {
    try {
      await memory.giveBack(idOf(run.stored), run.id);
      await run.stored.moveToWait(run.stored.token);
    } catch (error) {
      connections.complaints.about(`Job ${idOf(run.stored)} could not be handed over`, error);
    }
  };
  for (const run of runs) run.stop.abort(interrupted());
  const until = performance.now() + graceMs;
  while (runs.size > 0 && performance.now() < until) await sleep(10);
  // Without Redis nothing can be handed over: the locks run out.
  if (connections.isUp()) await within(CLOSE_MS, Promise.all([...runs].map((run) => handOver(run))));
  for (const run of runs) run.letGo.abort();
}

/** False when `task` took longer than `ms`; it goes on. */
async function within(ms: number, task: Promise<unknown> | undefined): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(ms, false, { signal: timer.signal }).catch(() => false);
  const done = await Promise.race([Promise.resolve(task).then(() => true), late]);
  timer.abort();
  return done;
}

function taken(): KeyturnError {
  return new KeyturnError('job.interrupted', 'The job was taken from its worker: Redis could not be reached in time.', {
    hint: 'Wait: the job is taken up again where attempts are left.',
  });
}

function interrupted(): KeyturnError {
  return new KeyturnError('job.interrupted', 'Keyturn was told to stop while the job ran.', {
    hint: 'Wait: another worker takes the job up.',
  });
}
