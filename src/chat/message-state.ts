/** Owns what can be kept as the state of a message, and the keys under which it is kept. */
import type { BackupMessage } from '../domain/backup-message.ts';

/** The alarm for a failed backup, beside the backup's own message. */
export interface AlertMessage {
  readonly kind: 'backup-alert';
  readonly backup: BackupMessage;
}

export type MessageState = BackupMessage | AlertMessage;

/** The message of an operation has the operation's id as its key; its alarm has this. */
export function alertKey(operation: string): string {
  return `${operation}-alert`;
}
