/** Owns the one object through which chat asks for things: every command, with its dependencies in place. */
import type { Person } from '../domain/permission.ts';
import type { CommandDeps } from './deps.ts';
import { shared } from './deps.ts';
import { listSnapshots } from './list-snapshots.ts';
import type { SnapshotsReport } from './list-snapshots.ts';
import { parseCommand } from './parse.ts';
import type { Request } from './parse.ts';
import { requestBackup } from './request-backup.ts';
import type { BackupAnswer, BackupRequest } from './request-backup.ts';
import { lookAtClusters, showClusters } from './show-clusters.ts';
import type { ClustersReport } from './show-clusters.ts';
import { showHelp } from './show-help.ts';
import type { HelpReport } from './show-help.ts';
import { lookAtStatus, showStatus } from './show-status.ts';
import type { StatusReport } from './show-status.ts';

/** Each throws KeyturnError as its own file says; `actor` must come from the directory, never from the request. */
export interface Commands {
  parse(text: string): Request;
  /** The only cluster there is, which then need not be named. */
  readonly onlyCluster: string | undefined;
  showHelp(actor: Person): HelpReport;
  showClusters(actor: Person): Promise<ClustersReport>;
  showStatus(actor: Person, cluster: string): Promise<StatusReport>;
  listSnapshots(actor: Person, cluster: string): Promise<SnapshotsReport>;
  requestBackup(actor: Person, request: BackupRequest): Promise<BackupAnswer>;
}

/** People who ask the same at once are answered by one look, not more than so old. */
const OVERVIEW_SHARED_MS = 5000;
const STATUS_SHARED_MS = 2000;

export function buildCommands(deps: CommandDeps): Commands {
  const names = deps.clusters.map((c) => c.name);
  const overview = shared(
    deps.clock,
    OVERVIEW_SHARED_MS,
    () => 'all',
    () => lookAtClusters(deps),
  );
  const status = shared(
    deps.clock,
    STATUS_SHARED_MS,
    (spec) => spec.name,
    (spec: CommandDeps['clusters'][number]) => lookAtStatus(deps, spec),
  );
  return {
    parse: (text) => parseCommand(text, { command: deps.command, clusters: names }),
    onlyCluster: names.length === 1 ? names[0] : undefined,
    showHelp: (actor) => showHelp(deps, actor),
    showClusters: (actor) => showClusters(deps, actor, () => overview(undefined)),
    showStatus: (actor, cluster) => showStatus(deps, actor, cluster, status),
    listSnapshots: (actor, cluster) => listSnapshots(deps, actor, cluster),
    requestBackup: (actor, request) => requestBackup(deps, actor, request),
  };
}
