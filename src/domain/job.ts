/** Owns what can be queued, and the ids that keep one tick from becoming two jobs. */
import type { HoldNote } from './hold.ts';
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

/** Carries an approved request out, or goes on where another worker left it. */
export interface RestoreJob {
  readonly kind: 'restore';
  /** `startJobId` of the request. */
  readonly id: string;
  readonly cluster: string;
  /** The request's id. */
  readonly request: string;
}

/** Removes what an ended restore left on the nodes: old data, and the record of its steps. */
export interface CleanupJob {
  readonly kind: 'cleanup';
  readonly id: string;
  readonly cluster: string;
  readonly request: string;
  /** Slack user id of the person who confirmed it. */
  readonly by: string;
  readonly origin: Origin | undefined;
}

/** Has a store follow that was away when a hold was put on a snapshot, or taken off. */
export interface HoldJob {
  readonly kind: 'hold';
  readonly id: string;
  readonly cluster: string;
  readonly store: string;
  /** Under which it is told. */
  readonly operation: string;
  /** ISO time of the change: what lies in the store and is newer stays. */
  readonly at: string;
  /** Undefined: the hold was taken off. */
  readonly note: HoldNote | undefined;
  readonly keys: HoldKeys;
}

/** Where a hold lies in a store, and what it holds there. */
export interface HoldKeys {
  readonly note: string;
  readonly object: string;
  /** Undefined: another tool's snapshot, which has none. */
  readonly manifest: string | undefined;
}

export type Job = BackupJob | SweepJob | RestoreJob | CleanupJob | HoldJob;

/** Two replicas that tick in the same minute make the same id. BullMQ refuses `:` and pure integers. */
export function scheduledBackupId(cluster: string, dueAt: Date): string {
  return `backup-${cluster}-${dueAt.toISOString().slice(0, 16).replace(/[-:]/g, '')}Z`;
}

export function requestedBackupId(cluster: string, askedAt: Date, nonce: string): string {
  return `backup-${cluster}-${askedAt.toISOString().replace(/[-:.]/g, '')}-${nonce}`;
}

/** A clean-up that is asked for twice in one minute (a double click) is one; later it can be asked for again. */
export function cleanupId(request: string, askedAt: Date): string {
  return `cleanup-${request}-${Math.floor(askedAt.getTime() / 60_000)}`;
}

/** One retry of a failed backup has one id, however often it is asked for; a retry of a retry counts on. */
export function retriedBackupId(failed: string): string {
  const [, first = failed, n = '0'] = /^(.*)-r(\d+)$/.exec(failed) ?? [];
  return `${first}-r${Number(n) + 1}`;
}

/** The failed backup that this one tries again; undefined when it is no retry. */
export function retriedFrom(operation: string): string | undefined {
  const [, first, n] = /^(.*)-r(\d+)$/.exec(operation) ?? [];
  if (first === undefined) return undefined;
  return n === '1' ? first : `${first}-r${Number(n) - 1}`;
}
