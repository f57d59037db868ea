/**
 * Owns the snapshot record (its manifest) and the names of objects in a store.
 * A snapshot without a manifest is not a snapshot: the manifest is written last.
 */

/** Version of the manifest's format; readers refuse what they don't know. */
export const MANIFEST_FORMAT = 1;

/** The manifest, as stored in JSON. uint64 values are decimal strings, times are ISO 8601 in UTC, sizes bytes. */
export interface SnapshotRecord {
  readonly format: typeof MANIFEST_FORMAT;
  /** Unique within the cluster, sorts by time: `20261121T060000Z-17`. */
  readonly id: string;
  readonly cluster: string;
  /** uint64 as decimal. */
  readonly clusterId: string;
  readonly member: { readonly id: string; readonly name: string; readonly node: string; readonly isLeader: boolean };
  readonly etcdVersion: string;
  readonly keyturnVersion: string;
  /** Store revision just before and just after the stream, decimal: the snapshot lies in between. */
  readonly revisionBefore: string;
  readonly revisionAfter: string;
  /** Live keys just before the stream. */
  readonly keys: string;
  /** The stored object. */
  readonly object: { readonly key: string; readonly size: number; readonly sha256: string };
  /** The snapshot as etcd gave it, trailer included; equal to `object` without compression and encryption. */
  readonly size: number;
  readonly sha256: string;
  /** How the bytes were had: etcd's stream through SSH, or `etcdctl snapshot save` on the node. */
  readonly source: 'stream' | 'etcdctl';
  /** Start of the read; RPO is held against this. */
  readonly takenAt: string;
  readonly durationMs: number;
  readonly operation: string;
  readonly trigger: Trigger;
  /** Names of the checks passed before the manifest was written. */
  readonly checks: readonly ('sha256-trailer' | 'size' | 'bolt-magic' | 'read-back')[];
}

/** Why a backup was taken. */
export type Trigger =
  | { readonly kind: 'schedule'; readonly dueAt: string; readonly caughtUp: boolean }
  | { readonly kind: 'person'; readonly user: string };

/** A snapshot and the stores that hold a copy with a manifest. */
export interface StoredSnapshot {
  readonly record: SnapshotRecord;
  readonly stores: readonly string[];
}

/** `20261121T060000Z-17`: the time to the second, and the fencing token that makes it unique. */
export function snapshotId(takenAt: Date, fencingToken: number): string {
  return `${takenAt.toISOString().replace(/[-:]|\.\d+/g, '')}-${fencingToken}`;
}

export function clusterPrefix(cluster: string): string {
  return `${cluster}/`;
}

export function objectKey(cluster: string, id: string): string {
  return `${clusterPrefix(cluster)}${id}.db`;
}

export const MANIFEST_SUFFIX = '.manifest.json';

export function manifestKey(cluster: string, id: string): string {
  return `${clusterPrefix(cluster)}${id}${MANIFEST_SUFFIX}`;
}

/** Keyturn's own objects of this cluster; whatever else lies beside them is somebody else's. */
export function isOwnObject(cluster: string, key: string): boolean {
  const prefix = clusterPrefix(cluster);
  return key.startsWith(prefix) && /^\d{8}T\d{6}Z-\d+\.db$/.test(key.slice(prefix.length));
}

/** The manifest that makes this object a snapshot. */
export function manifestKeyOf(objectKey: string): string {
  return objectKey.replace(/\.db$/, MANIFEST_SUFFIX);
}

/** Only verified snapshots count against the RPO: etcd's own hash fitted what was read. */
export function isVerified(record: SnapshotRecord): boolean {
  return record.checks.includes('sha256-trailer');
}
