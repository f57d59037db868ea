/** Owns what can be kept as the state of a message, and the keys under which it is kept. */
import type { BackupMessage } from '../domain/backup-message.ts';
import type { ScrubEvent } from '../domain/copy-event.ts';
import type { DamageMessage } from '../domain/damage-message.ts';
import type { HoldMessage } from '../domain/hold-message.ts';
import type { RestoreMessage } from '../domain/restore-message.ts';
import type { RestoreSummary } from '../domain/restore-summary.ts';
import type { VerifyMessage } from '../domain/verify-message.ts';
import type { RetentionQuestion, RetentionTrouble } from '../domain/retention-message.ts';

/** The alarm for a failed backup, beside the backup's own message. */
export interface AlertMessage {
  readonly kind: 'backup-alert';
  readonly backup: BackupMessage;
}

/** In the thread of a restore's message: each node's steps, edited as it goes; what a clean-up removed, said once. */
export interface RestoreThreadMessage {
  readonly kind: 'restore-steps' | 'restore-cleaned';
  readonly restore: RestoreMessage;
}

/** A restore with fewer approvals than usual (in the alerts channel), or one that waits for somebody (in its thread). */
export interface RestoreCall {
  readonly kind: 'restore-break-glass' | 'restore-decision';
  readonly operation: string;
  readonly request: RestoreSummary;
}

/** How a restore ended, without its steps: in its thread, or to one person. */
export interface RestoreEnd {
  readonly kind: 'restore-end';
  readonly restore: RestoreMessage;
  /** Slack user id; undefined: the thread. */
  readonly to: string | undefined;
}

/** Somebody wants new one-time codes, and another approver has to agree. */
export interface EnrolCall {
  readonly kind: 'enrol-anew';
  /** Slack user id. */
  readonly user: string;
  readonly askedAt: string;
  /** Whose word can help: user groups and users. */
  readonly approvers: readonly string[];
  readonly agreedBy: string | undefined;
}

/** At the rate of the scrub not every copy is read in its time. */
export interface ScrubBehindMessage {
  readonly kind: 'scrub-behind';
  readonly behind: ScrubEvent;
}

export type MessageState =
  | VerifyMessage
  | DamageMessage
  | ScrubBehindMessage
  | BackupMessage
  | AlertMessage
  | RestoreMessage
  | RestoreThreadMessage
  | RestoreCall
  | RestoreEnd
  | EnrolCall
  | RetentionQuestion
  | RetentionTrouble
  | HoldMessage;

/** The message of an operation has the operation's id as its key; its alarm has this. */
export function alertKey(operation: string): string {
  return `${operation}-alert`;
}

/** The messages beside that of a restore. */
export const restoreKeys = {
  steps: (operation: string) => `${operation}-steps`,
  breakGlass: (operation: string) => `${operation}-break-glass`,
  /** Each time that it waits is a call of its own. */
  decision: (operation: string, version: number) => `${operation}-decision-${version}`,
  end: (operation: string, to: string | undefined) => `${operation}-end${to === undefined ? '' : `-${to}`}`,
  cleaned: (operation: string, at: string) => `${operation}-cleaned-${Date.parse(at)}`,
} as const;

export function enrolKey(user: string, askedAt: string): string {
  return `enrol-${user}-${Date.parse(askedAt)}`;
}

/** What retention asks about a store, or has trouble with in a cluster: one series of messages each. */
export const retentionKeys = {
  question: (cluster: string, store: string) => `retention-question-${cluster}-${store}`,
  trouble: (cluster: string) => `retention-trouble-${cluster}`,
} as const;

/** The message in whose thread this one stands; undefined: it stands by itself. */
export function parentOf(state: MessageState): string | undefined {
  switch (state.kind) {
    case 'restore-steps':
    case 'restore-cleaned':
      return state.restore.operation;
    case 'restore-decision':
      return state.operation;
    case 'restore-end':
      return state.to === undefined ? state.restore.operation : undefined;
    case 'backup':
    case 'backup-alert':
    case 'restore':
    case 'restore-break-glass':
    case 'enrol-anew':
    case 'verify':
    case 'copy-damaged':
    case 'scrub-behind':
    case 'retention-question':
    case 'retention-trouble':
    case 'hold':
      return undefined;
  }
}
