/** Owns the list of what is stored for one cluster, and where. */
import type { Person } from '../domain/permission.ts';
import type { StoredSnapshot } from '../domain/snapshot.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, requirePermission } from './deps.ts';
import { lookAtStores } from './show-clusters.ts';

export interface SnapshotsReport {
  readonly at: string;
  readonly cluster: string;
  /** Names of the stores that should hold every snapshot. */
  readonly stores: readonly string[];
  /** Newest first. */
  readonly snapshots: readonly StoredSnapshot[];
  /** Stores that could not be asked; what only they hold is missing here. */
  readonly problems: readonly { readonly store: string; readonly message: string; readonly hint: string }[];
}

type Deps = Pick<CommandDeps, 'clusters' | 'people' | 'command' | 'catalogue' | 'clock' | 'log'>;

/** Throws permission.denied, cluster.unknown. */
export async function listSnapshots(deps: Deps, actor: Person, cluster: string): Promise<SnapshotsReport> {
  requirePermission(deps, actor, 'snapshots');
  const spec = findCluster(deps, cluster);
  const { snapshots, problems } = await lookAtStores(deps, spec);
  return { at: deps.clock.now().toISOString(), cluster: spec.name, stores: spec.backup.stores, snapshots, problems };
}
