/** Owns what every JobQueue must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { BackupJob, Job, RestoreJob, SweepJob } from '../../src/domain/job.ts';
import type { JobContext, JobQueue, JobResult, Worker } from '../../src/ports.ts';
import { deferred } from './deferred.ts';

export interface QueueBench {
  /** One more replica's queue on the same data. */
  open(): Promise<JobQueue>;
  close(): Promise<void>;
}

const PATIENCE = { timeout: 30_000, interval: 10 };
const DONE: JobResult = { kind: 'done' };

export function backupJob(id: string, cluster = 'prod'): BackupJob {
  return {
    kind: 'backup',
    id,
    cluster,
    trigger: { kind: 'person', user: 'U1' },
    origin: { channel: 'C1', user: 'U1' },
    askedAt: '2026-11-21T06:00:00.000Z',
  };
}

const sweepJob = (id: string, cluster: string): SweepJob => ({ kind: 'sweep', id, cluster, store: 's3', keys: ['k'] });

const restoreJob = (id: string): RestoreJob => ({ kind: 'restore', id, cluster: 'prod', request: 'r-1' });

/** A handler's promise that the test ends, or that fails when the signal is aborted. */
function untilAborted(context: JobContext): Promise<never> {
  return new Promise((_, reject) => {
    context.signal.addEventListener('abort', () => reject(context.signal.reason as Error), { once: true });
  });
}

export function jobQueueContract(name: string, start: () => Promise<QueueBench>): void {
  describe(`${name} keeps the contract of JobQueue`, () => {
    let bench: QueueBench;
    let queue: JobQueue;
    let workers: Worker[];

    beforeEach(async () => {
      bench = await start();
      queue = await bench.open();
      workers = [];
    });
    afterEach(async () => {
      await Promise.all(workers.map((w) => w.stop(1_000)));
      await bench.close();
    });

    async function work(
      handler: (job: Job, context: JobContext) => Promise<JobResult>,
      on = queue,
      concurrency = 1,
    ): Promise<Worker> {
      const worker = await on.work(handler, { concurrency });
      workers.push(worker);
      return worker;
    }

    test('a job reaches the handler as it was added, as attempt 1 with nothing remembered', async () => {
      const seen: unknown[] = [];
      await work(async (job, { attempt, attempts, remembered }) => {
        seen.push({ job, attempt, attempts, remembered });
        return DONE;
      });
      expect(await queue.add(backupJob('b-1'), { attempts: 3 })).toBe('added');
      await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
      expect(seen).toEqual([{ job: backupJob('b-1'), attempt: 1, attempts: 3, remembered: [] }]);
    });

    test('an origin that is undefined stays undefined', async () => {
      const seen: Job[] = [];
      await work(async (job) => (seen.push(job), DONE));
      await queue.add({ ...backupJob('b-1'), origin: undefined }, { attempts: 1 });
      await vi.waitFor(() => expect(seen).toHaveLength(1), PATIENCE);
      expect(seen[0]?.kind === 'backup' && seen[0].origin).toBe(undefined);
    });

    test('two replicas that add the same id make one job', async () => {
      const other = await bench.open();
      const answers = await Promise.all([
        queue.add(backupJob('b-1'), { attempts: 1 }),
        other.add(backupJob('b-1'), { attempts: 1 }),
      ]);
      expect([...answers].sort()).toEqual(['added', 'known']);
      const seen: string[] = [];
      await work(async (job) => (seen.push(job.id), DONE));
      await queue.add(backupJob('b-2'), { attempts: 1 });
      await vi.waitFor(() => expect(seen).toContain('b-2'), PATIENCE);
      expect(seen).toEqual(['b-1', 'b-2']);
    });

    test('an id stays known when its job is done, and when it failed', async () => {
      const seen: string[] = [];
      await work(async (job) => {
        seen.push(job.id);
        return job.id === 'fails' ? { kind: 'again', afterMs: 1 } : DONE;
      });
      for (const id of ['works', 'fails']) await queue.add(backupJob(id), { attempts: 1 });
      await vi.waitFor(async () => {
        expect(seen).toEqual(['works', 'fails']);
        expect(await queue.pendingBackup('prod')).toBe(undefined);
      }, PATIENCE);
      for (const id of ['works', 'fails']) expect(await queue.add(backupJob(id), { attempts: 1 })).toBe('known');
    });

    test("'later' costs no attempt and waits as long as it says", async () => {
      const starts: { attempt: number; at: number }[] = [];
      await work(async (_, { attempt }) => {
        starts.push({ attempt, at: Date.now() });
        return starts.length < 3 ? { kind: 'later', afterMs: 100 } : DONE;
      });
      await queue.add(backupJob('b-1'), { attempts: 1 });
      await vi.waitFor(() => expect(starts).toHaveLength(3), PATIENCE);
      expect(starts.map((s) => s.attempt)).toEqual([1, 1, 1]);
      expect((starts[1]?.at ?? 0) - (starts[0]?.at ?? 0)).toBeGreaterThanOrEqual(99);
    });

    test("'again' costs an attempt, and ends the job at its last one", async () => {
      const seen: number[] = [];
      await work(async (_, { attempt }) => (seen.push(attempt), { kind: 'again', afterMs: 5 }));
      await queue.add(backupJob('b-1'), { attempts: 3 });
      await vi.waitFor(async () => {
        expect(seen).toHaveLength(3);
        expect(await queue.pendingBackup('prod')).toBe(undefined);
      }, PATIENCE);
      expect(seen).toEqual([1, 2, 3]);
    });

    test('a handler that throws is tried again until attempts run out, and then called once more to report', async () => {
      const seen: number[] = [];
      await work(async (_, { attempt, attempts }) => {
        seen.push(attempt);
        if (attempt > attempts) return DONE;
        throw new Error('no');
      });
      await queue.add(backupJob('b-1'), { attempts: 2 });
      await vi.waitFor(async () => {
        expect(seen).toHaveLength(3);
        expect(await queue.pendingBackup('prod')).toBe(undefined);
      }, PATIENCE);
      expect(seen).toEqual([1, 2, 3]);
    });

    test('what an attempt remembered is handed to the next one, oldest first', async () => {
      const seen: (readonly string[])[] = [];
      await work(async (_, context) => {
        const { attempt } = context;
        seen.push(context.remembered);
        await context.remember(`a${attempt}`);
        await context.remember(`b${attempt}`);
        return attempt < 3 ? { kind: 'again', afterMs: 1 } : DONE;
      });
      await queue.add(backupJob('b-1'), { attempts: 3 });
      await vi.waitFor(() => expect(seen).toHaveLength(3), PATIENCE);
      expect(seen).toEqual([[], ['a1', 'b1'], ['a1', 'b1', 'a2', 'b2']]);
    });

    test('the pending backup of a cluster is the one that runs, waits or is delayed', async () => {
      expect(await queue.pendingBackup('prod')).toBe(undefined);
      await queue.add(sweepJob('s-1', 'prod'), { attempts: 1 });
      await queue.add(backupJob('other', 'test'), { attempts: 1 });
      expect(await queue.pendingBackup('prod')).toBe(undefined);
      await queue.add(backupJob('b-1'), { attempts: 2 });
      expect(await queue.pendingBackup('prod')).toEqual(backupJob('b-1'));

      const open = deferred();
      const running: string[] = [];
      await work(async (job, { attempt }) => {
        if (job.id !== 'b-1') return DONE;
        running.push(job.id);
        if (attempt === 1) await open.promise;
        return attempt === 1 ? { kind: 'again', afterMs: 500 } : DONE;
      });
      await vi.waitFor(() => expect(running).toEqual(['b-1']), PATIENCE);
      expect(await queue.pendingBackup('prod')).toEqual(backupJob('b-1'));
      open.resolve(undefined);
      await vi.waitFor(() => expect(running).toEqual(['b-1', 'b-1']), PATIENCE);
      await vi.waitFor(async () => expect(await queue.pendingBackup('prod')).toBe(undefined), PATIENCE);
    });

    test('a job that was put off is still the pending backup', async () => {
      const put = deferred();
      await work(async () => (put.resolve(undefined), { kind: 'later', afterMs: 600_000 }));
      await queue.add(backupJob('b-1'), { attempts: 1 });
      await put.promise;
      const later = await queue.work(async () => DONE, { concurrency: 1 });
      workers.push(later);
      await queue.add(sweepJob('s-1', 'test'), { attempts: 1 });
      expect(await queue.pendingBackup('prod')).toEqual(backupJob('b-1'));
    });

    test('as many jobs as `concurrency` says run side by side', async () => {
      const running = new Set<string>();
      const open = deferred();
      let most = 0;
      const worker = async (job: Job): Promise<JobResult> => {
        running.add(job.id);
        most = Math.max(most, running.size);
        await open.promise;
        running.delete(job.id);
        return DONE;
      };
      for (const id of ['b-1', 'b-2', 'b-3', 'b-4']) await queue.add(backupJob(id, id), { attempts: 1 });
      await work(worker, queue, 2);
      await vi.waitFor(() => expect(running.size).toBe(2), PATIENCE);
      open.resolve(undefined);
      await vi.waitFor(async () => expect(await queue.pendingBackup('b-4')).toBe(undefined), PATIENCE);
      expect(most).toBe(2);
    });

    test('a restore starts while every slot for backups is taken, and stop ends the jobs of all lanes', async () => {
      const running: string[] = [];
      const ended: string[] = [];
      const worker = await work(
        async (job, context) => {
          running.push(job.id);
          return untilAborted(context).catch((error: unknown) => {
            ended.push(job.id);
            throw error;
          });
        },
        queue,
        2,
      );
      for (const id of ['b-1', 'b-2', 'b-3']) await queue.add(backupJob(id, id), { attempts: 1 });
      await vi.waitFor(() => expect(running).toHaveLength(2), PATIENCE);
      await queue.add(restoreJob('r-1'), { attempts: 1 });
      await vi.waitFor(() => expect(running).toContain('r-1'), PATIENCE);
      expect(running).toHaveLength(3);
      await worker.stop(30_000);
      expect([...ended].sort()).toEqual([...running].sort());
    });

    test('two workers share a hundred jobs; each runs once', async () => {
      const other = await bench.open();
      const seen: string[] = [];
      const handler = async (job: Job): Promise<JobResult> => (seen.push(job.id), DONE);
      await work(handler, queue, 5);
      await work(handler, other, 5);
      const ids = Array.from({ length: 100 }, (_, n) => `b-${n}`);
      await Promise.all(ids.map((id) => queue.add(backupJob(id, id), { attempts: 2 })));
      await vi.waitFor(() => expect(seen.length).toBeGreaterThanOrEqual(100), PATIENCE);
      await Promise.all(workers.map((w) => w.stop(5_000)));
      expect([...seen].sort()).toEqual([...ids].sort());
    });

    test('stop aborts a running job; another worker takes it up at once, and it costs no attempt', async () => {
      const seen: number[] = [];
      const first = await work(async (_, context) => {
        seen.push(context.attempt);
        await context.remember('begun');
        return untilAborted(context);
      });
      await queue.add(backupJob('b-1'), { attempts: 1 });
      await vi.waitFor(() => expect(seen).toEqual([1]), PATIENCE);
      await first.stop(30_000);

      const taken = deferred<{ attempt: number; remembered: readonly string[] }>();
      await work(async (_, { attempt, remembered }) => (taken.resolve({ attempt, remembered }), DONE));
      expect(await taken.promise).toEqual({ attempt: 1, remembered: ['begun'] });
    });

    test('stop does not wait longer than its grace; what hangs on is taken up by another worker', async () => {
      const begun = deferred();
      const end = deferred<JobResult>();
      const first = await work(async () => (begun.resolve(undefined), end.promise));
      await queue.add(backupJob('b-1'), { attempts: 2 });
      await begun.promise;
      await first.stop(20);

      const taken = deferred<string>();
      await work(async (job) => (taken.resolve(job.id), DONE));
      expect(await taken.promise).toBe('b-1');
      end.resolve(DONE);
    });

    test('a job that ends well within the grace is done', async () => {
      const begun = deferred();
      const first = await work(async (_, { signal }) => {
        begun.resolve(undefined);
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        });
        return DONE;
      });
      await queue.add(backupJob('b-1'), { attempts: 2 });
      await begun.promise;
      await first.stop(30_000);
      expect(await queue.pendingBackup('prod')).toBe(undefined);
    });

    test('a worker that was stopped takes no more jobs', async () => {
      const seen: string[] = [];
      const first = await work(async (job) => (seen.push(job.id), DONE));
      await first.stop(1_000);
      await first.stop(1_000);
      await queue.add(backupJob('b-1'), { attempts: 1 });
      const taken = deferred<string>();
      await work(async (job) => (taken.resolve(job.id), DONE));
      expect(await taken.promise).toBe('b-1');
      expect(seen).toEqual([]);
    });

    test('the check says in one line what was found', async () => {
      expect(await queue.check()).toMatch(/^[^\n]+$/);
    });
  });
}
