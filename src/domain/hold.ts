/** Owns the note beside a snapshot that keeps it out of retention's reach: who wanted it, why, and for how long. */
import { isTime } from './iso-time.ts';
import type { Hold } from './retention.ts';
import { sealed, unsealed } from './sealed.ts';

/** As stored in JSON beside the snapshot, sealed; times are ISO 8601 in UTC. */
export interface HoldNote {
  readonly format: 1;
  /** One line, in the person's words. */
  readonly reason: string;
  /** Slack user id. */
  readonly by: string;
  readonly at: string;
  /** Undefined: until somebody releases it. */
  readonly until?: string | undefined;
}

/** A file larger than this, in bytes, is no note: it is not read. */
export const MAX_HOLD_SIZE = 16 * 1024;
/** Characters. */
export const LONGEST_HOLD_REASON = 500;

/** A reason as it is kept: on one line, and not longer than what is kept. */
export function reasonOf(typed: string): string {
  return typed
    .replace(/[\p{Cc}\p{Cs}\u2028\u2029\s]+/gu, ' ')
    .trim()
    .slice(0, LONGEST_HOLD_REASON)
    .trim();
}

/**
 * Undefined for anything but a whole note: anybody who may write to the store may have written it. What lies there holds the
 * snapshot all the same.
 */
export function parseHold(text: string): HoldNote | undefined {
  if (text.length > MAX_HOLD_SIZE) return undefined;
  const read = unsealed(text);
  if (!read.ok) return undefined;
  const { format, reason, by, at, until, ...more } = read.value;
  if (format !== 1 || !isLine(reason) || !isLine(by) || !isTime(at) || Object.keys(more).length > 0) return undefined;
  if (until === undefined) return { format, reason, by, at };
  return isTime(until) ? { format, reason, by, at, until } : undefined;
}

export function serialiseHold({ format, reason, by, at, until }: HoldNote): string {
  return sealed({ format, reason, by, at, ...(until === undefined ? {} : { until }) });
}

/** What the text of a note, whole or not, means for retention. */
export function holdOf(text: string): Hold {
  const note = parseHold(text);
  return note === undefined ? UNREADABLE : { reason: note.reason, until: note.until };
}

/** Nobody can tell when it ends, so it does not. */
export const UNREADABLE: Hold = { reason: "a hold that can't be read", until: undefined };

/** The one that lasts longest; undefined when there is none. */
export function strongest<T extends { readonly until?: string | undefined }>(holds: readonly T[]): T | undefined {
  const end = ({ until }: T): number => (until === undefined ? Infinity : Date.parse(until));
  return [...holds].sort((a, b) => end(b) - end(a))[0];
}

function isLine(value: unknown): value is string {
  return typeof value === 'string' && /^[^\p{Cc}\p{Cs}\u2028\u2029]{1,1000}$/u.test(value);
}
