/** Owns what the one message of a damaged copy says: what is wrong with it, and what became of it. */
import type { DamageEvent } from './copy-event.ts';
import type { Problem } from './error.ts';

type Found = Extract<DamageEvent, { type: 'copy.damaged' }>;

/** JSON, so that it can be kept anywhere. */
export interface DamageMessage {
  readonly kind: 'copy-damaged';
  readonly found: Found;
  /** Undefined: nothing yet. */
  readonly outcome:
    | { readonly kind: 'repaired'; readonly at: string; readonly from: string }
    | { readonly kind: 'healed'; readonly at: string }
    | { readonly kind: 'not-repaired'; readonly at: string; readonly problem: Problem }
    | undefined;
}

/** The message after `event`; `before` itself when that changes nothing. What is whole again is the last word. */
export function foldDamage(before: DamageMessage | undefined, event: DamageEvent): DamageMessage | undefined {
  if (event.type === 'copy.damaged') return before ?? { kind: 'copy-damaged', found: event, outcome: undefined };
  if (before === undefined || before.outcome?.kind === 'repaired' || before.outcome?.kind === 'healed') return before;
  const { at } = event;
  switch (event.type) {
    case 'copy.repaired':
      return { ...before, outcome: { kind: 'repaired', at, from: event.from } };
    case 'copy.healed':
      return { ...before, outcome: { kind: 'healed', at } };
    case 'copy.not-repaired':
      return before.outcome === undefined
        ? { ...before, outcome: { kind: 'not-repaired', at, problem: event.problem } }
        : before;
  }
}
