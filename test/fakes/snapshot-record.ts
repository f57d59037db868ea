/** A snapshot record that is right in every field; tests change what they are about. */
import { objectKey, PLAIN, type SnapshotRecord } from '../../src/domain/snapshot.ts';

/** `object.key` follows `cluster` and `id` unless it is given. */
export function snapshotRecord(changes: Partial<SnapshotRecord> = {}): SnapshotRecord {
  const cluster = changes.cluster ?? 'prod';
  const id = changes.id ?? '20261121T060000Z-17';
  const sha256 = changes.sha256 ?? 'a'.repeat(64);
  return {
    format: 2,
    id,
    cluster,
    clusterId: '14841639068965178418',
    member: { id: '10276657743932975437', name: 'etcd-1', node: 'cp1', isLeader: false },
    etcdVersion: '3.5.16',
    keyturnVersion: '0.1.0',
    revisionBefore: '4001',
    revisionAfter: '4007',
    keys: '2000',
    object: { key: objectKey(cluster, id, changes.encoding), size: 100, sha256 },
    encoding: PLAIN,
    size: 100,
    sha256,
    source: 'stream',
    takenAt: '2026-11-21T06:00:00.000Z',
    durationMs: 812,
    operation: 'backup-prod-20261121T060000Z',
    trigger: { kind: 'schedule', dueAt: '2026-11-21T06:00:00.000Z', caughtUp: false },
    checks: ['sha256-trailer', 'size', 'bolt-magic'],
    ...changes,
  };
}
