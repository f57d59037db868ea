/** Owns the one object through which chat asks for things: every command, with its dependencies in place. */
import type { Origin } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import { cleanUp, offerCleanup } from './clean-up.ts';
import type { CommandDeps, RestoreCommandDeps } from './deps.ts';
import { shared } from './deps.ts';
import { findSnapshots, lookForSearch } from './find-snapshots.ts';
import { listApprovals } from './list-approvals.ts';
import { holdSnapshot, releaseSnapshot } from './hold-snapshot.ts';
import type { HoldAnswer, ReleaseQuestion, ReleaseWish } from './hold-snapshot.ts';
import type { TypedHold, WantedSnapshot } from './hold-words.ts';
import { listSnapshots, showSnapshot } from './list-snapshots.ts';
import type { ListWish, SnapshotDetails, SnapshotsReport } from './list-snapshots.ts';
import { lookAtEntries } from './look-at-stores.ts';
import { parseCommand } from './parse.ts';
import type { Request } from './parse.ts';
import { requestBackup } from './request-backup.ts';
import type { BackupAnswer, BackupRequest } from './request-backup.ts';
import { requestRestore, restoreForm } from './request-restore.ts';
import { requestVerify } from './request-verify.ts';
import type { VerifyAnswer, VerifyRequest } from './request-verify.ts';
import { confirmRetention, declineRetention } from './confirm-retention.ts';
import type { RestoreCommands } from './restore-commands.ts';
import type { RetentionCommands } from './retention-commands.ts';
import {
  approveRestore,
  cancelRestore,
  decideRestore,
  denyRestore,
  takeBackApproval,
  withdrawRestore,
} from './review-restore.ts';
import { showAudit } from './show-audit.ts';
import { lookAtClusters, showClusters } from './show-clusters.ts';
import type { ClustersReport } from './show-clusters.ts';
import { showHelp } from './show-help.ts';
import type { HelpReport } from './show-help.ts';
import { lookInTime, showRetention } from './show-retention.ts';
import type { RetentionCommandDeps } from './show-retention.ts';
import { makeRunbook, showPlan, showRunbook } from './show-runbook.ts';
import type { RunbookOf } from './show-runbook.ts';
import { lookAtStatus, showStatus } from './show-status.ts';
import type { StatusReport } from './show-status.ts';
import { agreeToEnrolAnew, askToEnrolAnew, beginEnrolment, confirmEnrolment, stepUpStanding } from './step-up.ts';

/** Each throws KeyturnError as its own file says; `actor` must come from the directory, never from the request. */
export interface Commands extends RestoreCommands, RetentionCommands {
  parse(text: string): Request;
  /** The only cluster there is, which then need not be named. */
  readonly onlyCluster: string | undefined;
  showHelp(actor: Person): HelpReport;
  showClusters(actor: Person): Promise<ClustersReport>;
  showStatus(actor: Person, cluster: string): Promise<StatusReport>;
  listSnapshots(actor: Person, wish: ListWish): Promise<SnapshotsReport>;
  showSnapshot(actor: Person, wish: WantedSnapshot): Promise<SnapshotDetails>;
  holdSnapshot(actor: Person, wish: TypedHold, origin: Origin): Promise<HoldAnswer>;
  releaseSnapshot(actor: Person, wish: ReleaseWish, origin: Origin): Promise<HoldAnswer | ReleaseQuestion>;
  requestBackup(actor: Person, request: BackupRequest): Promise<BackupAnswer>;
  requestVerify(actor: Person, request: VerifyRequest): Promise<VerifyAnswer>;
}

/** People who ask the same at once are answered by one look, not more than so old. */
const OVERVIEW_SHARED_MS = 5000;
const STATUS_SHARED_MS = 2000;
/** A search asks again with each letter typed. */
const SEARCH_SHARED_MS = 15_000;
/** Whoever turns pages reads one look. */
const RETENTION_SHARED_MS = 30_000;

export function buildCommands(deps: RestoreCommandDeps & RetentionCommandDeps): Commands {
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
  const entries = shared(
    deps.clock,
    STATUS_SHARED_MS,
    (spec) => spec.name,
    (spec: CommandDeps['clusters'][number]) => lookAtEntries(deps, spec),
  );
  // Fresh enough to see a hold that was just changed.
  const retention = shared(
    deps.clock,
    STATUS_SHARED_MS,
    (spec) => spec.name,
    (spec: CommandDeps['clusters'][number]) => lookInTime(deps, spec),
  );
  return {
    parse: (text) => parseCommand(text, { command: deps.command, clusters: names }),
    onlyCluster: names.length === 1 ? names[0] : undefined,
    showHelp: (actor) => showHelp(deps, actor),
    showClusters: (actor) => showClusters(deps, actor, () => overview(undefined)),
    showStatus: (actor, cluster) => showStatus(deps, actor, cluster, status),
    listSnapshots: (actor, wish) => listSnapshots(deps, actor, wish, entries),
    showSnapshot: (actor, wish) => showSnapshot(deps, actor, wish, retention),
    holdSnapshot: (actor, wish, origin) => holdSnapshot(deps, actor, wish, origin),
    releaseSnapshot: (actor, wish, origin) => releaseSnapshot(deps, actor, wish, origin, retention),
    requestBackup: (actor, request) => requestBackup(deps, actor, request),
    requestVerify: (actor, request) => requestVerify(deps, actor, request),
    ...buildRestoreCommands(deps),
    ...buildRetentionCommands(deps),
  };
}

function buildRetentionCommands(deps: RestoreCommandDeps & RetentionCommandDeps): RetentionCommands {
  const look = shared(
    deps.clock,
    RETENTION_SHARED_MS,
    (spec) => spec.name,
    (spec: CommandDeps['clusters'][number]) => lookInTime(deps, spec),
  );
  return {
    showRetention: (actor, cluster) => showRetention(deps, actor, cluster, look),
    confirmRetention: (click) => confirmRetention(deps, click),
    declineRetention: (click) => declineRetention(deps, click),
  };
}

function buildRestoreCommands(deps: RestoreCommandDeps): RestoreCommands {
  const search = shared(
    deps.clock,
    SEARCH_SHARED_MS,
    (spec) => spec.name,
    (spec: CommandDeps['clusters'][number]) => lookForSearch(deps, spec),
  );
  const runbook = shared(
    deps.clock,
    STATUS_SHARED_MS,
    ({ spec, snapshot }) => `${spec.name} ${snapshot ?? ''}`,
    (of: RunbookOf) => makeRunbook(deps, of),
  );
  return {
    restoreForm: (actor, cluster) => restoreForm(deps, actor, cluster),
    findSnapshots: (actor, cluster, query) => findSnapshots(deps, actor, { cluster, query }, search),
    requestRestore: (actor, wish) => requestRestore(deps, actor, wish),
    readRequest: (id) => deps.requests.read(id),
    approveRestore: (click) => approveRestore(deps, click),
    denyRestore: (click) => denyRestore(deps, click),
    takeBackApproval: (click) => takeBackApproval(deps, click),
    withdrawRestore: (click) => withdrawRestore(deps, click),
    cancelRestore: (click) => cancelRestore(deps, click),
    decideRestore: (click) => decideRestore(deps, click),
    listApprovals: (user) => listApprovals(deps, user),
    showRunbook: (actor, cluster, snapshot) => showRunbook(deps, actor, { cluster, snapshot }, runbook),
    showPlan: (actor, request) => showPlan(deps, actor, request),
    showAudit: (actor, request) => showAudit(deps, actor, request),
    offerCleanup: (actor, request) => offerCleanup(deps, actor, request),
    cleanUp: (actor, request, origin) => cleanUp(deps, actor, request, origin),
    stepUpStanding: (user) => stepUpStanding(deps, user),
    beginEnrolment: (user) => beginEnrolment(deps, user),
    confirmEnrolment: (user, code) => confirmEnrolment(deps, user, code),
    askToEnrolAnew: (user) => askToEnrolAnew(deps, user),
    agreeToEnrolAnew: (agreed) => agreeToEnrolAnew(deps, agreed),
  };
}
