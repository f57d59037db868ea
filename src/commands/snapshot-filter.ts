/** Owns the words by which a list of snapshots is narrowed down: how they are typed, what they mean, and what fits them. */
import { KeyturnError } from '../domain/error.ts';
import { readOtherName } from '../domain/other-snapshots.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import { nearest } from './nearest.ts';

export interface SnapshotFilter {
  /** As it can be typed. */
  readonly word: string;
  fits(entry: SnapshotEntry): boolean;
}

/** Without a colon. */
const PLAIN: Readonly<Record<string, SnapshotFilter['fits']>> = {
  held: ({ isHeld }) => isHeld,
  damaged: ({ copies }) => copies.some(({ isDamaged }) => isDamaged),
  other: ({ origin }) => origin !== 'keyturn',
};

const STORE: Readonly<Record<string, (entry: SnapshotEntry, store: string) => boolean>> = {
  in: ({ copies }, store) => copies.some((copy) => copy.store === store),
  missing: ({ copies }, store) => !copies.some((copy) => copy.store === store),
};

/** `day`: a prefix of an ISO time; all of `before` it is less, all of `after` it is greater and not within. */
const TIME: Readonly<Record<string, (takenAt: string, day: string) => boolean>> = {
  before: (takenAt, day) => takenAt < day,
  after: (takenAt, day) => takenAt > day && !takenAt.startsWith(day),
};

const DAY = /^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$/;
const EXAMPLES =
  'held, damaged, other, in:<store>, missing:<store>, 2026-11, 2026-11-21, before:2026-11, after:2026-11-20';

/** Whether `word` is meant as the name of one snapshot rather than as a filter. */
export function isSnapshotName(word: string): boolean {
  return /^\d{8}T/i.test(word) || readOtherName(word)?.kind === 'snapshot';
}

/** All of them have to fit; dates are UTC. `stores`: those of the cluster. Throws command.invalid with the nearest right one. */
export function parseFilters(words: readonly string[], stores: readonly string[]): readonly SnapshotFilter[] {
  return words.map((word) => parseFilter(word, stores));
}

function parseFilter(typed: string, stores: readonly string[]): SnapshotFilter {
  const word = typed.toLowerCase();
  const plain = Object.hasOwn(PLAIN, word) ? PLAIN[word] : undefined;
  if (plain !== undefined) return { word, fits: plain };
  if (DAY.test(word)) return { word, fits: ({ takenAt }) => takenAt.startsWith(word) };
  const [, name = '', value = ''] = /^([a-z]+):(.+)$/.exec(word) ?? [];
  const ofTime = Object.hasOwn(TIME, name) ? TIME[name] : undefined;
  if (ofTime !== undefined && DAY.test(value)) return { word, fits: ({ takenAt }) => ofTime(takenAt, value) };
  const ofStore = Object.hasOwn(STORE, name) ? STORE[name] : undefined;
  const store = stores.find((each) => each.toLowerCase() === value);
  if (ofStore !== undefined && store !== undefined)
    return { word: `${name}:${store}`, fits: (entry) => ofStore(entry, store) };
  throw notUnderstood(typed, stores);
}

function notUnderstood(typed: string, stores: readonly string[]): KeyturnError {
  const known = [
    ...Object.keys(PLAIN),
    ...Object.keys(STORE).flatMap((name) => stores.map((store) => `${name}:${store}`)),
  ];
  const [name = '', value = ''] = typed.toLowerCase().split(':');
  const near = nearest(typed, known) ?? nearTime(name, value);
  return new KeyturnError('command.invalid', `There is no filter "${typed.slice(0, 60)}".`, {
    hint: near === undefined ? `Filters are: ${EXAMPLES}.` : `Did you mean "${near}"? Filters are: ${EXAMPLES}.`,
  });
}

/** `befor:2026-11` and `before:2026-1`. */
function nearTime(name: string, value: string): string | undefined {
  const right = nearest(name, Object.keys(TIME));
  if (right === undefined || value === '') return undefined;
  const [, y, mo, d] = /^(\d{4})[-/.]?(\d{1,2})?[-/.]?(\d{1,2})?$/.exec(value) ?? [];
  if (y === undefined) return undefined;
  const day = [y, mo?.padStart(2, '0'), d?.padStart(2, '0')].filter((part) => part !== undefined).join('-');
  return DAY.test(day) ? `${right}:${day}` : undefined;
}
