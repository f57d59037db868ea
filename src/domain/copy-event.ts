/** Owns what can happen to copies that are stored already: they are read again, found damaged, and made anew. */
import type { CheckedCopy } from './copy-verdict.ts';
import type { Problem } from './error.ts';
import type { Base } from './event-base.ts';
import type { Origin } from './job.ts';

export type CopyEvent = VerifyEvent | DamageEvent | ScrubEvent;

/** Somebody asked for a snapshot to be read. `operation` is the job's id. */
export type VerifyEvent =
  | (OfSnapshot & { readonly type: 'verify.queued'; readonly origin: Origin })
  | (OfSnapshot & {
      readonly type: 'verify.started';
      readonly origin: Origin;
      readonly takenAt: string;
      /** In the order in which they are read; sizes in bytes. */
      readonly copies: readonly { readonly store: string; readonly size: number }[];
    })
  | (OfSnapshot & { readonly type: 'verify.progress'; readonly store: string; readonly bytes: number })
  | (OfSnapshot & {
      readonly type: 'verify.ended';
      readonly copies: readonly CheckedCopy[];
      /** Another tool's snapshot that now counts as one: the id that it has from here on. */
      readonly adoptedAs: string | undefined;
    })
  /** Nothing could be said of any copy. */
  | (OfSnapshot & { readonly type: 'verify.failed'; readonly origin: Origin; readonly problem: Problem });

/** `operation` is that of the damage (`damageOperation`); of a copy that was missing, the job that made it. */
export type DamageEvent =
  | (OfSnapshot & {
      readonly type: 'copy.damaged';
      readonly takenAt: string;
      readonly store: string;
      /** What is wrong, in words for people. */
      readonly found: string;
      /** The operation that found it. */
      readonly by: string;
      /** Stores whose copy was read too: it is whole there, or the store could not say. */
      readonly whole: readonly string[];
      readonly unread: readonly string[];
      /** The manifests of two stores differ, and nobody can tell which is right. */
      readonly isDisputed: boolean;
      /** Keyturn makes it anew from one of those. */
      readonly isRepaired: boolean;
      readonly markProblem: Problem | undefined;
    })
  /** `backup`: the operation that took the snapshot. */
  | (OfSnapshot & {
      readonly type: 'copy.repaired';
      readonly store: string;
      readonly from: string;
      readonly backup: string;
      readonly why: 'damaged' | 'missing';
      readonly bytes: number;
    })
  /** A copy that was found damaged is whole after all, or again by somebody else's doing. */
  | (OfSnapshot & { readonly type: 'copy.healed'; readonly store: string; readonly by: string })
  | (OfSnapshot & {
      readonly type: 'copy.not-repaired';
      readonly store: string;
      readonly why: 'damaged' | 'missing';
      readonly problem: Problem;
    });

/** `cluster` is `SCRUB_LEASE`. */
export type ScrubEvent = Base & {
  readonly type: 'scrub.behind';
  /** Bytes of all copies, and how long they take at the rate. */
  readonly bytes: number;
  readonly neededMs: number;
  readonly everyMs: number;
  /** Bytes a second. */
  readonly rateLimit: number;
};

interface OfSnapshot extends Base {
  readonly snapshot: string;
}

const FAMILIES: ReadonlySet<string> = new Set(['verify', 'copy', 'scrub']);

export function isCopyEvent(event: { readonly type: string }): event is CopyEvent {
  return FAMILIES.has(event.type.split('.')[0] ?? '');
}
