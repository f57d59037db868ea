/** Owns the overview: every cluster's newest good snapshot held against its RPO, worst first. Asks no node. */
import type { ClusterSpec } from '../domain/cluster.ts';
import type { Person } from '../domain/permission.ts';
import type { Freshness } from '../domain/schedule.ts';
import type { CommandDeps } from './deps.ts';
import { inParallel, requirePermission } from './deps.ts';
import { lookAtStores, stateOf, STORES_PATIENCE_MS } from './look-at-stores.ts';
import type { Stored } from './look-at-stores.ts';
import { whatRuns } from './running.ts';
import type { Running } from './running.ts';

export interface ClusterRow {
  readonly cluster: string;
  /** 'unknown': no store could tell. */
  readonly state: Freshness | 'unknown';
  /** ISO time and bytes of the newest verified snapshot. */
  readonly lastGood: { readonly at: string; readonly size: number; readonly ageMs: number } | undefined;
  readonly rpoMs: number | undefined;
  /** Undefined: on demand only. */
  readonly nextRunAt: string | undefined;
  readonly running: Running | undefined;
  /** What could not be asked, in words for people. */
  readonly problems: readonly string[];
}

export interface ClustersReport {
  readonly at: string;
  /** Sorted by trouble. */
  readonly rows: readonly ClusterRow[];
  /** What could not be asked for any cluster, in words for people. */
  readonly problems: readonly string[];
}

type Deps = Pick<
  CommandDeps,
  'clusters' | 'people' | 'command' | 'catalogue' | 'queue' | 'lease' | 'calendar' | 'clock' | 'log'
>;

const OVERVIEW_PATIENCE_MS = 20_000;
const CLUSTERS_AT_ONCE = 8;

/** Throws permission.denied. What a store or the queue can't tell is named in the row, so there is always an answer. */
export async function showClusters(
  deps: Deps,
  actor: Person,
  overview: () => Promise<ClustersReport>,
): Promise<ClustersReport> {
  requirePermission(deps, actor, 'clusters');
  return overview();
}

/** Every cluster's row, in bounded time; lists every place, so let callers share it. */
export async function lookAtClusters(deps: Deps): Promise<ClustersReport> {
  const now = deps.clock.now();
  const patience = (): number => {
    const left = now.getTime() + OVERVIEW_PATIENCE_MS - deps.clock.now().getTime();
    return Math.max(1, Math.min(STORES_PATIENCE_MS, left));
  };
  const [stored, queue] = await Promise.all([
    inParallel(deps.clusters, CLUSTERS_AT_ONCE, (spec) => lookAtStores(deps, spec, { patienceMs: patience() })),
    lookAtQueueForAll(deps),
  ]);
  const rows = deps.clusters.map((spec, i) => {
    const found = stored[i] ?? { good: undefined, last: [], problems: [] };
    return clusterRow(deps, spec, found, queue.running.get(spec.name), now);
  });
  return { at: now.toISOString(), rows: rows.sort(byTrouble), problems: queue.problems };
}

function clusterRow(
  deps: Deps,
  spec: ClusterSpec,
  stored: Stored,
  running: Running | undefined,
  now: Date,
): ClusterRow {
  const { good, problems } = stored;
  return {
    cluster: spec.name,
    state: stateOf(stored, spec, now),
    lastGood:
      good === undefined
        ? undefined
        : { at: good.takenAt, size: good.size, ageMs: now.getTime() - Date.parse(good.takenAt) },
    rpoMs: spec.backup.rpoMs,
    nextRunAt: nextRun(deps, spec, now)?.toISOString(),
    running,
    problems: problems.map((p) => `${p.store}: ${p.message}`),
  };
}

/** When the schedule fires next, undefined without one. */
export function nextRun(deps: Pick<CommandDeps, 'calendar'>, spec: ClusterSpec, now: Date): Date | undefined {
  const { schedule, timezone } = spec.backup;
  return schedule === undefined ? undefined : deps.calendar.next(schedule, timezone, now);
}

const QUEUE_AWAY = "The queue (Redis) can't be reached: what runs now is not known.";

/** What runs; a queue that can't be reached is a problem to show, not a reason to show nothing. */
export async function lookAtQueue(
  deps: Pick<CommandDeps, 'queue' | 'lease' | 'clock'>,
  spec: ClusterSpec,
): Promise<{ readonly running: Running | undefined; readonly problems: readonly string[] }> {
  try {
    return { running: await whatRuns(deps, spec.name), problems: [] };
  } catch {
    return { running: undefined, problems: [QUEUE_AWAY] };
  }
}

/** As `lookAtQueue`; once one question failed no more are asked, since it is one server that answers them. */
async function lookAtQueueForAll(
  deps: Deps,
): Promise<{ readonly running: ReadonlyMap<string, Running>; readonly problems: readonly string[] }> {
  const running = new Map<string, Running>();
  let problems: readonly string[] = [];
  await inParallel(deps.clusters, CLUSTERS_AT_ONCE, async (spec) => {
    if (problems.length > 0) return;
    const answer = await lookAtQueue(deps, spec);
    if (answer.running !== undefined) running.set(spec.name, answer.running);
    problems = answer.problems.length > 0 ? answer.problems : problems;
  });
  return { running, problems };
}

const TROUBLE: Readonly<Record<ClusterRow['state'], number>> = {
  never: 0,
  late: 1,
  unknown: 2,
  'not-watched': 3,
  fresh: 4,
};

/** Worst state first; within it the one that used up most of its RPO. */
function byTrouble(a: ClusterRow, b: ClusterRow): number {
  const used = (row: ClusterRow): number => (row.lastGood?.ageMs ?? 0) / (row.rpoMs ?? Infinity);
  return (
    TROUBLE[a.state] - TROUBLE[b.state] ||
    used(b) - used(a) ||
    (a.cluster < b.cluster ? -1 : a.cluster > b.cluster ? 1 : 0)
  );
}
