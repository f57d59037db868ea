/** Owns what is done once a restore has ended, in this order: told with its report, sealed, and written into the request. */
import type { Plan } from '../../domain/plan.ts';
import type { EndOfRestore } from '../../domain/restore-course.ts';
import { progress, type Progress } from '../../domain/restore-execution.ts';
import { reportOf } from '../../domain/restore-report.ts';
import { changeRequest } from '../../restore/change-request.ts';
import type { RestoreDeps } from './deps.ts';
import type { RestoreRecord } from './record.ts';

const ACTION: Readonly<Record<EndOfRestore['outcome'], Progress>> = {
  restored: 'succeed',
  undone: 'end-rolled-back',
  'rolled-back': 'end-rolled-back',
  failed: 'fail',
};

/** Safe twice: whoever goes on after a crash in between makes the same report. */
export async function finish(
  deps: RestoreDeps,
  restore: { readonly request: string; readonly plan: Plan; readonly startedAt: string },
  record: RestoreRecord,
  { outcome, reason }: EndOfRestore,
): Promise<void> {
  const report = reportOf(restore.plan, restore.startedAt, record.entries);
  await record.tell({ type: 'restore.ended', report });
  await deps.seal?.().catch((error: unknown) => {
    deps.log.warn({ err: error, operation: restore.request }, 'the audit could not be sealed in the store');
  });
  await changeRequest(deps, restore.request, async (request, now) => progress(request, ACTION[outcome], now, reason));
  deps.log.info({ operation: restore.request, outcome, downtimeMs: report.downtimeMs }, 'restore ended');
}
