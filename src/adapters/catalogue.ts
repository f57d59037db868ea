/** Owns the list of snapshots: made of what the stores list and of their manifests, never of memory of what was once written. */
import { KeyturnError } from '../domain/error.ts';
import {
  clusterPrefix,
  MAX_MANIFEST_SIZE,
  parseManifest,
  readManifestKey,
  type ParsedManifest,
  type SnapshotRecord,
} from '../domain/snapshot.ts';
import {
  manifestKeyFor,
  readListings,
  type Listed,
  type Listing,
  type SnapshotCopy,
  type SnapshotEntry,
} from '../domain/snapshot-entry.ts';
import type { SnapshotCatalogue, SnapshotStore, StoreProblem } from '../ports.ts';

export interface CatalogueOptions {
  /** A store from which nothing came for so long is told as silent; milliseconds, default 10,000. */
  readonly patienceMs?: number;
  /** And is not asked again for so long; milliseconds, default 15,000. */
  readonly restMs?: number;
  /** Manifests that are remembered; default 4,096, some 10 MB. */
  readonly remembered?: number;
}

/** Manifests of adopted snapshots fetched at once from one store. */
const CONCURRENCY = 8;
/** A store full of broken manifests is told in so many lines. */
const MAX_PROBLEMS = 10;

interface Shelf extends Listing {
  readonly problems: readonly StoreProblem[];
}

/**
 * `storesOf` names the stores of a cluster. Manifests never change, so one that was read is remembered: the listing's key,
 * size and time say whether it is still the same.
 */
export function catalogue(
  stores: readonly SnapshotStore[],
  storesOf: (cluster: string) => readonly string[],
  { patienceMs = 10_000, restMs = 15_000, remembered = 4096 }: CatalogueOptions = {},
): SnapshotCatalogue {
  const manifests = boundedMemory<ParsedManifest>(remembered);
  const patience = patienceWith(patienceMs, restMs);
  const underWay = new Map<string, Promise<Shelf>>();

  const readManifest = async (store: SnapshotStore, manifest: Listed): Promise<ParsedManifest> => {
    const { key, size, modifiedAt } = manifest;
    const identity = `${store.name} ${key} ${size} ${modifiedAt.getTime()}`;
    const known = manifests.get(identity);
    if (known !== undefined) return known;
    const read = await patience(store.name, () => fetchManifest(store, manifest));
    manifests.set(identity, read);
    return read;
  };

  /** Only of adopted snapshots, which are few, something has to be read before they can be listed. */
  const readShelf = async (store: SnapshotStore, cluster: string): Promise<Shelf> => {
    const objects = await patience(store.name, (alive) => listAll(store, clusterPrefix(cluster), alive));
    const adopted = new Map<string, string>();
    const problems: StoreProblem[] = [];
    const toRead = objects.filter(({ key }) => readManifestKey(cluster, key)?.isAdopted === true);
    await forEachOf(toRead, CONCURRENCY, async (manifest) => {
      try {
        const found = await readManifest(store, manifest);
        if (found.ok) adopted.set(manifest.key, found.record.object.key);
        else problems.push(unusable(store, manifest.key, found.problem));
      } catch (error) {
        if (!isNotThere(error)) problems.push(problemOf(store, error));
      }
    });
    return { store: store.name, objects, adopted, problems: shortened(store, problems) };
  };
  const readOrTell = (store: SnapshotStore, cluster: string): Promise<Shelf> =>
    readShelf(store, cluster).catch((error: unknown) => ({
      store: store.name,
      objects: [],
      problems: [problemOf(store, error)],
    }));
  const shelfOf = (store: SnapshotStore, cluster: string): Promise<Shelf> => {
    const name = `${store.name}/${cluster}`;
    const shelf = underWay.get(name) ?? readOrTell(store, cluster).finally(() => underWay.delete(name));
    underWay.set(name, shelf);
    return shelf;
  };

  return {
    async entries(cluster) {
      const names = storesOf(cluster);
      const shelves = await Promise.all(
        stores.filter(({ name }) => names.includes(name)).map((store) => shelfOf(store, cluster)),
      );
      return { ...readListings(cluster, shelves), problems: shelves.flatMap(({ problems }) => problems) };
    },
    async record(entry) {
      const problems: StoreProblem[] = [];
      for (const copy of entry.copies) {
        const store = stores.find(({ name }) => name === copy.store);
        if (store === undefined || copy.isDamaged || copy.manifest === undefined) continue;
        try {
          const found = await readManifest(store, copy.manifest);
          const problem = found.ok ? misplaced(found.record, entry, copy) : found.problem;
          if (found.ok && problem === undefined) return { record: found.record, problems };
          problems.push(unusable(store, copy.manifest.key, problem ?? ''));
        } catch (error) {
          problems.push(problemOf(store, error));
        }
      }
      throw noManifest(entry, problems);
    },
  };
}

async function listAll(store: SnapshotStore, prefix: string, alive: () => boolean): Promise<readonly Listed[]> {
  const objects: Listed[] = [];
  for await (const { key, size, modifiedAt } of store.list(prefix)) {
    objects.push({ key, size, modifiedAt });
    if (!alive()) break;
  }
  return objects;
}

async function fetchManifest(store: SnapshotStore, { key, size }: Listed): Promise<ParsedManifest> {
  if (size > MAX_MANIFEST_SIZE) return { ok: false, problem: `${size} bytes long, which no manifest is` };
  return parseManifest(Buffer.from(await store.get(key)).toString('utf8'));
}

/** Why a well-formed manifest is not of this snapshot, or has lost what it speaks of. */
function misplaced(record: SnapshotRecord, entry: SnapshotEntry, copy: SnapshotCopy): string | undefined {
  if (record.cluster !== entry.cluster || record.id !== entry.id || copy.manifest?.key !== manifestKeyFor(entry))
    return 'it belongs to another name';
  const { key, size } = record.object;
  if (copy.key !== key) return `its object ${key} is missing`;
  return copy.size === size ? undefined : `its object ${key} has ${copy.size} bytes instead of ${size}`;
}

function noManifest({ id, cluster, origin, copies }: SnapshotEntry, problems: readonly StoreProblem[]): KeyturnError {
  if (origin === 'other')
    return new KeyturnError(
      'store.not-found',
      `Snapshot ${id} is another tool's, and has not been looked through yet.`,
      {
        hint: `Have it verified first: then its hash and its revision are known, and it can be restored.`,
      },
    );
  if (copies.every(({ isDamaged }) => isDamaged)) {
    const where = copies.map(({ store }) => store).join(', ');
    return new KeyturnError('snapshot.damaged', `Every copy of ${id} of ${cluster} was found damaged (in ${where}).`, {
      hint: 'Choose another snapshot; have this one verified to see what is wrong with each copy.',
    });
  }
  const why = problems.map(({ message }) => message).join(' ');
  return new KeyturnError(
    'store.not-found',
    `No good manifest of snapshot ${id} of ${cluster} can be read. ${why}`.trim(),
    {
      hint: problems[0]?.hint ?? 'Choose another snapshot.',
    },
  );
}

// ── Problems ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Throws what is no answer of a store: that is a bug, and not hidden. */
function problemOf({ name }: SnapshotStore, error: unknown): StoreProblem {
  if (!(error instanceof KeyturnError)) throw error;
  return { store: name, message: error.message, hint: error.hint };
}

/** Removed since it was listed. */
function isNotThere(error: unknown): boolean {
  return error instanceof KeyturnError && error.code === 'store.not-found';
}

function unusable(store: SnapshotStore, key: string, problem: string): StoreProblem {
  return {
    store: store.name,
    message: `Manifest ${key} in store ${store.name} is not usable: ${problem}.`,
    hint: 'Remove it, or find out who changed it; its snapshot is not offered.',
  };
}

function shortened(store: SnapshotStore, problems: readonly StoreProblem[]): readonly StoreProblem[] {
  const sorted = [...problems].sort((a, b) => (a.message < b.message ? -1 : 1));
  if (sorted.length <= MAX_PROBLEMS) return sorted;
  const more = sorted.length - MAX_PROBLEMS;
  const rest = { store: store.name, message: `${more} more manifests in store ${store.name} are not usable.` };
  return [...sorted.slice(0, MAX_PROBLEMS), { ...rest, hint: 'Look at the ones named first.' }];
}

// ── Patience and memory ──────────────────────────────────────────────────────────────────────────────────────────────

/** Work on one store. `alive` says that something came; it gives false once nobody waits any more. */
type Patience = <T>(store: string, work: (alive: () => boolean) => Promise<T>) => Promise<T>;

/**
 * Gives work up from which nothing came for `patienceMs`, with store.unreachable; then refuses more work on that store for
 * `restMs`, so that many who ask one after the other do not all wait. Work that still comes to an end ends the rest.
 */
function patienceWith(patienceMs: number, restMs: number): Patience {
  const restsUntil = new Map<string, number>();
  return (store, work) => {
    const silent = new KeyturnError(
      'store.unreachable',
      `Nothing came from store ${store} for ${patienceMs / 1000} s.`,
      {
        hint: 'Look at it and at the network to it; "keyturn check" tries every store.',
      },
    );
    if (performance.now() < (restsUntil.get(store) ?? 0)) return Promise.reject(silent);
    return new Promise((resolve, reject) => {
      let waiting = true;
      const timer = setTimeout(() => {
        waiting = false;
        restsUntil.set(store, performance.now() + restMs);
        reject(silent);
      }, patienceMs);
      const alive = (): boolean => {
        if (waiting) timer.refresh();
        return waiting;
      };
      const done = (): void => {
        clearTimeout(timer);
        restsUntil.delete(store);
      };
      // What was rejected already stays so.
      work(alive).finally(done).then(resolve, reject);
    });
  };
}

/** The entries that were used last, `most` at most. */
function boundedMemory<T>(most: number): { get(key: string): T | undefined; set(key: string, value: T): void } {
  const entries = new Map<string, T>();
  const set = (key: string, value: T): void => {
    entries.delete(key);
    entries.set(key, value);
    const [oldest] = entries.keys();
    if (entries.size > most && oldest !== undefined) entries.delete(oldest);
  };
  return {
    get(key) {
      const value = entries.get(key);
      if (value !== undefined) set(key, value);
      return value;
    },
    set,
  };
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
