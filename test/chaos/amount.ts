/**
 * Owns how much chaos there is: a sample that fits into CI, or with `KEYTURN_CHAOS=whole` everything, as before a release.
 * The sample is the same each time, so that two runs can be compared; what is random takes `KEYTURN_CHAOS_SEED`.
 */

const IS_WHOLE = process.env['KEYTURN_CHAOS'] === 'whole';

/** Printed by each test, to have the same blows again. */
export const SEED = Number(process.env['KEYTURN_CHAOS_SEED'] ?? Date.now() % 1_000_000);

export function amount({ whole, sample }: { readonly whole: number; readonly sample: number }): number {
  return IS_WHOLE ? whole : sample;
}

/** All cases, or `count` of them from the first to the last, evenly spread; says how many are left out. */
export function someOf<T>(what: string, cases: readonly T[], count: number): readonly T[] {
  if (IS_WHOLE || count >= cases.length) return cases;
  console.log(`${what}: ${count} of ${cases.length} (KEYTURN_CHAOS=whole tries all)`);
  const step = (cases.length - 1) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, n) => cases[Math.round(n * step)]).filter((each) => each !== undefined);
}
