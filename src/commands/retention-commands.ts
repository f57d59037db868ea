/** Owns what chat can ask for around retention: one signature a wish, with what is answered. */
import type { Problem } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { RetentionPolicy, Rule } from '../domain/retention.ts';
import type { Forecast } from '../domain/retention-plan.ts';
import type { StoreProblem } from '../ports.ts';

/** What a person says yes or no to. */
export interface RetentionClick {
  readonly cluster: string;
  readonly store: string;
  /** Of the plan that was shown. */
  readonly digest: string;
  /** Slack user id. */
  readonly user: string;
  readonly channel: string;
}

export interface ConfirmAnswer {
  /** 'known': somebody confirmed it before; nothing was added. */
  readonly kind: 'queued' | 'known';
  readonly cluster: string;
  readonly store: string;
  readonly count: number;
  readonly bytes: number;
}

export interface StoreRow {
  readonly store: string;
  readonly policy: RetentionPolicy;
  /** Share, from 0 to 1. */
  readonly mostAtOnce: number;
  readonly keeps: number;
  readonly keptBy: Readonly<Partial<Record<Rule, number>>>;
  /** What no rule keeps as things are: a run has to ask, or was kept from removing it. */
  readonly goes: { readonly count: number; readonly bytes: number };
  /** What the run after the next backup finds. */
  readonly goesNext: { readonly count: number; readonly bytes: number; readonly mustAsk: boolean };
  /** Waits for a person's word; `digest` is what they confirm. */
  readonly asks: boolean;
  readonly digest: string;
  /** Why nothing can be removed there now. */
  readonly blocked: Problem | undefined;
}

export interface SnapshotRow {
  readonly id: string;
  /** ISO time. */
  readonly takenAt: string;
  /** Bytes of one copy. */
  readonly size: number;
  readonly isHeld: boolean;
  /** One for each store that has a copy. */
  readonly stores: readonly Forecast[];
}

/** The policies, and what they would do: nothing is removed by looking. */
export interface RetentionReport {
  readonly at: string;
  readonly cluster: string;
  /** In which days, weeks and so on are told apart. */
  readonly timezone: string;
  /** Undefined: on demand only. */
  readonly nextRunAt: string | undefined;
  readonly stores: readonly StoreRow[];
  /** Newest first. */
  readonly snapshots: readonly SnapshotRow[];
  /** Parts of snapshots that belong to nothing. */
  readonly strays: number;
  readonly problems: readonly StoreProblem[];
  /** Whether the one who looks may confirm what waits. */
  readonly mayConfirm: boolean;
}

/** All throw permission.denied, cluster.unknown, queue.unavailable; `actor` comes from the directory. */
export interface RetentionCommands {
  showRetention(actor: Person, cluster: string): Promise<RetentionReport>;
  /** Queues the removal of exactly what was shown; throws retention.not-now when that is not what would go now. */
  confirmRetention(click: RetentionClick): Promise<ConfirmAnswer>;
  /** Tells that it stays for now. */
  declineRetention(click: RetentionClick): Promise<void>;
}
