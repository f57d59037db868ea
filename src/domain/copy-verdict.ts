/** Owns what can be said of one stored copy of a snapshot once it was read. */
import type { Problem } from './error.ts';

export type CopyVerdict =
  /** Its bytes are those that were written. `unopened`: why it was not looked at what they hold; undefined: that is whole too. */
  | { readonly kind: 'whole'; readonly unopened: Problem | undefined }
  /** Read to the end twice, and wrong in the same way. `found`: what is wrong, in words that go on after "it is damaged:". */
  | { readonly kind: 'damaged'; readonly found: string }
  /** It fits its own manifest, and another store's manifest says something else; nobody can tell which is right. */
  | { readonly kind: 'disputed'; readonly found: string }
  /** Another tool's, which can't be taken up. `found`: why, in words that go on after a colon. */
  | { readonly kind: 'refused'; readonly found: string }
  /** The store has no object of it, or no manifest. */
  | { readonly kind: 'missing' }
  /** The store could not say: that is no word on the copy. */
  | { readonly kind: 'unknown'; readonly problem: Problem };

/** One copy as it was found, and what became of its mark. */
export interface CheckedCopy {
  readonly store: string;
  readonly verdict: CopyVerdict;
  /** Why the mark of damage could not be set, or taken off; undefined: it is as it should be. */
  readonly markProblem: Problem | undefined;
}

export function isGood({ verdict }: CheckedCopy): boolean {
  return verdict.kind === 'whole';
}
