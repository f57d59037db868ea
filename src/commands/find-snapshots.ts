/** Owns the search for the snapshot to restore: among all clusters, those of the cluster in question first. */
import type { ClusterSpec } from '../domain/cluster.ts';
import type { Person } from '../domain/permission.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import { isUsable, withRecords } from '../stored/read-snapshots.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, inParallel, requirePermission, within } from './deps.ts';
import { lookAtEntries } from './look-at-stores.ts';

type Deps = Pick<CommandDeps, 'clusters' | 'people' | 'command' | 'catalogue' | 'clock' | 'log'>;

/** Slack shows so many in one menu. */
export const MOST_SNAPSHOTS = 100;

/** All listings together; Slack waits three seconds for what a search finds, and manifests are read as well. */
const SEARCH_PATIENCE_MS = 1_400;
const CLUSTERS_AT_ONCE = 16;

/**
 * What one cluster has; let callers share it, since each letter typed asks again. Takes as long as it takes, so that the next
 * letter finds what was too late for this one. Throws when nothing could be listed.
 */
export async function lookForSearch(deps: Deps, spec: ClusterSpec): Promise<readonly SnapshotEntry[]> {
  const { entries, problems } = await lookAtEntries(deps, spec);
  if (entries.length === 0 && problems.length > 0) throw new Error(`nothing of ${spec.name} could be listed`);
  return entries.filter(isUsable);
}

/**
 * Those in whose id, cluster or time (UTC) every word of `query` occurs, at most 100: so many manifests are read. One that
 * can't be read is not offered, nor is what was not listed in time. Throws permission.denied, cluster.unknown.
 */
export async function findSnapshots(
  deps: Deps,
  actor: Person,
  { cluster, query }: { readonly cluster: string; readonly query: string },
  look: (spec: ClusterSpec) => Promise<readonly SnapshotEntry[]>,
): Promise<readonly SnapshotRecord[]> {
  requirePermission(deps, actor, 'restore');
  const own = findCluster(deps, cluster);
  const others = deps.clusters.filter((spec) => spec !== own);
  const until = deps.clock.now().getTime() + SEARCH_PATIENCE_MS;
  const found = await inParallel([own, ...others], CLUSTERS_AT_ONCE, (spec) => {
    const left = Math.max(1, until - deps.clock.now().getTime());
    return within(deps.clock, left, look(spec), () => new Error('late')).catch((): readonly SnapshotEntry[] => []);
  });
  const words = query
    .toLowerCase()
    .split(/\s+/u)
    .filter((word) => word !== '');
  const chosen = found
    .flat()
    .filter((entry) => words.every((word) => textOf(entry).includes(word)))
    .slice(0, MOST_SNAPSHOTS);
  return (await withRecords(deps.catalogue, chosen)).snapshots.map(({ record }) => record);
}

function textOf({ id, cluster, takenAt }: SnapshotEntry): string {
  return `${id} ${cluster} ${takenAt} ${takenAt.replace('T', ' ')}`.toLowerCase();
}
