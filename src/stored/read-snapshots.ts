/** Owns how a snapshot is chosen among what is stored: by its id, the newest that is good, or several with their manifests. */
import { KeyturnError } from '../domain/error.ts';
import { isVerified } from '../domain/snapshot.ts';
import type { SnapshotRecord, StoredSnapshot } from '../domain/snapshot.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import type { SnapshotCatalogue, StoreProblem } from '../ports.ts';

/** So many that are not good, one after the other, are looked at; then something is wrong that a person has to look at. */
const MOST_BAD = 10;
const READ_AT_ONCE = 8;

export interface NewestSnapshot {
  readonly record: SnapshotRecord | undefined;
  /** What is wrong with those that are newer, or with all that were looked at. */
  readonly problems: readonly StoreProblem[];
}

/** Whether Keyturn has a manifest of it in at least one copy that was not found damaged. */
export function isUsable({ origin, copies }: SnapshotEntry): boolean {
  return origin !== 'other' && copies.some(({ isDamaged }) => !isDamaged);
}

/**
 * The newest of `entries` (newest first) with an undamaged copy whose manifest can be read and is `wanted`: by default
 * verified. Some manifests are read, whatever the number of entries. Never throws for a store.
 */
export async function newestGood(
  catalogue: SnapshotCatalogue,
  entries: readonly SnapshotEntry[],
  wanted: (record: SnapshotRecord) => boolean = isVerified,
): Promise<NewestSnapshot> {
  const candidates = entries.filter(isUsable);
  const problems: StoreProblem[] = [];
  for (const entry of candidates.slice(0, MOST_BAD)) {
    const read = await readOne(catalogue, entry);
    problems.push(...read.problems);
    if (read.record !== undefined && wanted(read.record)) return { record: read.record, problems };
  }
  if (candidates.length > MOST_BAD) problems.push(noneOf(candidates));
  return { record: undefined, problems };
}

/** Each with its manifest, in the order of `entries`; what has none that can be read is left out, and told. */
export async function withRecords(
  catalogue: SnapshotCatalogue,
  entries: readonly SnapshotEntry[],
): Promise<{ readonly snapshots: readonly StoredSnapshot[]; readonly problems: readonly StoreProblem[] }> {
  const read = new Array<Awaited<ReturnType<typeof readOne>>>(entries.length);
  const todo = entries.entries();
  const lane = async (): Promise<void> => {
    for (const [i, entry] of todo) read[i] = await readOne(catalogue, entry);
  };
  await Promise.all(Array.from({ length: Math.min(READ_AT_ONCE, entries.length) }, lane));
  return {
    snapshots: read.flatMap(({ record }, i) =>
      record === undefined ? [] : [{ record, stores: goodStores(entries[i]) }],
    ),
    problems: read.flatMap(({ problems }) => problems),
  };
}

/** The snapshot's manifest; throws store.not-found. A snapshot without a readable manifest is none. */
export async function findSnapshot(catalogue: SnapshotCatalogue, cluster: string, id: string): Promise<SnapshotRecord> {
  const { entries, problems } = await catalogue.entries(cluster);
  const entry = entries.find((each) => each.id === id);
  if (entry !== undefined) return (await catalogue.record(entry)).record;
  const away = problems.map(({ message }) => message).join(' ');
  throw new KeyturnError('store.not-found', `There is no snapshot ${id} of ${cluster}. ${away}`.trim(), {
    hint: away === '' ? 'Choose another one.' : 'See that its store can be reached, or choose another one.',
  });
}

/** The manifest, or why there is none. */
export async function readOne(catalogue: SnapshotCatalogue, entry: SnapshotEntry): Promise<NewestSnapshot> {
  try {
    return await catalogue.record(entry);
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
    const store = entry.copies.map((copy) => copy.store).join(', ');
    return { record: undefined, problems: [{ store, message: error.message, hint: error.hint }] };
  }
}

function goodStores(entry: SnapshotEntry | undefined): readonly string[] {
  return (entry?.copies ?? []).filter(({ isDamaged }) => !isDamaged).map(({ store }) => store);
}

function noneOf(candidates: readonly SnapshotEntry[]): StoreProblem {
  return {
    store: [...new Set(candidates.slice(0, MOST_BAD).flatMap(({ copies }) => copies.map(({ store }) => store)))].join(
      ', ',
    ),
    message: `None of the newest ${MOST_BAD} snapshots is good; older ones were not looked at.`,
    hint: 'Find out what is wrong with them, and take a backup.',
  };
}
