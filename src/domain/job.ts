/** Owns what can be queued, and the ids that keep one tick from becoming two jobs. */
import type { Trigger } from './snapshot.ts';

/** Where the person who asked is told; the results channel is told in any case when `origin` is undefined. */
export interface Origin {
  readonly channel: string;
  readonly user: string;
}

export interface BackupJob {
  readonly kind: 'backup';
  /** Job id and operation id in one; see `scheduledBackupId`. */
  readonly id: string;
  readonly cluster: string;
  readonly trigger: Trigger;
  readonly origin: Origin | undefined;
  /** ISO time of the request. */
  readonly askedAt: string;
}

/** Removes what a failed backup may have left in a store that was away: open uploads, an object without manifest. */
export interface SweepJob {
  readonly kind: 'sweep';
  readonly id: string;
  readonly cluster: string;
  readonly store: string;
  /** Object keys that must not exist without a manifest. */
  readonly keys: readonly string[];
}

export type Job = BackupJob | SweepJob;

/** Two replicas that tick in the same minute make the same id. BullMQ refuses `:` and pure integers. */
export function scheduledBackupId(cluster: string, dueAt: Date): string {
  return `backup-${cluster}-${dueAt.toISOString().slice(0, 16).replace(/[-:]/g, '')}Z`;
}

export function requestedBackupId(cluster: string, askedAt: Date, nonce: string): string {
  return `backup-${cluster}-${askedAt.toISOString().replace(/[-:.]/g, '')}-${nonce}`;
}
