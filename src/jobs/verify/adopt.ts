/**
 * Owns how another tool's snapshot becomes one that can be restored: every copy is read to its end, and where etcd's own hash
 * fits a manifest is written beside it. What has no such hash is not taken up: a torn copy of a database file looks whole.
 */
import type { CheckedCopy, CopyVerdict } from '../../domain/copy-verdict.ts';
import { toProblem } from '../../domain/error.ts';
import { encodingByName, foundId, foundRecord } from '../../domain/found-snapshot.ts';
import { adoptedManifestKey, serialiseManifest } from '../../domain/snapshot.ts';
import type { SnapshotCopy, SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { SnapshotStore } from '../../ports.ts';
import type { CopyDeps } from './deps.ts';
import { readThrough, readTwice, withPatience, type ReadOptions, type Through } from './read-copy.ts';

export interface Adoption {
  readonly copies: readonly CheckedCopy[];
  /** The snapshot's id from here on; undefined: it was not taken up. */
  readonly adoptedAs: string | undefined;
}

/** Throws only the reason of the options' signal. `user`: who wants it taken up. Safe twice. */
export async function adopt(
  deps: CopyDeps,
  entry: SnapshotEntry,
  optionsFor: (store: SnapshotStore) => ReadOptions,
  user: string,
): Promise<Adoption> {
  const read: Read[] = [];
  for (const copy of entry.copies) {
    const store = deps.stores.get(copy.store);
    if (store !== undefined) read.push(await readOther(deps, store, copy, optionsFor(store)));
  }
  const copies: CheckedCopy[] = [];
  for (const each of sameOnly(read)) copies.push(await writeManifest(deps, entry, each, user));
  const isTaken = copies.some(({ verdict, markProblem }) => verdict.kind === 'whole' && markProblem === undefined);
  return { copies, adoptedAs: isTaken ? foundId(entry) : undefined };
}

interface Read {
  readonly store: SnapshotStore;
  readonly verdict: CopyVerdict;
  /** Undefined: it is not whole. */
  readonly through: Through | undefined;
}

async function readOther(
  deps: CopyDeps,
  store: SnapshotStore,
  { key, size }: SnapshotCopy,
  options: ReadOptions,
): Promise<Read> {
  const encoding = encodingByName(key);
  if (encoding === undefined)
    return refused(store, 'it is compressed or encrypted in a way that Keyturn does not read');
  let through: Through | undefined;
  const verdict = await withPatience(deps, store, size, options, async (limited) => {
    const { read, wrong } = await readTwice(store.name, key, async () => {
      const once = await readThrough(deps, store, key, encoding, limited);
      if (once.inside.error !== undefined) throw once.inside.error;
      return { read: once, wrong: once.inside.wrong };
    });
    if (wrong !== undefined) return { kind: 'refused', found: `${wrong}${hintOn(read)}` };
    through = read;
    return { kind: 'whole', unopened: undefined };
  });
  return { store, verdict, through };
}

/** bbolt's pages are a multiple of 512 bytes, and `etcdctl snapshot save` adds the 32 of its hash. */
function hintOn({ stored }: Through): string {
  return stored.size % 512 === 0
    ? '; it ends without the hash that "etcdctl snapshot save" writes, as a copied database file does, and such a copy may be torn'
    : '';
}

/** Copies of one name must be one snapshot. */
function sameOnly(read: readonly Read[]): readonly Read[] {
  const hashes = new Set(read.flatMap(({ through }) => (through === undefined ? [] : [through.stored.sha256])));
  if (hashes.size <= 1) return read;
  return read.map((each) =>
    each.through === undefined ? each : refused(each.store, 'stores have different snapshots under this name'),
  );
}

async function writeManifest(
  deps: CopyDeps,
  entry: SnapshotEntry,
  { store, verdict, through }: Read,
  user: string,
): Promise<CheckedCopy> {
  const content = through?.inside.content;
  if (through === undefined || content === undefined) return { store: store.name, verdict, markProblem: undefined };
  const record = foundRecord(entry, through.stored, content, { user, version: deps.version });
  try {
    await store.put(adoptedManifestKey(entry.cluster, record.id), Buffer.from(serialiseManifest(record)));
    return { store: store.name, verdict, markProblem: undefined };
  } catch (error) {
    deps.log.warn({ err: error, store: store.name, snapshot: entry.id }, 'a manifest could not be written');
    return { store: store.name, verdict, markProblem: toProblem(error, record.id) };
  }
}

function refused(store: SnapshotStore, found: string): Read {
  return { store, verdict: { kind: 'refused', found }, through: undefined };
}
