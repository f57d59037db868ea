/** A job queue in memory: the same rules as the one on Redis, with a way to kill its workers. */
import { KeyturnError } from '../../src/domain/error.ts';
import type { Job } from '../../src/domain/job.ts';
import { LANE_OF, slotsOf } from '../../src/domain/lane.ts';
import { afterAttempt, mayStart, type Outcome } from '../../src/adapters/redis/attempts.ts';
import type { Clock, JobHandler, JobQueue, JobResult, Worker } from '../../src/ports.ts';
import { deferred, type Deferred } from '../contracts/deferred.ts';

export interface FakeJob {
  readonly job: Job;
  readonly attempts: number;
  state: 'waiting' | 'running' | 'delayed' | 'done' | 'failed';
  /** Attempts that count so far, the running one included. */
  spent: number;
  remembered: string[];
}

export interface FakeJobQueue extends JobQueue {
  /** All jobs ever added, oldest first. */
  readonly jobs: readonly FakeJob[];
  /** As `kill -9`: no signal, results are never heard of; the jobs wait again, and the attempt counts. */
  killWorkers(): void;
}

interface FakeWorker {
  readonly handler: JobHandler;
  readonly concurrency: number;
  /** What to do with each running job when the worker is to stop. */
  readonly running: Map<FakeJob, AbortController>;
  stopped: boolean;
  idle: Deferred<undefined> | undefined;
}

export function fakeJobQueue(clock: Clock): FakeJobQueue {
  const jobs: FakeJob[] = [];
  const workers = new Set<FakeWorker>();

  function pump(): void {
    for (const worker of workers) {
      for (const entry of jobs) {
        if (entry.state === 'waiting' && hasRoom(worker, entry.job)) void run(worker, entry);
      }
    }
  }

  function hasRoom({ running, concurrency }: FakeWorker, { kind }: Job): boolean {
    const lane = LANE_OF[kind];
    return [...running.keys()].filter(({ job }) => LANE_OF[job.kind] === lane).length < slotsOf(lane, concurrency);
  }

  async function run(worker: FakeWorker, entry: FakeJob): Promise<void> {
    const stop = new AbortController();
    worker.running.set(entry, stop);
    entry.state = 'running';
    entry.spent += 1;
    const outcome = mayStart(entry.spent, entry.attempts)
      ? await outcomeOf(worker.handler, entry, stop.signal)
      : ({ kind: 'threw' } as const);
    // Taken away meanwhile: this worker was killed, or did not end in time.
    if (worker.running.get(entry) !== stop) return;
    worker.running.delete(entry);
    settle(entry, outcome);
    if (worker.running.size === 0) worker.idle?.resolve(undefined);
    pump();
  }

  function settle(entry: FakeJob, outcome: Outcome): void {
    const next = afterAttempt(outcome, entry.spent, entry.attempts);
    if (next.kind !== 'wait') {
      entry.state = next.kind === 'completed' ? 'done' : 'failed';
      return;
    }
    if (next.free) entry.spent -= 1;
    entry.state = next.delayMs > 0 ? 'delayed' : 'waiting';
    if (next.delayMs > 0) {
      void clock.sleep(next.delayMs).then(() => {
        entry.state = 'waiting';
        pump();
      });
    }
  }

  function drop(worker: FakeWorker, free: boolean): void {
    worker.stopped = true;
    workers.delete(worker);
    for (const entry of worker.running.keys()) {
      entry.state = 'waiting';
      if (free) entry.spent -= 1;
    }
    worker.running.clear();
    pump();
  }

  return {
    jobs,
    killWorkers() {
      for (const worker of [...workers]) drop(worker, false);
    },
    async add(job, { attempts }) {
      if (jobs.some((entry) => entry.job.id === job.id)) return 'known';
      jobs.push({ job: structuredClone(job), attempts, state: 'waiting', spent: 0, remembered: [] });
      pump();
      return 'added';
    },
    async pendingBackup(cluster) {
      for (const state of ['running', 'waiting', 'delayed'] as const) {
        for (const { job, state: its } of jobs) {
          if (its === state && job.kind === 'backup' && job.cluster === cluster) return job;
        }
      }
      return undefined;
    },
    async work(handler, { concurrency }): Promise<Worker> {
      const worker: FakeWorker = { handler, concurrency, running: new Map(), stopped: false, idle: undefined };
      workers.add(worker);
      pump();
      return {
        async stop(graceMs) {
          if (worker.stopped) return;
          workers.delete(worker);
          worker.stopped = true;
          if (worker.running.size === 0) return;
          worker.idle = deferred();
          for (const controller of worker.running.values()) controller.abort(interrupted());
          await Promise.race([worker.idle.promise, clock.sleep(graceMs)]);
          drop(worker, true);
        },
      };
    },
    async check() {
      return 'in memory';
    },
    async close() {
      for (const worker of [...workers]) drop(worker, true);
    },
  };
}

async function outcomeOf(handler: JobHandler, entry: FakeJob, signal: AbortSignal): Promise<Outcome> {
  try {
    const result: JobResult = await handler(structuredClone(entry.job), {
      attempt: entry.spent,
      attempts: entry.attempts,
      signal,
      remembered: [...entry.remembered],
      remember: async (value) => void entry.remembered.push(value),
    });
    return result;
  } catch {
    return { kind: signal.aborted ? 'interrupted' : 'threw' };
  }
}

function interrupted(): KeyturnError {
  return new KeyturnError('job.interrupted', 'The worker was told to stop.', {
    hint: 'Wait: another worker takes the job up.',
  });
}
