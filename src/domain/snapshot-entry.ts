/**
 * Owns what the names of objects alone tell of the snapshots of a cluster: which there are, where their copies lie, which are
 * held and which are damaged. A listing is enough for it; of ten thousand snapshots no manifest is read.
 */
import { readOtherName, toSecond } from './other-snapshots.ts';
import {
  adoptedManifestKey,
  clusterPrefix,
  damageKey,
  HOLD_SUFFIX,
  holdKey,
  isOwnObject,
  manifestKey,
  manifestKeyOf,
  readManifestKey,
} from './snapshot.ts';

/** One object in one store. */
export interface SnapshotCopy {
  readonly store: string;
  readonly key: string;
  /** Bytes as the store lists them. */
  readonly size: number;
  /** A later look found it damaged: it does not count. */
  readonly isDamaged: boolean;
  /** Its manifest as the store lists it; undefined: none lies there, or nobody looked. */
  readonly manifest?: Listed | undefined;
}

/** A snapshot by its names. What its manifest says is not known yet. */
export interface SnapshotEntry {
  readonly id: string;
  readonly cluster: string;
  /** ISO time, to the second. */
  readonly takenAt: string;
  /**
   * 'adopted': another tool's, of which Keyturn made a manifest when it looked through it. 'other': another tool's without
   * one; `id` is then its name below the cluster's prefix, and may have a `/`.
   */
  readonly origin: 'keyturn' | 'adopted' | 'other';
  /** At least one. */
  readonly copies: readonly SnapshotCopy[];
  /** Some store has a hold on it; it may have ended. */
  readonly isHeld: boolean;
}

/** What lies in one store where it should not; `key` has a partner missing. */
export interface Stray {
  readonly store: string;
  readonly key: string;
  readonly size: number;
  readonly modifiedAt: Date;
  readonly kind: 'object-without-manifest' | 'manifest-without-object' | 'sidecar-without-manifest';
}

export interface Listed {
  readonly key: string;
  readonly size: number;
  readonly modifiedAt: Date;
}

/** What one store lists of a cluster. */
export interface Listing {
  readonly store: string;
  readonly objects: readonly Listed[];
  /** By the key of an adopted snapshot's manifest: the key of its object, which only the manifest tells. */
  readonly adopted?: ReadonlyMap<string, string> | undefined;
}

export interface ReadListings {
  /** Newest first. */
  readonly entries: readonly SnapshotEntry[];
  readonly strays: readonly Stray[];
  /** Names of other tools' increments, each once: they are no snapshots, and left out of `entries`. */
  readonly increments: number;
}

/** Snapshots, newest first, and strays of one cluster, from the listings of its stores. */
export function readListings(cluster: string, listings: readonly Listing[]): ReadListings {
  const idOf = adoptedIds(cluster, listings);
  const found = listings.map((listing) => readListing(cluster, listing, idOf));
  const entries = new Map<string, SnapshotEntry>();
  // A hold in one store holds the copies in all.
  const anywhere = new Set(listings.flatMap(({ objects }) => objects.map(({ key }) => key)));
  for (const { id, takenAt, origin, copy } of found.flatMap(({ copies }) => copies)) {
    const known = entries.get(id);
    entries.set(id, {
      id,
      cluster,
      takenAt: known?.takenAt ?? takenAt,
      origin,
      copies: [...(known?.copies ?? []), copy],
      isHeld: (known?.isHeld ?? false) || anywhere.has(holdKeyFor({ cluster, id, origin }, copy.key)),
    });
  }
  return {
    entries: [...entries.values()].sort(newestFirst),
    strays: found.flatMap(({ strays }) => strays),
    increments: new Set(found.flatMap(({ increments }) => increments)).size,
  };
}

/**
 * By the key of another tool's object: the id under which it was adopted. Two replicas may have adopted it at once; then the
 * lesser id counts in every store, and the other manifest is a stray.
 */
function adoptedIds(cluster: string, listings: readonly Listing[]): ReadonlyMap<string, string> {
  const ids = new Map<string, string>();
  for (const [manifest, object] of listings.flatMap(({ adopted }) => [...(adopted ?? [])])) {
    const id = readManifestKey(cluster, manifest)?.id;
    const known = ids.get(object);
    if (id !== undefined && (known === undefined || id < known)) ids.set(object, id);
  }
  return ids;
}

interface Found {
  readonly copies: readonly (Pick<SnapshotEntry, 'id' | 'takenAt' | 'origin'> & { readonly copy: SnapshotCopy })[];
  readonly strays: readonly Stray[];
  readonly increments: readonly string[];
}

function readListing(cluster: string, { store, objects, adopted }: Listing, idOf: ReadonlyMap<string, string>): Found {
  const byKey = new Map(objects.map((object) => [object.key, object]));
  const copies: Found['copies'][number][] = [];
  const strays: Stray[] = [];
  const increments: string[] = [];
  const add = (object: Listed, of: { id: string; takenAt: string; origin: SnapshotEntry['origin'] }): void => {
    const { key, size } = object;
    const manifest = of.origin === 'other' ? undefined : byKey.get(manifestKeyFor({ cluster, ...of }));
    const isDamaged = byKey.has(damageKey(cluster, of.id));
    copies.push({ ...of, copy: { store, key, size, isDamaged, manifest } });
  };
  for (const object of objects) {
    if (isOwnObject(cluster, object.key)) {
      const manifest = manifestKeyOf(object.key);
      const id = readManifestKey(cluster, manifest)?.id;
      if (id !== undefined && byKey.has(manifest)) add(object, { id, takenAt: takenAtOf(id), origin: 'keyturn' });
      else strays.push({ store, ...object, kind: 'object-without-manifest' });
      continue;
    }
    const name = object.key.slice(clusterPrefix(cluster).length);
    const other = readOtherName(name);
    const id = idOf.get(object.key);
    if (id !== undefined) add(object, { id, takenAt: takenAtOf(id), origin: 'adopted' });
    else if (other?.kind === 'increment') increments.push(name);
    else if (other?.kind === 'snapshot')
      add(object, { id: name, takenAt: other.takenAt ?? toSecond(object.modifiedAt), origin: 'other' });
  }
  const used = new Set(copies.map(({ copy }) => copy.manifest?.key));
  for (const object of objects) {
    const id = sidecarId(cluster, object.key);
    if (id !== undefined && ![manifestKey, adoptedManifestKey].some((keyOf) => byKey.has(keyOf(cluster, id))))
      strays.push({ store, ...object, kind: 'sidecar-without-manifest' });
    const manifest = readManifestKey(cluster, object.key);
    if (manifest === undefined || used.has(object.key)) continue;
    // One that could not be read may speak of anything: who read it tells of it.
    if (manifest.isAdopted && adopted?.has(object.key) !== true) continue;
    strays.push({ store, ...object, kind: 'manifest-without-object' });
  }
  return { copies, strays, increments };
}

/** The time in `20261121T060000Z-17`, as ISO. */
export function takenAtOf(id: string): string {
  const [, y = '', mo = '', d = '', h = '', m = '', s = ''] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(id) ?? [];
  return `${y}-${mo}-${d}T${h}:${m}:${s}.000Z`;
}

/** Where the manifest of a snapshot that has one lies, in each store. */
export function manifestKeyFor({ cluster, id, origin }: Pick<SnapshotEntry, 'cluster' | 'id' | 'origin'>): string {
  return origin === 'adopted' ? adoptedManifestKey(cluster, id) : manifestKey(cluster, id);
}

/** Where a hold lies: of another tool's it goes by the object's name, which stays when it is adopted. */
export function holdKeyFor(
  { cluster, id, origin }: Pick<SnapshotEntry, 'cluster' | 'id' | 'origin'>,
  object: string,
): string {
  return origin === 'keyturn' ? holdKey(cluster, id) : `${object}${HOLD_SUFFIX}`;
}

/** What has to go with a snapshot, the manifest first: until its object is gone too, it is only a stray. */
export function keysOf(entry: Pick<SnapshotEntry, 'cluster' | 'id' | 'origin'>, object: string): readonly string[] {
  return [manifestKeyFor(entry), object, holdKeyFor(entry, object), damageKey(entry.cluster, entry.id)];
}

/** The id of the snapshot that a stray is, or was, a part of; undefined for a key that is none of Keyturn's. */
export function idOfKey(cluster: string, key: string): string | undefined {
  const name = key.startsWith(clusterPrefix(cluster)) ? key.slice(clusterPrefix(cluster).length) : '';
  return /^(\d{8}T\d{6}Z-\d{1,16})\./.exec(name)?.[1];
}

/** The id in the name of a hold or of a mark of damage. */
function sidecarId(cluster: string, key: string): string | undefined {
  const id = idOfKey(cluster, key);
  return id !== undefined && [holdKey(cluster, id), damageKey(cluster, id)].includes(key) ? id : undefined;
}

function newestFirst(a: SnapshotEntry, b: SnapshotEntry): number {
  if (a.takenAt !== b.takenAt) return a.takenAt < b.takenAt ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}
