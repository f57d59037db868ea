/**
 * Owns the form of the small files that Keyturn keeps beside snapshots: JSON as Keyturn writes it, with a seal over all the
 * rest. A byte that flips anywhere in one is seen, even where the value would still be possible.
 */
import { createHash } from 'node:crypto';

export type Unsealed =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  /** In one line, for people. */
  | { readonly ok: false; readonly problem: string };

/** The text of the file; `value` is JSON without a field `seal`. */
export function sealed(value: object): string {
  const seal = createHash('sha256').update(JSON.stringify(value)).digest('hex');
  return `${JSON.stringify({ ...value, seal }, null, 2)}\n`;
}

/** What was sealed, if `text` is exactly what was written; its fields are not looked at. */
export function unsealed(text: string): Unsealed {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return { ok: false, problem: 'not JSON' };
  }
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return { ok: false, problem: 'no object' };
  const value = Object.fromEntries(Object.entries(found).filter(([name]) => name !== 'seal'));
  return sealed(value) === text ? { ok: true, value } : { ok: false, problem: 'changed since it was written' };
}
