/** Owns what the queue and its workers agree on: the queue's name, and what stands in Redis for a job. */
import type * as bullmq from 'bullmq';
import type { Job } from '../../domain/job.ts';

export const QUEUE = 'jobs';

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
