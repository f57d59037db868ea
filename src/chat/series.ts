/** Owns messages that follow each other: one is edited as long as it fits, then a new one rings the bell. */
import type { RetentionPolicy } from '../domain/retention.ts';
import { remember } from './remember.ts';
import type { RememberOptions } from './remember.ts';

/** Which message of a series is the newest; kept beside them, never delivered. */
export interface SeriesHead {
  readonly kind: 'series';
  readonly newest: number;
  /** The policy of the last run that had nothing to ask. */
  readonly policy?: RetentionPolicy | undefined;
}

const FIRST: SeriesHead = { kind: 'series', newest: 1 };

/** The key of the newest message of a series, and what is kept of the series. */
export async function newestOf(
  { sentMessages }: RememberOptions,
  series: string,
): Promise<{ readonly key: string; readonly head: SeriesHead }> {
  const head = ((await sentMessages.read(series))?.state as SeriesHead | undefined) ?? FIRST;
  return { key: `${series}-${head.newest}`, head };
}

/** Makes room for one more message after number `after`; safe twice. */
export async function beginNext(options: RememberOptions, series: string, after: number): Promise<string> {
  const head = await changeHead(options, series, (before) =>
    before.newest > after ? before : { ...before, newest: after + 1 },
  );
  return `${series}-${head.newest}`;
}

export async function changeHead(
  options: RememberOptions,
  series: string,
  change: (before: SeriesHead) => SeriesHead,
): Promise<SeriesHead> {
  const changed = await remember<SeriesHead>(
    options,
    series,
    (before) => change(before ?? FIRST),
    async () => undefined,
  );
  return changed ?? FIRST;
}
