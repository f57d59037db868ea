/** Owns the way from an event on stored copies to its messages: those of verifications, of damage, and of the backups they belong to. */
import { foldCopied, type BackupMessage } from '../domain/backup-message.ts';
import type { CopyEvent, DamageEvent } from '../domain/copy-event.ts';
import { foldDamage, type DamageMessage } from '../domain/damage-message.ts';
import { foldVerify, type VerifyMessage } from '../domain/verify-message.ts';
import type { Clock } from '../ports.ts';
import type { ScrubBehindMessage } from './message-state.ts';
import { remember, type RememberOptions } from './remember.ts';

export interface CopyAnnouncerOptions extends RememberOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** Progress of one message is told at most so often; default 2000. */
  readonly progressEveryMs?: number;
}

/** As `announcer` says. */
export function copyAnnouncer(options: CopyAnnouncerOptions): (event: CopyEvent) => Promise<void> {
  const tooSoon = progressThrottle(options);
  return async (event) => {
    switch (event.type) {
      case 'verify.queued':
      case 'verify.started':
      case 'verify.progress':
      case 'verify.ended':
      case 'verify.failed':
        if (tooSoon(event)) return;
        await remember<VerifyMessage>(options, event.operation, (before) => foldVerify(before, event));
        return;
      case 'copy.damaged':
      case 'copy.repaired':
      case 'copy.healed':
      case 'copy.not-repaired':
        await remember<DamageMessage>(options, event.operation, (before) => foldDamage(before, event));
        await tellBackup(options, event);
        return;
      case 'scrub.behind':
        await remember<ScrubBehindMessage>(
          options,
          event.operation,
          (before) => before ?? { kind: 'scrub-behind', behind: event },
        );
    }
  };
}

/** Progress is dropped when the last of its operation is too fresh: what follows says it too. */
function progressThrottle({ clock, progressEveryMs = 2000 }: CopyAnnouncerOptions): (event: CopyEvent) => boolean {
  const lastTold = new Map<string, number>();
  return ({ type, operation }) => {
    if (type === 'verify.ended' || type === 'verify.failed') lastTold.delete(operation);
    if (type !== 'verify.progress') return false;
    const now = clock.now().getTime();
    if (now - (lastTold.get(operation) ?? -Infinity) < progressEveryMs) return true;
    lastTold.set(operation, now);
    return false;
  };
}

/** The backup's own message says that a copy was made later. */
async function tellBackup(options: CopyAnnouncerOptions, event: DamageEvent): Promise<void> {
  if (event.type !== 'copy.repaired' || event.why !== 'missing') return;
  const { backup, store, at } = event;
  await remember<BackupMessage>(options, backup, (before) => before && foldCopied(before, store, at));
}
