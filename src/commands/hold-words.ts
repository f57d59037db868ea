/** Owns the words after `hold`, `release` and `verify`: which snapshot, and of a hold until when, and why. */
import { KeyturnError } from '../domain/error.ts';
import { parseDuration } from '../domain/units.ts';
import { nearest } from './nearest.ts';
import { isSnapshotName } from './snapshot-filter.ts';

export interface WantedSnapshot {
  /** Undefined: the only cluster that has it. */
  readonly cluster: string | undefined;
  /** As typed. */
  readonly snapshot: string;
}

/** When a hold ends by itself. */
export type HoldEnd =
  | { readonly kind: 'for'; readonly ms: number }
  /** ISO time. */
  | { readonly kind: 'until'; readonly at: string };

export interface TypedHold extends WantedSnapshot {
  /** Empty: a dialog asks for it. */
  readonly reason: string;
  /** Undefined: it stays until somebody releases it. */
  readonly end: HoldEnd | undefined;
}

export interface HoldGrammar {
  /** `hold`, `release` or `verify`. */
  readonly word: string;
  readonly usage: string;
  readonly clusters: readonly string[];
  /** Throws cluster.unknown with the nearest right one. */
  readonly knownCluster: (name: string) => string;
}

/** Throws command.invalid, cluster.unknown. */
export function parseHoldWords(args: readonly string[], grammar: HoldGrammar): TypedHold {
  const { wanted, rest } = parseSnapshotWords(args, grammar);
  const [word = '', value = '', ...reason] = rest;
  const end = /^\d/.test(value) ? ENDS[word.toLowerCase()] : undefined;
  if (end === undefined) return { ...wanted, end: undefined, reason: rest.join(' ') };
  return { ...wanted, end: endOf(end, word, value), reason: reason.join(' ') };
}

/** Throws command.invalid, cluster.unknown. */
export function parseSnapshotWords(
  args: readonly string[],
  { word, usage, clusters, knownCluster }: HoldGrammar,
): { readonly wanted: WantedSnapshot; readonly rest: readonly string[] } {
  const [first, second, ...rest] = args;
  if (first === undefined)
    throw new KeyturnError('command.invalid', `"${word}" needs the id of a snapshot.`, { hint: `Type: ${usage}` });
  const isCluster = clusters.some((cluster) => cluster.toLowerCase() === first.toLowerCase());
  const isMistyped = !isSnapshotName(first) && (nearest(first, clusters) !== undefined || isSnapshotName(second ?? ''));
  if (!isCluster && !isMistyped) return { wanted: { cluster: undefined, snapshot: first }, rest: args.slice(1) };
  const cluster = knownCluster(first);
  if (second === undefined)
    throw new KeyturnError('command.invalid', `"${word}" needs the id of a snapshot of ${cluster}.`, {
      hint: `Type: ${usage}`,
    });
  return { wanted: { cluster, snapshot: second }, rest };
}

/** How the end of a hold is written after each word. Undefined: not like this. */
const ENDS: Readonly<Record<string, (value: string) => HoldEnd | undefined>> = { for: readFor, until: readUntil };

function endOf(read: (value: string) => HoldEnd | undefined, word: string, value: string): HoldEnd {
  const end = read(value);
  if (end !== undefined) return end;
  throw new KeyturnError('command.invalid', `"${word} ${value.slice(0, 40)}" is no end of a hold.`, { hint: END_HINT });
}

export const END_HINT = 'Write it like: for 30d, for 12h, until 2026-12-31 (to the end of that day, UTC).';

/** What a person typed into the field of a dialog; undefined: no end. Throws command.invalid. */
export function parseEnd(typed: string): HoldEnd | undefined {
  const words = typed.trim().split(/\s+/u);
  const [last = ''] = words.slice(-1);
  if (last === '') return undefined;
  const end = words.length > 2 ? undefined : (readFor(last) ?? readUntil(last));
  if (end !== undefined) return end;
  throw new KeyturnError('command.invalid', `"${typed.slice(0, 40)}" is no end of a hold.`, { hint: END_HINT });
}

function readFor(value: string): HoldEnd | undefined {
  const ms = parseDuration(value);
  return ms === undefined || ms === 0 ? undefined : { kind: 'for', ms };
}

/** The last moment of that day. */
function readUntil(value: string): HoldEnd | undefined {
  const at = new Date(`${value}T23:59:59.999Z`);
  const isDay = /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(at.getTime()) && at.toISOString().startsWith(value);
  return isDay ? { kind: 'until', at: at.toISOString() } : undefined;
}
