/** Owns the list of snapshots: read from the manifests in the stores, never from memory of what was once written. */
import { KeyturnError } from '../domain/error.ts';
import {
  clusterPrefix,
  MANIFEST_SUFFIX,
  manifestKey,
  MAX_MANIFEST_SIZE,
  parseManifest,
  type ParsedManifest,
  type SnapshotRecord,
  type StoredSnapshot,
} from '../domain/snapshot.ts';
import { readListings } from '../domain/snapshot-entry.ts';
import type { SnapshotCatalogue, SnapshotStore, StoredObject, StoreProblem } from '../ports.ts';

/** What one store has to tell about a cluster. */
interface Shelf {
  readonly store: string;
  readonly records: readonly SnapshotRecord[];
  readonly problems: readonly StoreProblem[];
}

/** Manifests fetched at once from one store. */
const CONCURRENCY = 8;
/** A store full of broken manifests is told in so many lines. */
const MAX_PROBLEMS = 10;

/**
 * `storesOf` names the stores of a cluster. Manifests never change, so each is fetched once in this process's life: the
 * listing's key, size and time say whether it is still the same.
 */
export function catalogue(
  stores: readonly SnapshotStore[],
  storesOf: (cluster: string) => readonly string[],
): SnapshotCatalogue {
  /** By store and cluster: the manifests of the last listing, by what identifies each. */
  const remembered = new Map<string, ReadonlyMap<string, ParsedManifest>>();

  const readShelf = async (store: SnapshotStore, cluster: string): Promise<Shelf> => {
    const shelf = `${store.name}/${cluster}`;
    const known = remembered.get(shelf) ?? new Map<string, ParsedManifest>();
    const objects = new Map<string, StoredObject>();
    for await (const object of store.list(clusterPrefix(cluster))) objects.set(object.key, object);
    const manifests = [...objects.values()].filter(({ key }) => key.endsWith(MANIFEST_SUFFIX));
    const read = new Map<string, ParsedManifest>();
    const records: SnapshotRecord[] = [];
    const problems: StoreProblem[] = [];
    await forEachOf(manifests, CONCURRENCY, async (manifest) => {
      const identity = `${manifest.key} ${manifest.size} ${manifest.modifiedAt.getTime()}`;
      const found = known.get(identity) ?? (await readManifest(store, manifest));
      if (found === undefined) return;
      read.set(identity, found);
      const problem = found.ok ? misplaced(found.record, cluster, manifest.key, objects) : found.problem;
      if (problem !== undefined) problems.push(unusable(store, manifest.key, problem));
      else if (found.ok) records.push(found.record);
    });
    remembered.set(shelf, read);
    return { store: store.name, records, problems: shortened(store, problems) };
  };
  const readOrTell = async (store: SnapshotStore, cluster: string): Promise<Shelf> => {
    try {
      return await readShelf(store, cluster);
    } catch (error) {
      if (!(error instanceof KeyturnError)) throw error;
      return {
        store: store.name,
        records: [],
        problems: [{ store: store.name, message: error.message, hint: error.hint }],
      };
    }
  };

  const listOne = async (store: SnapshotStore, cluster: string) => {
    const objects: StoredObject[] = [];
    for await (const object of store.list(clusterPrefix(cluster))) objects.push(object);
    return { store: store.name, objects };
  };
  return {
    async entries(cluster) {
      const names = storesOf(cluster);
      const problems: StoreProblem[] = [];
      const listings = await Promise.all(
        stores
          .filter(({ name }) => names.includes(name))
          .map((store) =>
            listOne(store, cluster).catch((error: unknown) => {
              if (!(error instanceof KeyturnError)) throw error;
              problems.push({ store: store.name, message: error.message, hint: error.hint });
              return { store: store.name, objects: [] };
            }),
          ),
      );
      return { ...readListings(cluster, listings), problems };
    },
    async record(entry) {
      const problems: StoreProblem[] = [];
      for (const copy of entry.copies.filter(({ isDamaged }) => !isDamaged)) {
        const store = stores.find(({ name }) => name === copy.store);
        if (store === undefined) continue;
        const key = manifestKey(entry.cluster, entry.id);
        try {
          const parsed = parseManifest(Buffer.from(await store.get(key)).toString('utf8'));
          const objects = new Map([[copy.key, { ...copy, modifiedAt: new Date(0) }]]);
          const problem = parsed.ok ? misplaced(parsed.record, entry.cluster, key, objects) : parsed.problem;
          if (parsed.ok && problem === undefined) return { record: parsed.record, problems };
          problems.push(unusable(store, key, problem ?? ''));
        } catch (error) {
          if (!(error instanceof KeyturnError)) throw error;
          problems.push({ store: store.name, message: error.message, hint: error.hint });
        }
      }
      throw new KeyturnError(
        'store.not-found',
        `No good manifest of snapshot ${entry.id} can be read. ${problems.map(({ message }) => message).join(' ')}`.trim(),
        { hint: problems[0]?.hint ?? 'Choose another snapshot.' },
      );
    },
    async list(cluster) {
      const names = storesOf(cluster);
      const shelves = await Promise.all(
        stores.filter(({ name }) => names.includes(name)).map((store) => readOrTell(store, cluster)),
      );
      const { snapshots, problems } = merged(shelves);
      return { snapshots, problems: [...shelves.flatMap((shelf) => shelf.problems), ...problems] };
    },
  };
}

/** Undefined when it was removed since it was listed. */
async function readManifest(store: SnapshotStore, { key, size }: StoredObject): Promise<ParsedManifest | undefined> {
  if (size > MAX_MANIFEST_SIZE) return { ok: false, problem: `${size} bytes long, which no manifest is` };
  try {
    return parseManifest(Buffer.from(await store.get(key)).toString('utf8'));
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'store.not-found') return undefined;
    throw error;
  }
}

/** Why a well-formed manifest is none of this cluster's, or has lost what it speaks of. */
function misplaced(
  record: SnapshotRecord,
  cluster: string,
  key: string,
  objects: ReadonlyMap<string, StoredObject>,
): string | undefined {
  if (record.cluster !== cluster || manifestKey(cluster, record.id) !== key) return 'it belongs to another name';
  const object = objects.get(record.object.key);
  if (!object) return `its object ${record.object.key} is missing`;
  if (object.size === record.object.size) return undefined;
  return `its object ${record.object.key} has ${object.size} bytes instead of ${record.object.size}`;
}

/** Copies of one snapshot become one entry; newest first. */
function merged(shelves: readonly Shelf[]): { snapshots: StoredSnapshot[]; problems: StoreProblem[] } {
  const snapshots = new Map<string, { record: SnapshotRecord; stores: string[] }>();
  const problems: StoreProblem[] = [];
  for (const { store, records } of shelves) {
    for (const record of records) {
      const copy = snapshots.get(record.id);
      if (copy === undefined) snapshots.set(record.id, { record, stores: [store] });
      else if (copy.record.sha256 === record.sha256) copy.stores.push(store);
      else {
        problems.push({
          store,
          message: `Snapshot ${record.id} in store ${store} is not the same as in store ${copy.stores.join(', ')}.`,
          hint: 'Find out which is right before restoring from it: the sha256 of both is in their manifests.',
        });
      }
    }
  }
  const newestFirst = (a: StoredSnapshot, b: StoredSnapshot): number =>
    compare(b.record.takenAt, a.record.takenAt) || compare(b.record.id, a.record.id);
  return { snapshots: [...snapshots.values()].sort(newestFirst), problems };
}

function unusable(store: SnapshotStore, key: string, problem: string): StoreProblem {
  return {
    store: store.name,
    message: `Manifest ${key} in store ${store.name} is not usable: ${problem}.`,
    hint: 'Remove it, or find out who changed it; its snapshot is not offered.',
  };
}

function shortened(store: SnapshotStore, problems: readonly StoreProblem[]): readonly StoreProblem[] {
  const sorted = [...problems].sort((a, b) => compare(a.message, b.message));
  if (sorted.length <= MAX_PROBLEMS) return sorted;
  const more = sorted.length - MAX_PROBLEMS;
  const rest = { store: store.name, message: `${more} more manifests in store ${store.name} are not usable.` };
  return [...sorted.slice(0, MAX_PROBLEMS), { ...rest, hint: 'Look at the ones named first.' }];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Runs `action` on every item, at most `limit` at once; starts no more after the first error, and throws it. */
async function forEachOf<T>(items: readonly T[], limit: number, action: (item: T) => Promise<void>): Promise<void> {
  let failed = false;
  const waiting = items.values();
  const work = async (): Promise<void> => {
    for (const item of waiting) {
      if (failed) return;
      await action(item).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
}
