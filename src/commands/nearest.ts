/** Owns the guess at what was meant by a word that was mistyped. */
import { distance } from 'fastest-levenshtein';

/** The likeliest word meant: a near miss, or the only one that begins so. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  const lower = typed.toLowerCase();
  const scored = known.map((name) => ({ name, misses: misses(lower, name.toLowerCase()) }));
  const best = scored.reduce<(typeof scored)[number] | undefined>(
    (least, one) => (least === undefined || one.misses < least.misses ? one : least),
    undefined,
  );
  if (best !== undefined && best.misses <= Math.max(1, Math.min(3, Math.floor(best.name.length / 3)))) return best.name;
  const starting = lower.length >= 2 ? known.filter((k) => k.toLowerCase().startsWith(lower)) : [];
  return starting.length === 1 ? starting[0] : undefined;
}

/** Letters typed wrong. Two neighbours swapped are half a miss: of all slips fingers make, it is the likeliest. */
function misses(typed: string, name: string): number {
  const at = name.split('').findIndex((char, i) => char !== typed[i]);
  const swapped = typed.slice(0, at) + typed.slice(at + 1, at + 2) + typed.slice(at, at + 1) + typed.slice(at + 2);
  return at >= 0 && swapped === name ? 0.5 : distance(typed, name);
}
