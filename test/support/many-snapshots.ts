/** Owns how a store is filled with very many small snapshots, as Keyturn itself would have named and described them. */
import {
  manifestKey,
  objectKey,
  serialiseManifest,
  snapshotId,
  type SnapshotRecord,
} from '../../src/domain/snapshot.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';

const BODY = Buffer.from('a few bytes');
const AT_ONCE = 16;
const HOUR_MS = 3_600_000;

/** One an hour, the newest at `newest`; `n` counts from the newest. */
export function hourlyRecord(cluster: string, n: number, newest: Date): SnapshotRecord {
  const takenAt = new Date(newest.getTime() - n * HOUR_MS);
  const id = snapshotId(takenAt, 100_000 - n);
  const object = { ...snapshotRecord().object, key: objectKey(cluster, id), size: BODY.length };
  return snapshotRecord({ id, cluster, takenAt: takenAt.toISOString(), object, size: BODY.length });
}

/** Resolves when all of them are in the store. */
export async function writeSnapshots(
  store: SnapshotStore,
  cluster: string,
  count: number,
  newest: Date,
): Promise<void> {
  const todo = Array.from({ length: count }, (_, n) => n).values();
  const lane = async (): Promise<void> => {
    for (const n of todo) {
      const record = hourlyRecord(cluster, n, newest);
      await store.put(record.object.key, BODY);
      await store.put(manifestKey(cluster, record.id), Buffer.from(serialiseManifest(record)));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}
