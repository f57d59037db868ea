/** Owns what the one message of a backup says through its life: events folded into a state that a view renders. */
import type { Problem } from './error.ts';
import type { BackupEvent, StoreOutcome } from './event.ts';
import type { Origin } from './job.ts';
import type { SnapshotRecord, Trigger } from './snapshot.ts';

/** How a backup stands; each phase has what it needs and nothing else. */
export type BackupPhase =
  | { readonly kind: 'queued' }
  | {
      readonly kind: 'running';
      readonly startedAt: string;
      readonly member: string;
      readonly node: string;
      readonly isLeader: boolean;
      readonly stores: readonly string[];
      readonly bytes: number;
      readonly expectedBytes: number;
    }
  | { readonly kind: 'retrying'; readonly problem: Problem; readonly retryAt: string }
  | {
      readonly kind: 'stored';
      readonly record: SnapshotRecord;
      readonly copies: readonly StoreOutcome[];
      readonly fallbackReason: string | undefined;
      readonly nextRunAt: string | undefined;
    }
  | {
      readonly kind: 'failed';
      readonly problem: Problem;
      readonly lastGoodAt: string | undefined;
      readonly rpoMs: number | undefined;
      readonly nextRunAt: string | undefined;
      /** Set when somebody asked for it again by its button. */
      readonly retried: { readonly user: string; readonly at: string } | undefined;
    };

/** What retention did after a backup. */
export interface RetentionNote {
  /** Copies of snapshots, their bytes, and the snapshots that are left. */
  readonly removed: number;
  readonly bytes: number;
  readonly keeps: number;
  /** Something was asked or is in trouble: the alerts channel says what. */
  readonly seeAlerts: boolean;
}

/** The state of one backup's message; JSON, so that it can be kept anywhere. */
export interface BackupMessage {
  readonly kind: 'backup';
  readonly operation: string;
  readonly cluster: string;
  /** Undefined when the first events were lost. */
  readonly trigger: Trigger | undefined;
  readonly origin: Origin | undefined;
  /** 0 before the first attempt; `attempts` is 0 when not known yet. */
  readonly attempt: number;
  readonly attempts: number;
  readonly phase: BackupPhase;
  /** What retention did after it. */
  readonly retention?: RetentionNote | undefined;
  /** ISO time of the newest event folded in. */
  readonly at: string;
}

/**
 * The message after `event`. Gives back `before` itself when the event changes nothing: seen already, overtaken by a
 * later one, or progress of something that is not running. A stored snapshot is the last word, whatever comes after.
 */
export function foldBackup(before: BackupMessage | undefined, event: BackupEvent): BackupMessage | undefined {
  if (event.type === 'backup.progress') return foldProgress(before, event);
  if (before !== undefined && !isNews(before, event)) return before;
  return {
    kind: 'backup',
    operation: event.operation,
    cluster: event.cluster,
    trigger: triggerOf(event) ?? before?.trigger,
    origin: ('origin' in event ? event.origin : undefined) ?? before?.origin,
    attempt: 'attempt' in event ? event.attempt : (before?.attempt ?? 0),
    attempts: 'attempts' in event ? event.attempts : (before?.attempts ?? 0),
    phase: phaseOf(event),
    at: event.at,
  };
}

/** The message of a failed backup once somebody asked for it again; `before` itself when that changes nothing. */
export function foldRetried(before: BackupMessage, user: string, at: string): BackupMessage {
  if (before.phase.kind !== 'failed' || before.phase.retried !== undefined) return before;
  return { ...before, phase: { ...before.phase, retried: { user, at } } };
}

/** The message of a stored backup once a copy that was missing in `store` was made; `before` itself when that changes nothing. */
export function foldCopied(before: BackupMessage, store: string, copiedAt: string): BackupMessage {
  const { phase } = before;
  if (phase.kind !== 'stored') return before;
  const isMissing = (copy: StoreOutcome): boolean => copy.store === store && copy.problem !== undefined;
  if (!phase.copies.some(isMissing)) return before;
  const copies = phase.copies.map((copy) => (isMissing(copy) ? { store, problem: undefined, copiedAt } : copy));
  return { ...before, phase: { ...phase, copies } };
}

type Progress = Extract<BackupEvent, { type: 'backup.progress' }>;
type Step = Exclude<BackupEvent, Progress>;

function foldProgress(before: BackupMessage | undefined, event: Progress): BackupMessage | undefined {
  if (before?.phase.kind !== 'running') return before;
  // Bytes only grow within an attempt; an earlier attempt's progress is older than this attempt's start.
  if (event.at < before.phase.startedAt || event.bytes <= before.phase.bytes) return before;
  return {
    ...before,
    phase: { ...before.phase, bytes: event.bytes, expectedBytes: event.expectedBytes },
    at: event.at,
  };
}

/** Later steps have higher ranks; attempts count up, and each is started before it is retried. */
function rank(kind: BackupPhase['kind'], attempt: number): number {
  if (kind === 'queued') return 0;
  if (kind === 'running') return 2 * attempt;
  if (kind === 'retrying') return 2 * attempt + 1;
  return Infinity;
}

function isNews(before: BackupMessage, event: Step): boolean {
  const kind = PHASE_OF[event.type];
  if (before.phase.kind === 'stored') return false;
  if (before.phase.kind === 'failed') return kind === 'stored';
  const old = rank(before.phase.kind, before.attempt);
  const now = rank(kind, 'attempt' in event ? event.attempt : before.attempt);
  // The same attempt may be started again by another worker; that is news only when it is later.
  return now > old || (now === old && kind === 'running' && event.at > before.at);
}

const PHASE_OF = {
  'backup.queued': 'queued',
  'backup.started': 'running',
  'backup.retrying': 'retrying',
  'backup.stored': 'stored',
  'backup.failed': 'failed',
} as const satisfies Record<Step['type'], BackupPhase['kind']>;

function triggerOf(event: Step): Trigger | undefined {
  if (event.type === 'backup.stored') return event.record.trigger;
  return 'trigger' in event ? event.trigger : undefined;
}

function phaseOf(event: Step): BackupPhase {
  switch (event.type) {
    case 'backup.queued':
      return { kind: 'queued' };
    case 'backup.started': {
      const { at: startedAt, member, node, isLeader, stores, expectedBytes } = event;
      return { kind: 'running', startedAt, member, node, isLeader, stores, bytes: 0, expectedBytes };
    }
    case 'backup.retrying':
      return { kind: 'retrying', problem: event.problem, retryAt: event.retryAt };
    case 'backup.stored': {
      const { record, copies, fallbackReason, nextRunAt } = event;
      return { kind: 'stored', record, copies, fallbackReason, nextRunAt };
    }
    case 'backup.failed': {
      const { problem, lastGoodAt, rpoMs, nextRunAt } = event;
      return { kind: 'failed', problem, lastGoodAt, rpoMs, nextRunAt, retried: undefined };
    }
  }
}
