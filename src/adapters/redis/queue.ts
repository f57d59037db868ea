/** Owns the queue of jobs, on BullMQ: what goes in, and what is pending. What workers do with jobs is in worker.ts. */
import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { BackupJob, Job } from '../../domain/job.ts';
import { LANE_OF, LANES, slotsOf, type Lane } from '../../domain/lane.ts';
import type { JobQueue, Worker } from '../../ports.ts';
import type { RedisConnections } from './connection.ts';
import { QUEUE_OF, type JobData } from './stored-job.ts';
import { startWorker, type QueueTimes } from './worker.ts';

export function redisJobQueue(
  connections: RedisConnections,
  times: QueueTimes = { lockMs: 15_000, stalledMs: 5_000 },
): JobQueue {
  const workers = new Set<Worker>();
  const producers = new Map<Lane, Queue<JobData>>();

  /** BullMQ's queue can only be made on a connection that is up; after that it lives through everything. */
  function queueOn(redis: Redis, lane: Lane): Queue<JobData> {
    const known = producers.get(lane);
    if (known !== undefined) return known;
    const made = new Queue<JobData>(QUEUE_OF[lane], { connection: redis, prefix: connections.prefix });
    made.on('error', (error) => connections.complaints.about('The job queue has trouble with Redis', error));
    made.waitUntilReady().catch(() => {
      if (producers.get(lane) === made) producers.delete(lane);
    });
    producers.set(lane, made);
    return made;
  }

  /** Whether the job stands in the queue that was the only one before there were lanes. */
  async function standsInOld(redis: Redis, lane: Lane, id: string): Promise<boolean> {
    return lane !== 'backups' && (await queueOn(redis, 'backups').getJob(id)) !== undefined;
  }

  return {
    async add(job, { attempts }) {
      const data: JobData = { job, attempts, addedBy: randomUUID() };
      const lane = LANE_OF[job.kind];
      return connections.run(async (redis) => {
        if (await standsInOld(redis, lane, job.id)) return 'known';
        const queue = queueOn(redis, lane);
        await queue.add(job.kind, data, { jobId: job.id, attempts: 1 });
        const standing = await queue.getJob(job.id);
        return standing === undefined || standing.data.addedBy === data.addedBy ? 'added' : 'known';
      });
    },
    async pendingBackup(cluster) {
      return connections.run(async (redis) => {
        // Jobs that run, wait or are delayed are few; finished ones, which are many, are not looked at.
        for (const state of ['active', 'waiting', 'delayed'] as const) {
          const found = (await jobsIn(queueOn(redis, LANE_OF.backup), state)).find((job) => isBackupOf(job, cluster));
          if (found !== undefined) return found as BackupJob;
        }
        return undefined;
      });
    },
    async work(handler, { concurrency }) {
      const lanes = LANES.map((lane) =>
        startWorker(connections, handler, { ...times, queue: QUEUE_OF[lane], concurrency: slotsOf(lane, concurrency) }),
      );
      const worker: Worker = {
        async stop(graceMs) {
          await Promise.all(lanes.map((lane) => lane.stop(graceMs)));
        },
      };
      workers.add(worker);
      return worker;
    },
    check: () => connections.check(),
    async close() {
      await Promise.all([...workers].map((worker) => worker.stop(0)));
      await Promise.all([...producers.values()].map((producer) => producer.close()));
    },
  };
}

async function jobsIn(queue: Queue<JobData>, state: 'active' | 'waiting' | 'delayed'): Promise<Job[]> {
  // A job that ends between the two looks of BullMQ (ids, then jobs) is undefined.
  const jobs: readonly ({ readonly data: JobData } | undefined)[] = await queue.getJobs([state]);
  return jobs.flatMap((entry) => (entry === undefined ? [] : [entry.data.job]));
}

function isBackupOf(job: Job, cluster: string): boolean {
  return job.kind === 'backup' && job.cluster === cluster;
}
