/** Owns the way from an event to the messages that tell it: folded into their state, then handed to the outbox. */
import { foldBackup, foldRetried } from '../domain/backup-message.ts';
import type { BackupMessage } from '../domain/backup-message.ts';
import { isCopyEvent } from '../domain/copy-event.ts';
import { isBackupEvent, isRetentionEvent } from '../domain/event.ts';
import type { BackupEvent } from '../domain/event.ts';
import { isHoldEvent } from '../domain/hold-event.ts';
import { retriedFrom } from '../domain/job.ts';
import type { Clock, Publish } from '../ports.ts';
import { copyAnnouncer } from './copy-announcer.ts';
import { announceHold } from './hold-announcer.ts';
import { alertKey } from './message-state.ts';
import type { AlertMessage } from './message-state.ts';
import { remember } from './remember.ts';
import type { RememberOptions } from './remember.ts';
import { restoreAnnouncer } from './restore-announcer.ts';
import { announceRetention } from './retention-announcer.ts';

export interface AnnouncerOptions extends RememberOptions {
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  /** Progress of one message is told at most so often; default 2000. */
  readonly progressEveryMs?: number;
}

/**
 * A Publish that keeps every event in the state of its messages and asks for their delivery. Events may come twice, late
 * and from several processes. Throws what the memory or the outbox throws; publish the event again then.
 */
export function announcer(options: AnnouncerOptions): Publish {
  const tooSoon = progressThrottle(options);
  const announceRestore = restoreAnnouncer(options);
  const announceCopy = copyAnnouncer(options);
  return async (event) => {
    if (isCopyEvent(event)) return announceCopy(event);
    if (isRetentionEvent(event)) return announceRetention(options, event);
    if (isHoldEvent(event)) return announceHold(options, event);
    if (!isBackupEvent(event)) return announceRestore(event);
    if (tooSoon(event)) return;
    await remember<BackupMessage>(options, event.operation, (before) => foldBackup(before, event));
    await announceRetry(options, event);
    await raiseAlarm(options, event);
  };
}

/** Progress is dropped when the last of its operation is too fresh: what follows says it too. */
function progressThrottle({ clock, progressEveryMs = 2000 }: AnnouncerOptions): (event: BackupEvent) => boolean {
  const lastTold = new Map<string, number>();
  return (event) => {
    switch (event.type) {
      case 'backup.stored':
      case 'backup.failed':
        lastTold.delete(event.operation);
        return false;
      case 'backup.started':
        lastTold.set(event.operation, clock.now().getTime());
        return false;
      case 'backup.progress': {
        const now = clock.now().getTime();
        if (now - (lastTold.get(event.operation) ?? -Infinity) < progressEveryMs) return true;
        lastTold.set(event.operation, now);
        return false;
      }
      case 'backup.queued':
      case 'backup.retrying':
        return false;
    }
  };
}

/** The failed backup's message says who asked for it again, and loses its button. */
async function announceRetry(options: AnnouncerOptions, event: BackupEvent): Promise<void> {
  if (event.type !== 'backup.queued' || event.trigger.kind !== 'person') return;
  const failed = retriedFrom(event.operation);
  if (failed === undefined) return;
  const { user } = event.trigger;
  await remember<BackupMessage>(options, failed, (before) => before && foldRetried(before, user, event.at));
  await remember<AlertMessage>(
    options,
    alertKey(failed),
    (before) => before && sameOr(before, { ...before, backup: foldRetried(before.backup, user, event.at) }),
  );
}

/** A failure gets a new message of its own in the alerts channel: an edit would ring nobody's bell. */
async function raiseAlarm(options: AnnouncerOptions, event: BackupEvent): Promise<void> {
  if (event.type !== 'backup.failed') return;
  const backup = (await options.sentMessages.read(event.operation))?.state as BackupMessage | undefined;
  if (backup?.phase.kind !== 'failed') return;
  await remember<AlertMessage>(
    options,
    alertKey(event.operation),
    (before) => before ?? { kind: 'backup-alert', backup },
  );
}

function sameOr(before: AlertMessage, after: AlertMessage): AlertMessage {
  return before.backup === after.backup ? before : after;
}
