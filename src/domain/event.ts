/** Owns what can have happened. Events are JSON; audit, metrics and chat learn everything from them. */
import type { Problem } from './error.ts';
import type { Origin } from './job.ts';
import type { SnapshotRecord, Trigger } from './snapshot.ts';

interface Base {
  /** ISO time. */
  readonly at: string;
  /** Operation id: the job's id; one message in Slack an operation. */
  readonly operation: string;
  readonly cluster: string;
}

export type KeyturnEvent =
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

export interface StoreOutcome {
  readonly store: string;
  readonly problem: Problem | undefined;
}
