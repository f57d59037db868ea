/** A catalogue of given snapshots, for what asks one; the adapter's own rules are tested on stores. */
import { KeyturnError } from '../../src/domain/error.ts';
import type { StoredSnapshot } from '../../src/domain/snapshot.ts';
import type { SnapshotEntry } from '../../src/domain/snapshot-entry.ts';
import type { SnapshotCatalogue, StoreProblem } from '../../src/ports.ts';

type Found = { readonly snapshots: readonly StoredSnapshot[]; readonly problems: readonly StoreProblem[] };

/** `find` may throw or wait as a catalogue that is asked for a list would; records are those of the last answer. */
export function fakeCatalogue(find: (cluster: string) => Found | Promise<Found>): SnapshotCatalogue {
  const last = new Map<string, Found>();
  return {
    async entries(cluster) {
      const answer = await find(cluster);
      const { snapshots, problems } = answer;
      last.set(cluster, answer);
      return { entries: snapshots.map(entryOf), strays: [], increments: 0, problems };
    },
    async record(entry) {
      const { snapshots } = last.get(entry.cluster) ?? (await find(entry.cluster));
      const found = snapshots.find(({ record }) => record.id === entry.id);
      if (found !== undefined) return { record: found.record, problems: [] };
      throw new KeyturnError('store.not-found', `There is no snapshot ${entry.id}.`, { hint: 'Choose another one.' });
    },
  };
}

export function entryOf({ record, stores }: StoredSnapshot): SnapshotEntry {
  const { key, size } = record.object;
  return {
    id: record.id,
    cluster: record.cluster,
    takenAt: record.takenAt,
    origin: 'keyturn',
    copies: stores.map((store) => ({ store, key, size, isDamaged: false })),
    isHeld: false,
  };
}
