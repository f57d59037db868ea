/** Owns the search for the snapshot to restore: among all clusters, those of the cluster in question first. */
import type { ClusterSpec } from '../domain/cluster.ts';
import type { Problem } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, inParallel, requirePermission } from './deps.ts';
import { lookAtStores } from './show-clusters.ts';

type Deps = Pick<CommandDeps, 'clusters' | 'people' | 'command' | 'catalogue' | 'clock' | 'log'>;

/** Slack shows so many in one menu. */
export const MOST_SNAPSHOTS = 100;

/** Slack waits three seconds for what a search finds. */
const SEARCH_PATIENCE_MS = 2_200;
const CLUSTERS_AT_ONCE = 16;

export interface FoundSnapshots {
  /** Newest first. */
  readonly snapshots: readonly SnapshotRecord[];
  readonly problems: readonly Problem[];
}

/** What the stores have of one cluster; a store that can't be read is a problem in it. Never throws. */
export async function snapshotsOf(
  deps: Pick<CommandDeps, 'catalogue' | 'clock' | 'log'>,
  spec: ClusterSpec,
  patienceMs?: number,
): Promise<FoundSnapshots> {
  const { snapshots, problems } = await lookAtStores(deps, spec, patienceMs);
  return {
    snapshots: snapshots.map(({ record }) => record),
    problems: problems.map(({ store, message, hint }) => ({
      code: 'store.unreachable',
      message: `${store}: ${message}`,
      hint,
    })),
  };
}

/** What one cluster has, in time for a search; let callers share it, since each letter typed asks again. */
export function lookForSearch(deps: Deps, spec: ClusterSpec): Promise<FoundSnapshots> {
  return snapshotsOf(deps, spec, SEARCH_PATIENCE_MS);
}

/** Those in whose id, cluster or time (UTC) every word of `query` occurs. Throws permission.denied, cluster.unknown. */
export async function findSnapshots(
  deps: Deps,
  actor: Person,
  { cluster, query }: { readonly cluster: string; readonly query: string },
  look: (spec: ClusterSpec) => Promise<FoundSnapshots>,
): Promise<readonly SnapshotRecord[]> {
  requirePermission(deps, actor, 'restore');
  const own = findCluster(deps, cluster);
  const others = deps.clusters.filter((spec) => spec !== own);
  const found = await inParallel([own, ...others], CLUSTERS_AT_ONCE, look);
  const words = query
    .toLowerCase()
    .split(/\s+/u)
    .filter((word) => word !== '');
  return found
    .flatMap(({ snapshots }) => snapshots)
    .filter((record) => words.every((word) => textOf(record).includes(word)))
    .slice(0, MOST_SNAPSHOTS);
}

function textOf({ id, cluster, takenAt }: SnapshotRecord): string {
  return `${id} ${cluster} ${takenAt} ${takenAt.replace('T', ' ')}`.toLowerCase();
}
