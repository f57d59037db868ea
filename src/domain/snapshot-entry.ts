/**
 * Owns what the names of objects alone tell of the snapshots of a cluster: which there are, where their copies lie, which are
 * held and which are damaged. A listing is enough for it; of ten thousand snapshots no manifest is read.
 */
import {
  clusterPrefix,
  DAMAGE_SUFFIX,
  damageKey,
  HOLD_SUFFIX,
  holdKey,
  isOwnObject,
  MANIFEST_SUFFIX,
  manifestKey,
  manifestKeyOf,
} from './snapshot.ts';

/** One object in one store. */
export interface SnapshotCopy {
  readonly store: string;
  readonly key: string;
  /** Bytes as the store lists them. */
  readonly size: number;
  /** A later look found it damaged: it does not count. */
  readonly isDamaged: boolean;
}

/** A snapshot by its names. It has a manifest in each of its copies' stores; what the manifest says is not known yet. */
export interface SnapshotEntry {
  readonly id: string;
  readonly cluster: string;
  /** ISO time, to the second. */
  readonly takenAt: string;
  /** 'other': another tool's, without a manifest; `id` is then its name below the cluster's prefix. */
  readonly origin: 'keyturn' | 'other';
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

/** Snapshots, newest first, and strays of one cluster, from the listings of its stores. */
export function readListings(
  cluster: string,
  listings: readonly { readonly store: string; readonly objects: readonly Listed[] }[],
): { readonly entries: readonly SnapshotEntry[]; readonly strays: readonly Stray[] } {
  const entries = new Map<string, SnapshotEntry>();
  const strays: Stray[] = [];
  // A hold in one store holds the copies in all.
  const anywhere = new Set(listings.flatMap(({ objects }) => objects.map(({ key }) => key)));
  for (const { store, objects } of listings) {
    const byKey = new Map(objects.map((object) => [object.key, object]));
    const withObject = new Set<string>();
    for (const object of objects) {
      if (!isOwnObject(cluster, object.key)) continue;
      const manifest = manifestKeyOf(object.key);
      if (!byKey.has(manifest)) {
        strays.push({ store, ...object, kind: 'object-without-manifest' });
        continue;
      }
      withObject.add(manifest);
      const id = manifest.slice(clusterPrefix(cluster).length, -MANIFEST_SUFFIX.length);
      const copy = { store, key: object.key, size: object.size, isDamaged: byKey.has(damageKey(cluster, id)) };
      const known = entries.get(id);
      entries.set(id, {
        id,
        cluster,
        takenAt: takenAtOf(id),
        origin: 'keyturn',
        copies: [...(known?.copies ?? []), copy],
        isHeld: anywhere.has(holdKey(cluster, id)),
      });
    }
    for (const object of objects) {
      const isManifest = object.key.endsWith(MANIFEST_SUFFIX) && object.key === manifestKeyOfId(cluster, object.key);
      if (isManifest && !withObject.has(object.key)) strays.push({ store, ...object, kind: 'manifest-without-object' });
      const id = sidecarId(cluster, object.key);
      if (id !== undefined && !byKey.has(manifestKey(cluster, id)))
        strays.push({ store, ...object, kind: 'sidecar-without-manifest' });
    }
  }
  return { entries: [...entries.values()].sort(newestFirst), strays };
}

/** The time in `20261121T060000Z-17`, as ISO. */
export function takenAtOf(id: string): string {
  const [, y = '', mo = '', d = '', h = '', m = '', s = ''] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(id) ?? [];
  return `${y}-${mo}-${d}T${h}:${m}:${s}.000Z`;
}

/** What has to go with a snapshot, the manifest first: until its object is gone too, it is only a stray. */
export function keysOf({ cluster, id }: Pick<SnapshotEntry, 'cluster' | 'id'>, object: string): readonly string[] {
  return [
    manifestKey(cluster, id),
    object,
    ...[HOLD_SUFFIX, DAMAGE_SUFFIX].map((s) => `${clusterPrefix(cluster)}${id}${s}`),
  ];
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

function manifestKeyOfId(cluster: string, key: string): string | undefined {
  const id = key.slice(clusterPrefix(cluster).length, -MANIFEST_SUFFIX.length);
  return /^\d{8}T\d{6}Z-\d{1,16}$/.test(id) ? manifestKey(cluster, id) : undefined;
}

function newestFirst(a: SnapshotEntry, b: SnapshotEntry): number {
  if (a.takenAt !== b.takenAt) return a.takenAt < b.takenAt ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}
