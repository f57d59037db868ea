/** Owns the whole look at stored copies of a snapshot: each manifest against those of the others, each object to its end. */
import type { CopyVerdict } from '../../domain/copy-verdict.ts';
import type { SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { SnapshotStore } from '../../ports.ts';
import type { CopyDeps } from './deps.ts';
import { judge, readManifests } from './manifests.ts';
import type { Looked } from './marks.ts';
import { readObject, type ReadOptions } from './read-copy.ts';

type Deps = Pick<CopyDeps, 'stores' | 'coder' | 'clock'>;

/** Throws only the reason of `options.signal`. */
export async function lookAtCopy(
  deps: Deps,
  entry: SnapshotEntry,
  store: SnapshotStore,
  options: ReadOptions,
): Promise<CopyVerdict> {
  const judged = judge(await readManifests(deps.stores, entry), store.name);
  options.signal.throwIfAborted();
  if (judged.kind !== 'agreed') return judged;
  return readObject(deps, store, judged.record, options);
}

/** All copies in turn, but those of which a verdict is `known`. `options` may differ from store to store. */
export async function lookAtAll(
  deps: Deps,
  entry: SnapshotEntry,
  optionsFor: (store: SnapshotStore) => ReadOptions,
  known: readonly Looked[] = [],
): Promise<readonly Looked[]> {
  const looked: Looked[] = [];
  for (const store of storesOf(deps, entry)) {
    const before = known.find((each) => each.store === store);
    looked.push(before ?? { store, verdict: await lookAtCopy(deps, entry, store, optionsFor(store)) });
  }
  return looked;
}

/** The configured stores in which it has a copy. */
export function storesOf({ stores }: Pick<CopyDeps, 'stores'>, { copies }: SnapshotEntry): readonly SnapshotStore[] {
  return copies.flatMap(({ store }) => stores.get(store) ?? []);
}
