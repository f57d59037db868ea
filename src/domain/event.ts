/** Owns what can have happened. Events are JSON; audit, metrics and chat learn everything from them. */
import type { CopyEvent } from './copy-event.ts';
import type { Problem } from './error.ts';
import type { Base } from './event-base.ts';
import type { HoldEvent } from './hold-event.ts';
import type { Origin } from './job.ts';
import type { PhaseName } from './plan.ts';
import type { RestoreReport } from './restore-report.ts';
import type { RestoreSummary } from './restore-summary.ts';
import type { RetentionEvent } from './retention-event.ts';
import type { SnapshotRecord, Trigger } from './snapshot.ts';

export type KeyturnEvent = BackupEvent | RestoreEvent | RetentionEvent | HoldEvent | CopyEvent;

export type BackupEvent =
  | (Base & { readonly type: 'backup.queued'; readonly trigger: Trigger; readonly origin: Origin | undefined })
  | (Base & {
      readonly type: 'backup.started';
      readonly trigger: Trigger;
      readonly origin: Origin | undefined;
      readonly attempt: number;
      readonly attempts: number;
      readonly member: string;
      readonly node: string;
      readonly isLeader: boolean;
      /** DB size in bytes: what the stream will come to, roughly. */
      readonly expectedBytes: number;
      readonly stores: readonly string[];
    })
  | (Base & { readonly type: 'backup.progress'; readonly bytes: number; readonly expectedBytes: number })
  | (Base & {
      readonly type: 'backup.retrying';
      readonly problem: Problem;
      readonly attempt: number;
      readonly attempts: number;
      readonly retryAt: string;
    })
  | (Base & {
      readonly type: 'backup.stored';
      readonly record: SnapshotRecord;
      readonly copies: readonly StoreOutcome[];
      /** Why the snapshot was not streamed, when it was not. */
      readonly fallbackReason?: string | undefined;
      readonly nextRunAt: string | undefined;
    })
  | (Base & {
      readonly type: 'backup.failed';
      readonly trigger: Trigger;
      readonly origin: Origin | undefined;
      readonly problem: Problem;
      readonly attempts: number;
      /** Newest good snapshot, undefined when there is none or it can't be told. */
      readonly lastGoodAt: string | undefined;
      readonly rpoMs: number | undefined;
      readonly nextRunAt: string | undefined;
    });

/** `operation` is the request's id. */
export type RestoreEvent =
  /** The request as it is since its newest change; the last entry of its history says which. */
  | (Base & { readonly type: 'restore.changed'; readonly request: RestoreSummary })
  /** An approved restore can't begin yet. */
  | (Base & { readonly type: 'restore.waits'; readonly problem: Problem })
  | (Base & OfStep & { readonly type: 'restore.step-begun'; readonly script: string | undefined })
  | (Base & {
      readonly type: 'restore.step-progress';
      readonly step: string;
      readonly node: string;
      /** Bytes. */
      readonly done: number;
      readonly total: number;
    })
  | (Base &
      OfStep & {
        readonly type: 'restore.step-ended';
        /** 'was-done': it needed no doing. */
        readonly outcome: 'done' | 'was-done' | 'failed' | 'vanished';
        /** The script's exit code, where it has one. */
        readonly code: number | undefined;
        /** What it printed, at most 256 KiB; for what failed the end of it says why. */
        readonly output: string;
        readonly durationMs: number;
        readonly problem: Problem | undefined;
      })
  /** It goes another way from here on; 'forward': somebody said to try again. */
  | (Base & {
      readonly type: 'restore.turned';
      readonly to: 'undo' | 'roll-back' | 'wait' | 'forward';
      readonly reason: string;
    })
  /** Comes before the request's own last change. */
  | (Base & { readonly type: 'restore.ended'; readonly report: RestoreReport })
  | (Base & {
      readonly type: 'restore.cleaned';
      readonly by: string;
      readonly origin: Origin | undefined;
      readonly removed: readonly { readonly node: string; readonly paths: readonly string[] }[];
      /** Nodes on which something is left, with why. */
      readonly failed: readonly { readonly node: string; readonly problem: Problem }[];
    });

interface OfStep {
  /** The step's id in the plan. */
  readonly step: string;
  readonly node: string;
  readonly phase: PhaseName;
  readonly doing: 'do' | 'undo';
  /** Under which id it runs on the node. */
  readonly run: string;
}

export interface StoreOutcome {
  readonly store: string;
  readonly problem: Problem | undefined;
  /** ISO time at which the copy was made, when that was later than the backup. */
  readonly copiedAt?: string | undefined;
}

export function isBackupEvent(event: KeyturnEvent): event is BackupEvent {
  return event.type.startsWith('backup.');
}

export function isRetentionEvent(event: KeyturnEvent): event is RetentionEvent {
  return event.type.startsWith('retention.');
}
