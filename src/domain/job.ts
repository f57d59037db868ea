/** Owns what can be queued, and the ids that keep one tick from becoming two jobs. */
import { createHash } from 'node:crypto';
import type { Confirmation } from './retention-event.ts';
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

/** Reads every copy of one snapshot to its end. */
export interface VerifyJob {
  readonly kind: 'verify';
  readonly id: string;
  readonly cluster: string;
  /** The snapshot's id; of another tool's, its name. */
  readonly snapshot: string;
  readonly origin: Origin;
  readonly askedAt: string;
}

/** Reads copies again that were read longest ago, of all clusters, for some minutes. */
export interface ScrubJob {
  readonly kind: 'scrub';
  readonly id: string;
  /** `SCRUB_LEASE`. */
  readonly cluster: string;
}

/** Makes a copy of a snapshot in a store that lacks it, or has it damaged. */
export interface RepairJob {
  readonly kind: 'repair';
  readonly id: string;
  readonly cluster: string;
  readonly snapshot: string;
  readonly store: string;
}

/** No cluster can have this name: who holds its lease is the only one that reads in the background. */
export const SCRUB_LEASE = '.scrub';
/** Removes what no policy keeps: after a good backup, or once a person has confirmed that so many may go. */
export interface RetentionJob {
  readonly kind: 'retention';
  readonly id: string;
  readonly cluster: string;
  /** The backup's operation; undefined where a person has confirmed it. */
  readonly after: string | undefined;
  /** Then only this, and only in its store. */
  readonly confirmed: Confirmation | undefined;
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

export type Job =
  BackupJob | SweepJob | RestoreJob | CleanupJob | RetentionJob | HoldJob | VerifyJob | ScrubJob | RepairJob;

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

/** A backup is followed by one run of retention, however often its end is reported. */
export function retentionId(backup: string): string {
  return `retention-${backup}`;
}

/** Two clicks, or two people, within ten minutes are one; what failed can be confirmed again later. */
export function confirmedRetentionId(cluster: string, { store, digest }: Confirmation, at: Date): string {
  return `retention-${cluster}-${store}-${digest.slice(0, 16)}-${Math.floor(at.getTime() / 600_000)}`;
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

export function requestedVerifyId(cluster: string, askedAt: Date, nonce: string): string {
  return `verify-${cluster}-${askedAt.toISOString().replace(/[-:.]/g, '')}-${nonce}`;
}

/** By a button: two clicks, or two people, within the same minute are one. Names of other tools' snapshots may be long. */
export function clickedVerifyId(cluster: string, snapshot: string, askedAt: Date): string {
  const minute = new Date(Math.floor(askedAt.getTime() / 60_000) * 60_000);
  const digest = createHash('sha256').update(snapshot).digest('hex').slice(0, 16);
  return requestedVerifyId(cluster, minute, digest);
}

/** How often a scrub begins, in milliseconds. */
export const SCRUB_EVERY_MS = 5 * 60_000;

/** Replicas that look in the same five minutes make the same id. */
export function scrubId(now: Date): string {
  return `scrub-${Math.floor(now.getTime() / SCRUB_EVERY_MS)}`;
}

/** Whatever asks for it, one copy is made anew by one job a day. */
export function repairId(cluster: string, snapshot: string, store: string, now: Date): string {
  const day = now.toISOString().slice(0, 10).replaceAll('-', '');
  return `repair-${cluster}-${snapshot}-${store}-${day}`.replaceAll(/[^A-Za-z0-9._-]/g, '-');
}
