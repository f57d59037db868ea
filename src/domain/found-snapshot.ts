/** Owns what Keyturn writes of another tool's snapshot that it has read through: a manifest in which what is not known is not made up. */
import { createHash } from 'node:crypto';
import { revisionInName } from './other-snapshots.ts';
import type { SnapshotEntry } from './snapshot-entry.ts';
import type { CheckedSnapshot } from './snapshot-check.ts';
import { clusterPrefix, MANIFEST_FORMAT, PLAIN, snapshotId, type Encoding, type SnapshotRecord } from './snapshot.ts';

/** How its object is encoded, by its name; undefined: in a way that Keyturn can't read. */
export function encodingByName(key: string): Encoding | undefined {
  if (key.endsWith('.gz')) return { ...PLAIN, compression: 'gzip' };
  return /\.(zlib|lzw|zst|xz|bz2|age|gpg|enc)$/.test(key) ? undefined : PLAIN;
}

/** Its id from here on. The same object gives the same id, whoever finds it: two replicas write one manifest. */
export function foundId({ takenAt, copies }: Pick<SnapshotEntry, 'takenAt' | 'copies'>): string {
  const digest = createHash('sha256')
    .update(copies[0]?.key ?? '')
    .digest('hex');
  return snapshotId(new Date(takenAt), Number(BigInt(`0x${digest.slice(0, 12)}`)));
}

/** Depends on nothing but the object and who wanted it taken up, so that another attempt writes the same text. */
export function foundRecord(
  entry: Pick<SnapshotEntry, 'cluster' | 'takenAt' | 'copies'>,
  stored: { readonly size: number; readonly sha256: string },
  content: CheckedSnapshot,
  { user, version }: { readonly user: string; readonly version: string },
): SnapshotRecord {
  const id = foundId(entry);
  const key = entry.copies[0]?.key ?? '';
  const revision = revisionInName(key.slice(clusterPrefix(entry.cluster).length)) ?? '0';
  return {
    format: MANIFEST_FORMAT,
    id,
    cluster: entry.cluster,
    clusterId: '0',
    member: { id: '0', name: 'unknown', node: 'unknown', isLeader: false },
    etcdVersion: 'unknown',
    keyturnVersion: version,
    revisionBefore: revision,
    revisionAfter: revision,
    keys: '0',
    object: { key, ...stored },
    encoding: encodingByName(key) ?? PLAIN,
    ...content,
    source: 'found',
    takenAt: entry.takenAt,
    durationMs: 0,
    operation: `found-${id}`,
    trigger: { kind: 'person', user },
    checks: ['sha256-trailer', 'size', 'bolt-magic'],
  };
}
