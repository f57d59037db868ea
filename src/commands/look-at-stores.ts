/** Owns how commands look into the stores: in bounded time, with what can't be asked named instead of thrown. */
import type { ClusterSpec } from '../domain/cluster.ts';
import type { Problem } from '../domain/error.ts';
import { freshness } from '../domain/schedule.ts';
import type { Freshness } from '../domain/schedule.ts';
import type { SnapshotRecord, StoredSnapshot } from '../domain/snapshot.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import type { StoreProblem } from '../ports.ts';
import { isUsable, newestGood, withRecords } from '../stored/read-snapshots.ts';
import type { CommandDeps } from './deps.ts';
import { within } from './deps.ts';

type Deps = Pick<CommandDeps, 'catalogue' | 'clock' | 'log'>;

export const STORES_PATIENCE_MS = 15_000;

export interface Entries {
  /** Newest first. */
  readonly entries: readonly SnapshotEntry[];
  /** Other tools' increments, which are no snapshots. */
  readonly increments: number;
  readonly problems: readonly StoreProblem[];
}

export interface Stored {
  /** The newest that was verified. */
  readonly good: SnapshotRecord | undefined;
  /** The newest few, newest first. */
  readonly last: readonly StoredSnapshot[];
  readonly problems: readonly StoreProblem[];
}

/** What the names of objects tell. Never throws. */
export function lookAtEntries(deps: Deps, spec: ClusterSpec, patienceMs = STORES_PATIENCE_MS): Promise<Entries> {
  const look = (): Promise<Entries> => deps.catalogue.entries(spec.name);
  return inTime(deps, spec, patienceMs, look, (problems) => ({ entries: [], increments: 0, problems }));
}

/** The newest good one, and the newest `last` of them. Never throws. */
export function lookAtStores(
  deps: Deps,
  spec: ClusterSpec,
  { last = 0, patienceMs = STORES_PATIENCE_MS }: { readonly last?: number; readonly patienceMs?: number } = {},
): Promise<Stored> {
  const look = async (): Promise<Stored> => {
    const listed = await deps.catalogue.entries(spec.name);
    const good = await newestGood(deps.catalogue, listed.entries);
    const newest = await withRecords(deps.catalogue, listed.entries.filter(isUsable).slice(0, last));
    return {
      good: good.record,
      last: newest.snapshots,
      problems: once([...listed.problems, ...good.problems, ...newest.problems]),
    };
  };
  return inTime(deps, spec, patienceMs, look, (problems) => ({ good: undefined, last: [], problems }));
}

/** A look that does not end in time, or fails, is `nothing`: every store of the cluster is a problem in it. */
async function inTime<T>(
  { clock, log }: Deps,
  { name, backup }: ClusterSpec,
  patienceMs: number,
  look: () => Promise<T>,
  nothing: (problems: readonly StoreProblem[]) => T,
): Promise<T> {
  try {
    return await within(clock, patienceMs, look(), () => new Error('late'));
  } catch (error) {
    log.warn({ cluster: name, err: error }, 'The stores could not be listed');
    const hint = 'Try again in a minute; "keyturn check" tries every store and tells what is wrong.';
    const message = 'no answer in time, or none that could be read';
    return nothing(backup.stores.map((store) => ({ store, message, hint })));
  }
}

/** The good one held against the RPO; 'unknown' when a store that might have a newer one could not tell. */
export function stateOf(
  { good, problems }: Pick<Stored, 'good' | 'problems'>,
  spec: ClusterSpec,
  now: Date,
): Freshness | 'unknown' {
  const state = freshness(good && new Date(good.takenAt), spec.backup.rpoMs, now);
  const mayBeBetter = problems.length > 0 && (state === 'never' || state === 'late');
  return mayBeBetter ? 'unknown' : state;
}

/** As errors are shown. */
export function toProblems(problems: readonly StoreProblem[]): readonly Problem[] {
  return problems.map(({ store, message, hint }) => ({
    code: 'store.unreachable',
    message: `${store}: ${message}`,
    hint,
  }));
}

/** Two looks at the same manifest find the same wrong with it. */
function once(problems: readonly StoreProblem[]): readonly StoreProblem[] {
  return problems.filter(({ message }, i) => problems.findIndex((each) => each.message === message) === i);
}
