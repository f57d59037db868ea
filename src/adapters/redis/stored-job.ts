/** Owns what the queue and its workers agree on: the name of each lane's queue, and what stands in Redis for a job. */
import type * as bullmq from 'bullmq';
import type { Job } from '../../domain/job.ts';
import type { Lane } from '../../domain/lane.ts';

/** `jobs` was the one queue when there were no lanes: jobs of all kinds may wait in it. */
export const QUEUE_OF: Readonly<Record<Lane, string>> = {
  backups: 'jobs',
  restores: 'jobs-restores',
  background: 'jobs-background',
};

export interface JobData {
  readonly job: Job;
  readonly attempts: number;
  /** Made by each `add`: tells whose job it is that stands under the id. */
  readonly addedBy: string;
}

export type StoredJob = bullmq.Job<JobData>;

export function idOf(stored: StoredJob): string {
  if (stored.id === undefined) throw new Error('BullMQ handed out a job without id');
  return stored.id;
}
