/** Owns the list of what is stored for one cluster, and where, page by page. */
import type { Person } from '../domain/permission.ts';
import type { StoredSnapshot } from '../domain/snapshot.ts';
import type { StoreProblem } from '../ports.ts';
import { withRecords } from '../stored/read-snapshots.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, requirePermission } from './deps.ts';
import { lookAtEntries } from './look-at-stores.ts';

export interface SnapshotsReport {
  readonly at: string;
  readonly cluster: string;
  /** Names of the stores that should hold every snapshot. */
  readonly stores: readonly string[];
  readonly total: number;
  /** From 0. */
  readonly page: number;
  readonly pages: number;
  /** Those of the page, newest first. */
  readonly snapshots: readonly StoredSnapshot[];
  /** Stores that could not be asked; what only they hold is missing here. */
  readonly problems: readonly StoreProblem[];
}

type Deps = Pick<CommandDeps, 'clusters' | 'people' | 'command' | 'catalogue' | 'clock' | 'log'>;

const A_PAGE = 10;

/** Only the manifests of the page are read. `page` is moved into range. Throws permission.denied, cluster.unknown. */
export async function listSnapshots(deps: Deps, actor: Person, cluster: string, page = 0): Promise<SnapshotsReport> {
  requirePermission(deps, actor, 'snapshots');
  const spec = findCluster(deps, cluster);
  const { entries, problems } = await lookAtEntries(deps, spec);
  const pages = Math.max(1, Math.ceil(entries.length / A_PAGE));
  const at = Math.min(Math.max(0, Math.trunc(page) || 0), pages - 1);
  const shown = await withRecords(deps.catalogue, entries.slice(at * A_PAGE, (at + 1) * A_PAGE));
  return {
    at: deps.clock.now().toISOString(),
    cluster: spec.name,
    stores: spec.backup.stores,
    total: entries.length,
    page: at,
    pages,
    snapshots: shown.snapshots,
    problems: [...problems, ...shown.problems],
  };
}
