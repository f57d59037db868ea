/** Owns which job is worked on by what. */
import type { Job } from '../domain/job.ts';
import type { JobContext, JobResult } from '../ports.ts';
import { runSweep } from './leftovers.ts';
import { runBackup, type BackupDeps } from './run-backup.ts';

/** The handler that a worker hands to the queue. */
export function handleJob(deps: BackupDeps): (job: Job, context: JobContext) => Promise<JobResult> {
  return (job, context) => {
    switch (job.kind) {
      case 'backup':
        return runBackup(job, context, deps);
      case 'sweep':
        return runSweep(job, context, deps);
      case 'restore':
      case 'cleanup':
        throw new Error(`No worker knows jobs of kind ${job.kind} yet.`);
    }
  };
}
