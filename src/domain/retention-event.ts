/** Owns what can have happened in retention. JSON, and small whatever went: long lists are cut, and their digest stays. */
import type { Problem } from './error.ts';
import type { Base } from './event-base.ts';
import { sha256Of } from './plan.ts';
import type { RetentionPolicy, Rule } from './retention.ts';
import { bytesOf } from './retention-plan.ts';
import type { Planned } from './retention-plan.ts';
import type { Stray } from './snapshot-entry.ts';

/** Copies of snapshots in one store. */
export interface CopyList {
  readonly count: number;
  readonly bytes: number;
  /** The first of them. */
  readonly first: readonly {
    readonly id: string;
    readonly takenAt: string;
    readonly bytes: number;
    readonly reason: string;
  }[];
  /** sha256 over all ids, sorted; lower-case hex. */
  readonly digest: string;
}

/** Who has said that so many may go. */
export interface Confirmation {
  readonly store: string;
  /** Of the plan that was shown. */
  readonly digest: string;
  /** Slack user id. */
  readonly by: string;
}

/** What a run came to in one store. */
export interface StoreResult {
  readonly store: string;
  readonly policy: RetentionPolicy;
  readonly removed: CopyList;
  readonly keeps: number;
  readonly keptBy: Readonly<Partial<Record<Rule, number>>>;
  /** The store does not let go of them yet; `message` is its reason for the first. */
  readonly locked: { readonly count: number; readonly ids: readonly string[]; readonly message: string } | undefined;
  /** So many would go that a person has to say so; nothing was removed. */
  readonly asks: boolean;
  /** Why nothing was removed, or not all. */
  readonly problem: Problem | undefined;
  /** False: it could not be looked at, and what was known of it still is. */
  readonly isKnown: boolean;
}

/** What lies in a store and belongs to nothing. */
export interface FoundStray {
  readonly store: string;
  readonly key: string;
  readonly kind: Stray['kind'] | 'open-upload';
  readonly bytes: number;
  /** ISO time. */
  readonly since: string;
  /** 'waits': until its grace is over. 'left': for `why`. 'spared': it belongs to a snapshot that lies elsewhere. */
  readonly fate: 'waits' | 'removed' | 'left' | 'spared';
  readonly why: string | undefined;
}

export interface StrayList {
  readonly count: number;
  readonly bytes: number;
  readonly first: readonly FoundStray[];
  /** How many of each store and fate. */
  readonly tally: readonly {
    readonly store: string;
    readonly fate: FoundStray['fate'];
    readonly count: number;
    readonly bytes: number;
  }[];
  /** Stores in which they could not be looked for, with why. */
  readonly problems: readonly { readonly store: string; readonly problem: Problem }[];
}

export type RetentionEvent =
  /** These are about to be removed: told before the first is touched. */
  | (Base & {
      readonly type: 'retention.begins';
      readonly store: string;
      readonly policy: RetentionPolicy;
      readonly removes: CopyList;
      readonly confirmed: Confirmation | undefined;
    })
  | (Base & Question & { readonly type: 'retention.asks' })
  | (Base & Confirmation & { readonly type: 'retention.confirmed' | 'retention.declined' })
  | (Base & {
      readonly type: 'retention.done';
      /** The backup after which it ran. */
      readonly after: string | undefined;
      readonly confirmed: Confirmation | undefined;
      readonly stores: readonly StoreResult[];
      /** Over all stores: copies that were removed, and snapshots that are left. */
      readonly total: { readonly removed: number; readonly bytes: number; readonly keeps: number };
      /** Undefined: none were looked for. */
      readonly strays: StrayList | undefined;
      /** Why it did not come to an end. */
      readonly problem: Problem | undefined;
    });

/** Whether so many may go from one store. */
export interface Question {
  readonly store: string;
  readonly policy: RetentionPolicy;
  /** Of the plan; the answer carries it. */
  readonly digest: string;
  /** Snapshots in the store. */
  readonly total: number;
  /** ISO times of the oldest and the newest that would go. */
  readonly oldest: string;
  readonly newest: string;
  readonly removes: CopyList;
  /** What this person confirmed is not what would go now. Slack user id. */
  readonly notNow: string | undefined;
}

/** An event with a list of some hundred ids still fits everywhere. */
const MOST_LISTED = 200;
const MOST_STRAYS = 100;

export function copyList(planned: readonly Planned[], most = MOST_LISTED): CopyList {
  return {
    count: planned.length,
    bytes: bytesOf(planned),
    first: planned.slice(0, most).map(({ id, takenAt, size, reasons }) => ({
      ...{ id, takenAt, bytes: size },
      reason: reasons
        .map(({ words }) => words)
        .join(', ')
        .slice(0, 200),
    })),
    digest: sha256Of(planned.map(({ id }) => id).sort()),
  };
}

export function strayList(strays: readonly FoundStray[], problems: StrayList['problems']): StrayList {
  const tally = new Map<string, { store: string; fate: FoundStray['fate']; count: number; bytes: number }>();
  for (const { store, fate, bytes } of strays) {
    const line = tally.get(`${store} ${fate}`) ?? { store, fate, count: 0, bytes: 0 };
    tally.set(`${store} ${fate}`, { ...line, count: line.count + 1, bytes: line.bytes + bytes });
  }
  return {
    count: strays.length,
    bytes: strays.reduce((sum, { bytes }) => sum + bytes, 0),
    first: strays.slice(0, MOST_STRAYS),
    tally: [...tally.values()],
    problems,
  };
}
