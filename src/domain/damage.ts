/**
 * Owns the mark on a stored copy that a later look found damaged: a small file beside its manifest, in the same store. While
 * it lies there the copy does not count, whatever stands in it.
 */
import { isTime } from './iso-time.ts';
import { sealed, unsealed } from './sealed.ts';

/** Version of the mark's form. */
export const DAMAGE_FORMAT = 1;
/** A file larger than this, in bytes, is no mark: it is not read. */
export const MAX_DAMAGE_SIZE = 16 * 1024;
/** Characters; what is wrong is said in a line or two. */
const LONGEST = 500;

export interface Damage {
  readonly format: typeof DAMAGE_FORMAT;
  /** ISO time at which it was found. */
  readonly at: string;
  /** What is wrong, in words for people. */
  readonly found: string;
  /** The operation that found it. */
  readonly by: string;
}

export type ParsedDamage =
  { readonly ok: true; readonly damage: Damage } | { readonly ok: false; readonly problem: string };

export function newDamage(at: Date, found: string, by: string): Damage {
  return { format: DAMAGE_FORMAT, at: at.toISOString(), found: found.slice(0, LONGEST), by };
}

export function serialiseDamage({ format, at, found, by }: Damage): string {
  return sealed({ format, at, found, by });
}

/** The mark that `text` holds, or what is wrong with it: anybody who may write to the store may have written it. */
export function parseDamage(text: string): ParsedDamage {
  const read = unsealed(text);
  if (!read.ok) return read;
  const { format, at, found, by, ...more } = read.value;
  if (format !== DAMAGE_FORMAT) return { ok: false, problem: 'of a form that this Keyturn does not know' };
  const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= LONGEST;
  if (!isText(at) || !isTime(at) || !isText(found) || !isText(by) || Object.keys(more).length > 0)
    return { ok: false, problem: 'without what a mark must have' };
  return { ok: true, damage: { format, at, found, by } };
}

/** Under which all is told of one damage: however often it is found again, until the copy is whole, it is the same. */
export function damageOperation(cluster: string, snapshot: string, store: string, at: string): string {
  return `damaged-${cluster}-${snapshot}-${store}-${Date.parse(at)}`;
}
