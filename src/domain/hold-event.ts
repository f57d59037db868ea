/** Owns what can have happened to a hold: somebody put it on a snapshot or took it off, and stores followed later. */
import { createHash } from 'node:crypto';
import type { Problem } from './error.ts';
import type { Base } from './event-base.ts';
import type { HoldNote } from './hold.ts';
import type { Origin } from './job.ts';

/** What was wanted. */
export type HoldChange =
  /** `note`: as it now lies in the stores. */
  { readonly kind: 'held'; readonly note: HoldNote } | { readonly kind: 'released'; readonly by: string };

export type HoldEvent =
  | (Base & {
      readonly type: 'hold.changed';
      /** The snapshot's id; of another tool's, its name. */
      readonly snapshot: string;
      /** ISO time. */
      readonly takenAt: string;
      readonly change: HoldChange;
      /** Where it was asked. */
      readonly origin: Origin;
      /** Each store that has a copy, or might have one; with a problem: not yet, and it is tried again. */
      readonly stores: readonly { readonly store: string; readonly problem: Problem | undefined }[];
    })
  /** A store that had been away; with a problem: it was given up. */
  | (Base & { readonly type: 'hold.followed'; readonly store: string; readonly problem: Problem | undefined });

export function isHoldEvent(event: { readonly type: string }): event is HoldEvent {
  return event.type.startsWith('hold.');
}

/** Of one change of one snapshot's hold; a name of another tool's may have any signs. */
export function holdOperation(cluster: string, snapshot: string, at: Date): string {
  const name = createHash('sha256').update(`${cluster}/${snapshot}`).digest('hex').slice(0, 12);
  return `hold-${cluster}-${name}-${at.getTime()}`;
}
