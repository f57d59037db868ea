/**
 * Owns what the manifests of one snapshot say, store by store, and whose word counts where they differ. Every store should
 * have the same text, byte for byte.
 */
import { KeyturnError, toProblem, type Problem } from '../../domain/error.ts';
import { MAX_MANIFEST_SIZE, parseManifest, type SnapshotRecord } from '../../domain/snapshot.ts';
import { manifestKeyFor, type SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { SnapshotStore } from '../../ports.ts';

export type FoundManifest = { readonly store: string } & (
  | { readonly kind: 'good'; readonly text: string; readonly record: SnapshotRecord }
  /** Read twice, and wrong in the same way. */
  | { readonly kind: 'bad'; readonly found: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unknown'; readonly problem: Problem }
);

/** One for each copy whose store is configured. Never throws for a store. */
export function readManifests(
  stores: ReadonlyMap<string, SnapshotStore>,
  entry: SnapshotEntry,
): Promise<readonly FoundManifest[]> {
  const held = entry.copies.flatMap((copy) => {
    const store = stores.get(copy.store);
    return store === undefined ? [] : [{ store, object: copy.key }];
  });
  return Promise.all(held.map(({ store, object }) => readManifest(store, entry, object)));
}

/** `object`: the key that it must speak of. */
export async function readManifest(store: SnapshotStore, entry: SnapshotEntry, object: string): Promise<FoundManifest> {
  try {
    const first = await lookOnce(store, entry, object);
    if (first.kind !== 'bad') return first;
    const second = await lookOnce(store, entry, object);
    if (second.kind !== 'bad' || second.text === first.text) return second;
    return { store: store.name, kind: 'unknown', problem: differs(store.name, 'the manifest') };
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
    if (error.code === 'store.not-found') return { store: store.name, kind: 'missing' };
    return { store: store.name, kind: 'unknown', problem: toProblem(error, entry.id) };
  }
}

type Look = FoundManifest & { readonly text?: string };

async function lookOnce(store: SnapshotStore, entry: SnapshotEntry, object: string): Promise<Look> {
  const key = manifestKeyFor(entry);
  const at = await store.stat(key);
  if (at === undefined) return { store: store.name, kind: 'missing' };
  const bad = (text: string, found: string): Look => ({ store: store.name, kind: 'bad', text, found });
  if (at.size > MAX_MANIFEST_SIZE) return bad(String(at.size), `its manifest has ${at.size} bytes, which none has`);
  const body = Buffer.from(await store.get(key));
  const text = body.toString('utf8');
  // Bytes that are no UTF-8 would come out as something else.
  if (!Buffer.from(text).equals(body)) return bad(body.toString('hex'), 'its manifest is no text');
  const parsed = parseManifest(text);
  if (!parsed.ok) return bad(text, `its manifest is not good: ${parsed.problem}`);
  const { record } = parsed;
  if (record.cluster !== entry.cluster || record.id !== entry.id)
    return bad(text, 'its manifest is of another snapshot');
  if (record.object.key !== object) return bad(text, `its manifest speaks of another object, ${record.object.key}`);
  return { store: store.name, kind: 'good', text, record };
}

/** What counts as the manifest of the copy in `store`. */
export type Judged =
  | { readonly kind: 'agreed'; readonly text: string; readonly record: SnapshotRecord }
  | { readonly kind: 'damaged' | 'disputed'; readonly found: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unknown'; readonly problem: Problem };

/** The word of more than half of the good ones counts; where nobody has that, nobody is believed. */
export function judge(manifests: readonly FoundManifest[], store: string): Judged {
  const own = manifests.find((each) => each.store === store);
  if (own === undefined || own.kind === 'missing') return { kind: 'missing' };
  if (own.kind === 'unknown') return { kind: 'unknown', problem: own.problem };
  if (own.kind === 'bad') return { kind: 'damaged', found: own.found };
  const good = manifests.filter((each) => each.kind === 'good');
  const same = good.filter(({ text }) => text === own.text);
  if (same.length === good.length) return { kind: 'agreed', text: own.text, record: own.record };
  const others = good.filter(({ text }) => text !== own.text);
  const found = `its manifest says something else than in store ${others.map((each) => each.store).join(', ')}`;
  if (same.length * 2 > good.length) return { kind: 'agreed', text: own.text, record: own.record };
  const isOutvoted = others.some(({ text }) => good.filter((each) => each.text === text).length * 2 > good.length);
  return { kind: isOutvoted ? 'damaged' : 'disputed', found };
}

/** A store that gives other bytes with each read says nothing of what it holds. */
export function differs(store: string, what: string): Problem {
  return {
    code: 'store.corrupt',
    message: `Store ${store} gave ${what} differently at each read.`,
    hint: 'Look at the network to the store, and at its memory and disks.',
  };
}
