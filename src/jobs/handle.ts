/** Owns which job is worked on by what. */
import type { Job } from '../domain/job.ts';
import type { JobContext, JobResult } from '../ports.ts';
import { runSweep } from './leftovers.ts';
import type { RestoreDeps } from './restore/deps.ts';
import { runRestore } from './restore/run-restore.ts';
import { runBackup, type BackupDeps } from './run-backup.ts';
import { runCleanup } from './run-cleanup.ts';
import type { CopyDeps } from './verify/deps.ts';
import { runRepair } from './verify/run-repair.ts';
import { runScrub } from './verify/run-scrub.ts';
import { runVerify } from './verify/run-verify.ts';
import { runHold } from './run-hold.ts';

import type { RetentionDeps } from './retention/deps.ts';
import { runRetention } from './run-retention.ts';

export type JobDeps = BackupDeps & RestoreDeps & RetentionDeps & CopyDeps;

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
      case 'verify':
        return runVerify(job, context, deps);
      case 'scrub':
        return runScrub(job, context, deps);
      case 'repair':
        return runRepair(job, context, deps);
      case 'retention':
        return runRetention(job, context, deps);
      case 'hold':
        return runHold(job, context, deps);
    }
  };
}
