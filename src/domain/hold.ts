/** Owns the note beside a snapshot that keeps it out of retention's reach: who wanted it, why, and for how long. */
import type { Hold } from './retention.ts';

/** As stored in JSON beside the manifest; times are ISO 8601 in UTC. */
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

const FIELDS = new Set(['format', 'reason', 'by', 'at', 'until']);

/** Undefined for anything but a whole note; what lies there holds the snapshot all the same. */
export function parseHold(text: string): HoldNote | undefined {
  let value: unknown;
  try {
    value = text.length > MAX_HOLD_SIZE ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !Object.keys(value).every((name) => FIELDS.has(name)))
    return undefined;
  const { format, reason, by, at, until } = value as Readonly<Record<keyof HoldNote, unknown>>;
  if (format !== 1 || !isLine(reason) || !isLine(by) || !isTime(at)) return undefined;
  if (until === undefined) return { format, reason, by, at };
  return isTime(until) ? { format, reason, by, at, until } : undefined;
}

export function serialiseHold({ format, reason, by, at, until }: HoldNote): string {
  return `${JSON.stringify({ format, reason, by, at, until }, null, 2)}\n`;
}

/** What the text of a note, whole or not, means for retention. */
export function holdOf(text: string): Hold {
  const note = parseHold(text);
  return note === undefined ? UNREADABLE : { reason: note.reason, until: note.until };
}

/** Nobody can tell when it ends, so it does not. */
export const UNREADABLE: Hold = { reason: "a hold that can't be read", until: undefined };

/** The one that lasts longest; undefined when there is none. */
export function strongest(holds: readonly Hold[]): Hold | undefined {
  const end = ({ until }: Hold): number => (until === undefined ? Infinity : Date.parse(until));
  return [...holds].sort((a, b) => end(b) - end(a))[0];
}

function isLine(value: unknown): value is string {
  return typeof value === 'string' && /^[^\p{Cc}\p{Cs}\u2028\u2029]{1,1000}$/u.test(value);
}

function isTime(value: unknown): value is string {
  if (typeof value !== 'string') return false;
  const at = new Date(value);
  return !Number.isNaN(at.getTime()) && at.toISOString() === value;
}
