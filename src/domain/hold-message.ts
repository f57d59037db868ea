/** Owns what the message of a changed hold knows, folded from its events. */
import type { Problem } from './error.ts';
import type { HoldChange, HoldEvent } from './hold-event.ts';

export interface HoldMessage {
  readonly kind: 'hold';
  readonly operation: string;
  readonly cluster: string;
  readonly snapshot: string;
  /** ISO time. */
  readonly takenAt: string;
  readonly change: HoldChange;
  readonly stores: readonly {
    readonly store: string;
    /** Undefined: it did as was wanted. */
    readonly problem: Problem | undefined;
    /** Nothing is tried there any more. */
    readonly isGivenUp: boolean;
  }[];
}

/** Events may come twice, and in any order: what a store did later counts. Gives back `before` when nothing changes. */
export function foldHold(before: HoldMessage | undefined, event: HoldEvent): HoldMessage | undefined {
  if (event.type === 'hold.changed') {
    if (before !== undefined) return before;
    const { operation, cluster, snapshot, takenAt, change } = event;
    const stores = event.stores.map((each) => ({ ...each, isGivenUp: false }));
    return { kind: 'hold', operation, cluster, snapshot, takenAt, change, stores };
  }
  const known = before?.stores.find(({ store }) => store === event.store);
  if (before === undefined || known === undefined || known.problem === undefined) return before;
  const now = { store: event.store, problem: event.problem, isGivenUp: event.problem !== undefined };
  if (known.isGivenUp === now.isGivenUp && now.problem !== undefined) return before;
  return { ...before, stores: before.stores.map((each) => (each === known ? now : each)) };
}
