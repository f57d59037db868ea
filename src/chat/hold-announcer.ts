/** Owns the way from what happened to a hold to the one message that tells it. */
import type { HoldEvent } from '../domain/hold-event.ts';
import { foldHold } from '../domain/hold-message.ts';
import type { HoldMessage } from '../domain/hold-message.ts';
import { remember } from './remember.ts';
import type { RememberOptions } from './remember.ts';

/** As `announcer` says. */
export async function announceHold(options: RememberOptions, event: HoldEvent): Promise<void> {
  await remember<HoldMessage>(options, event.operation, (before) => foldHold(before, event));
}
