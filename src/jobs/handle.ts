/** Owns which job is worked on by what. */
import type { Job } from '../domain/job.ts';
import type { JobContext, JobResult } from '../ports.ts';
import { runSweep } from './leftovers.ts';
import type { RestoreDeps } from './restore/deps.ts';
import { runRestore } from './restore/run-restore.ts';
import { runBackup, type BackupDeps } from './run-backup.ts';
import { runCleanup } from './run-cleanup.ts';
import { runHold } from './run-hold.ts';

export type JobDeps = BackupDeps & RestoreDeps;

/** The handler that a worker hands to the queue. */
export function handleJob(deps: JobDeps): (job: Job, context: JobContext) => Promise<JobResult> {
  return (job, context) => {
    switch (job.kind) {
      case 'backup':
        return runBackup(job, context, deps);
      case 'sweep':
        return runSweep(job, context, deps);
      case 'restore':
        return runRestore(job, context, deps);
      case 'cleanup':
        return runCleanup(job, context, deps);
      case 'hold':
        return runHold(job, context, deps);
    }
  };
}
