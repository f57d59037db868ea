/**
 * Owns how a hold is put on a snapshot, taken off and read: a note in every store that has a copy, and the store's own legal
 * hold where it has such a thing. A note in one store holds the copies in all, so one that is away never costs a snapshot.
 */
import { KeyturnError, toProblem } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import { MAX_HOLD_SIZE, parseHold, serialiseHold } from '../domain/hold.ts';
import type { HoldNote } from '../domain/hold.ts';
import type { HoldKeys } from '../domain/job.ts';
import { holdKeyFor, manifestKeyFor } from '../domain/snapshot-entry.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import { within } from '../domain/within.ts';
import type { Clock, SnapshotStore } from '../ports.ts';

export interface HoldStores {
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly clock: Clock;
}

export interface HoldOutcome {
  readonly store: string;
  readonly problem: Problem | undefined;
}

export interface FoundHold {
  readonly store: string;
  /** Undefined: it can't be read, and holds for ever. */
  readonly note: HoldNote | undefined;
}

/** Beyond this a store counts as away. */
const PATIENCE_MS = 15_000;

/** Where the hold of this snapshot lies in a store. A store that was not listed has it under the names of the others. */
export function holdKeysIn(entry: SnapshotEntry, store: string): HoldKeys {
  const copy = entry.copies.find((each) => each.store === store) ?? entry.copies[0];
  const object = copy?.key ?? '';
  const manifest = entry.origin === 'other' ? undefined : manifestKeyFor(entry);
  return { note: holdKeyFor(entry, object), object, manifest };
}

/** Does `work` in each of these stores, side by side; what goes wrong in one is its problem, and never thrown. */
export function inStores(
  { stores, clock }: HoldStores,
  names: readonly string[],
  logId: string,
  work: (store: SnapshotStore) => Promise<void>,
): Promise<readonly HoldOutcome[]> {
  return Promise.all(
    names.map(async (name) => {
      const store = stores.get(name);
      if (store === undefined) return { store: name, problem: undefined };
      try {
        await within(clock, PATIENCE_MS, work(store), () => silent(name));
        return { store: name, problem: undefined };
      } catch (error) {
        return { store: name, problem: toProblem(error, logId) };
      }
    }),
  );
}

/**
 * Puts the note beside the snapshot, and has the store itself keep it. Where the snapshot is not, or not any more, nothing
 * is left: throws snapshot.unknown. `settled`: resolves once whoever looked for notes before this one lay there has removed
 * what it wanted to remove. Also throws store.*; safe twice.
 */
export async function placeHold(
  store: SnapshotStore,
  { note: key, object, manifest }: HoldKeys,
  note: HoldNote,
  settled: () => Promise<void> = async () => undefined,
): Promise<void> {
  const parts = [object, manifest].filter((part) => part !== undefined);
  const areThere = (keys: readonly string[]) =>
    Promise.all(keys.map(async (each) => ((await store.stat(each)) === undefined ? [] : [each])));
  const before = (await areThere(parts)).flat();
  if (!before.includes(object)) throw gone(store, object);
  await store.put(key, Buffer.from(serialiseHold(note)));
  await settled();
  if ((await areThere(before)).flat().length < before.length) {
    await store.remove(key);
    throw gone(store, object);
  }
  for (const part of before) await store.legalHold?.(part, true);
}

/** Takes off what `placeHold` put there; the note goes last. Throws store.*; safe twice, and when all is gone. */
export async function liftHold(store: SnapshotStore, keys: HoldKeys): Promise<void> {
  await liftLegalHold(store, keys);
  await store.remove(keys.note);
}

/** The store itself lets go; the note stays. Throws store.*; safe twice, and when all is gone. */
export async function liftLegalHold(store: SnapshotStore, { object, manifest }: Omit<HoldKeys, 'note'>): Promise<void> {
  for (const part of [object, manifest]) if (part !== undefined) await store.legalHold?.(part, false);
}

/** The note in one store; undefined when there is none. Throws store.*. */
export async function readHold(store: SnapshotStore, key: string): Promise<FoundHold | undefined> {
  try {
    const found = await store.stat(key);
    if (found === undefined) return undefined;
    if (found.size > MAX_HOLD_SIZE) return { store: store.name, note: undefined };
    return { store: store.name, note: parseHold(Buffer.from(await store.get(key)).toString('utf8')) };
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'store.not-found') return undefined;
    throw error;
  }
}

/** The notes on a snapshot in all these stores, and the stores that could not say. */
export async function readHolds(
  deps: HoldStores,
  names: readonly string[],
  entry: SnapshotEntry,
  logId: string,
): Promise<{ readonly holds: readonly FoundHold[]; readonly problems: readonly HoldOutcome[] }> {
  const holds: FoundHold[] = [];
  const outcomes = await inStores(deps, names, logId, async (store) => {
    const hold = await readHold(store, holdKeysIn(entry, store.name).note);
    if (hold !== undefined) holds.push(hold);
  });
  return {
    holds: holds.sort((a, b) => names.indexOf(a.store) - names.indexOf(b.store)),
    problems: outcomes.filter(({ problem }) => problem !== undefined),
  };
}

function silent(name: string): KeyturnError {
  return new KeyturnError('store.unreachable', `Nothing came from store ${name} for ${PATIENCE_MS / 1000} s.`, {
    hint: 'Look at it and at the network to it; "keyturn check" tries every store.',
  });
}

function gone({ name }: SnapshotStore, object: string): KeyturnError {
  return new KeyturnError('snapshot.unknown', `Store ${name} has no ${object} any more.`, {
    hint: 'See what there is now, and choose another snapshot.',
  });
}
