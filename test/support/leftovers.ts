/** Owns what must not be in a store once all is quiet: open uploads, and objects that no manifest speaks of. */
import { isOwnObject, manifestKeyOf } from '../../src/domain/snapshot.ts';
import type { SnapshotStore } from '../../src/ports.ts';

/** One line for each leftover of this cluster; empty when the store is clean. */
export async function stillThere(store: SnapshotStore, cluster: string): Promise<string[]> {
  const keys = new Set<string>();
  for await (const { key } of store.list(`${cluster}/`)) keys.add(key);
  const found = [...keys].filter((key) => isOwnObject(cluster, key) && !keys.has(manifestKeyOf(key)));
  const lines = found.map((key) => `object without manifest: ${key}`);
  for await (const { key } of store.openUploads(`${cluster}/`)) lines.push(`open upload: ${key}`);
  return lines;
}
