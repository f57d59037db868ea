/** Owns the audit's copy in a store: the same lines in pieces, each an object that is never written again. */
import { joinSegments } from '../../domain/audit.ts';
import type { SnapshotStore } from '../../ports.ts';
import { decode, readAuditFolder, SUFFIX } from './folder.ts';

/** Beside the folders of the clusters in a store. */
const PREFIX = 'keyturn-audit/';
/** `<chain>/<first>-<last>.jsonl` */
const SEGMENT = /^([A-Za-z0-9-]+)\/(\d{9})-(\d{9})\.jsonl$/;
/** Objects of the store that are read at the same time: there may be tens of thousands. */
const SIDE_BY_SIDE = 16;

/** One entry, as it lies on disk and in the store. */
export interface Line {
  readonly chain: string;
  readonly seq: number;
  readonly text: string;
}

/** Puts into the store what other processes' chains have on this disk and not there. */
export async function sealOthers(folder: string, store: SnapshotStore, own: string | undefined): Promise<void> {
  const sealed = new Map<string, number>();
  for await (const { chain, last } of segmentsIn(store)) sealed.set(chain, Math.max(last, sealed.get(chain) ?? 0));
  for (const [name, text] of await readAuditFolder(folder)) {
    if (name === own) continue;
    const done = sealed.get(name) ?? 0;
    const lines = text.split('\n').slice(0, -1);
    const rest = lines.map((line, i) => ({ chain: name, seq: i + 1, text: `${line}\n` })).slice(done);
    if (rest.length > 0) await putSegment(store, rest);
  }
}

export async function putSegment(store: SnapshotStore, lines: readonly Line[]): Promise<void> {
  const [first, last] = [lines.at(0), lines.at(-1)];
  if (first === undefined || last === undefined) return;
  const number = (seq: number): string => String(seq).padStart(9, '0');
  const key = `${PREFIX}${first.chain}/${number(first.seq)}-${number(last.seq)}${SUFFIX}`;
  await store.put(key, Buffer.from(lines.map(({ text }) => text).join('')));
}

interface Segment {
  readonly key: string;
  readonly chain: string;
  readonly first: number;
  readonly last: number;
}

async function* segmentsIn(store: SnapshotStore): AsyncGenerator<Segment> {
  for await (const { key } of store.list(PREFIX)) {
    const [, chain, first, last] = SEGMENT.exec(key.slice(PREFIX.length)) ?? [];
    if (chain !== undefined) yield { key, chain, first: Number(first), last: Number(last) };
  }
}

/** The same out of the store. Throws store.*. */
export async function readAuditStore(store: SnapshotStore): Promise<Map<string, string>> {
  const segments: Segment[] = [];
  for await (const segment of segmentsIn(store)) segments.push(segment);
  const pieces = new Map<string, { readonly first: number; readonly text: string }[]>();
  for (let at = 0; at < segments.length; at += SIDE_BY_SIDE) {
    const some = segments.slice(at, at + SIDE_BY_SIDE);
    const texts = await Promise.all(some.map(async ({ key }) => decode(await store.get(key))));
    for (const [i, { chain, first }] of some.entries())
      pieces.set(chain, [...(pieces.get(chain) ?? []), { first, text: texts[i] ?? '' }]);
  }
  return new Map([...pieces].map(([chain, segments]) => [chain, joinSegments(segments)]));
}
