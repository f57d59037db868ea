/**
 * Owns which stored copies are read again, and when: those never read first, newest first; then those read longest ago. Spread
 * over the whole time in which each is to be read once, and never in one burst. Pure.
 */
import { SCRUB_EVERY_MS } from './job.ts';
import type { SnapshotEntry } from './snapshot-entry.ts';

/** A scrub ends after so long, so that what people ask for never waits longer than that; the next one goes on. */
export const SCRUB_FOR_MS = 4 * 60_000;
/** Copies are read that much more often than they must be, so that a day without Keyturn makes none of them late. */
const HASTE = 1.5;

export interface ScrubCopy {
  readonly entry: SnapshotEntry;
  readonly store: string;
  readonly size: number;
  /** Or put off as if it had been read then. Undefined: never, as far as is known. */
  readonly lastRead: Date | undefined;
}

/** The name of a copy in what is remembered of reads. */
export function copyName({ store, key }: { readonly store: string; readonly key: string }): string {
  return `${store}/${key}`;
}

/** The name under which the turn of a copy that could not be read is put off: it is no time at which it was read. */
export function putOffName(copy: { readonly store: string; readonly key: string }): string {
  return `put off ${copyName(copy)}`;
}

/** Every copy that can be read: those with a manifest. */
export function copiesToRead(
  entries: readonly SnapshotEntry[],
  lastReads: ReadonlyMap<string, Date>,
): readonly ScrubCopy[] {
  return entries
    .filter(({ origin }) => origin !== 'other')
    .flatMap((entry) =>
      entry.copies.map((copy) => ({
        entry,
        store: copy.store,
        size: copy.size,
        lastRead: later(lastReads.get(copyName(copy)), lastReads.get(putOffName(copy))),
      })),
    );
}

/** Which of `copies` one scrub reads, in order. It may stop earlier, when its time is up. */
export function dueCopies(copies: readonly ScrubCopy[], everyMs: number, now: Date): readonly ScrubCopy[] {
  const age = ({ lastRead }: ScrubCopy): number => now.getTime() - (lastRead?.getTime() ?? -Infinity);
  const due = copies.filter((copy) => age(copy) > everyMs / HASTE).sort(neverReadFirst);
  // Late ones are not spread any more; of the others each scrub reads its share.
  const share = totalBytes(copies) * (SCRUB_EVERY_MS / (everyMs / HASTE));
  const chosen: ScrubCopy[] = [];
  let bytes = 0;
  for (const copy of due) {
    const isLate = copy.lastRead !== undefined && age(copy) > everyMs;
    if (chosen.length > 0 && bytes >= share && !isLate) continue;
    chosen.push(copy);
    bytes += copy.size;
  }
  return chosen;
}

/** A copy that its store could not give is read again after a day; until then others have their turn. */
export function readAgainTomorrow(everyMs: number, now: Date): Date {
  return new Date(now.getTime() - Math.max(0, everyMs / HASTE - 86_400_000));
}

/** How long one round takes at the rate; longer than `everyMs`, and not every copy can be read in time. */
export function roundMs(copies: readonly ScrubCopy[], rateLimit: number): number {
  return (totalBytes(copies) / rateLimit) * 1000 * (SCRUB_EVERY_MS / SCRUB_FOR_MS);
}

export function totalBytes(copies: readonly ScrubCopy[]): number {
  return copies.reduce((sum, { size }) => sum + size, 0);
}

function later(a: Date | undefined, b: Date | undefined): Date | undefined {
  return a === undefined || (b !== undefined && b > a) ? b : a;
}

function neverReadFirst(a: ScrubCopy, b: ScrubCopy): number {
  const [readA, readB] = [a.lastRead?.getTime() ?? -Infinity, b.lastRead?.getTime() ?? -Infinity];
  if (readA !== readB) return readA - readB;
  if (a.entry.takenAt !== b.entry.takenAt) return a.entry.takenAt < b.entry.takenAt ? 1 : -1;
  return `${a.entry.id} ${a.store}` < `${b.entry.id} ${b.store}` ? -1 : 1;
}
