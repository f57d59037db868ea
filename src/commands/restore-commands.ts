/** Owns what chat can ask for around restores: one signature a wish, with what is answered. */
import type { AuditEntry } from '../domain/audit.ts';
import type { Origin } from '../domain/job.ts';
import type { Problem } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { ApprovalPolicy, RestoreMode } from '../domain/restore-policy.ts';
import type { Decision, RestoreRequest } from '../domain/restore-request.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import type { Standing } from '../domain/step-up.ts';
import type { ChangeAnswer } from '../restore/change-request.ts';
import type { ApprovalsReport } from './list-approvals.ts';
import type { RequestClick } from './review-restore.ts';
import type { SecretAnswer, StepUpAnswer } from './step-up.ts';

export type { ChangeAnswer };

/** What the form to ask for a restore shows. */
export interface RestoreForm {
  readonly cluster: string;
  readonly mode: RestoreMode;
  readonly approvals: ApprovalPolicy;
  /** The newest with a manifest that can be read; the search finds the others. */
  readonly newest: SnapshotRecord | undefined;
  /** Stores that could not be read. */
  readonly problems: readonly Problem[];
  /** The open request of this cluster, which has to end first. */
  readonly open: RestoreRequest | undefined;
}

export interface RestoreWish {
  readonly cluster: string;
  readonly snapshot: { readonly cluster: string; readonly id: string };
  readonly mode: RestoreMode;
  readonly reason: string;
  /** Slack user id. */
  readonly onBehalfOf: string | undefined;
  readonly breakGlass: boolean;
  /** The cluster's name typed once more, where the snapshot is of another one. */
  readonly confirmedSnapshotOf: string | undefined;
  readonly origin: Origin;
}

export type RestoreAnswer =
  | { readonly kind: 'asked'; readonly request: RestoreRequest }
  | { readonly kind: 'open-already'; readonly request: RestoreRequest | undefined };

export interface AuditReport {
  /** Oldest first, of this request alone; from this machine's disk and from the store. */
  readonly entries: readonly AuditEntry[];
  /** Undefined: never heard of, or older than what is kept. */
  readonly request: RestoreRequest | undefined;
  /** Empty: the audit was proven whole, as far as it was read. Each problem is a full sentence. */
  readonly problems: readonly string[];
  /** Why the store's copy is not in it. */
  readonly storeAway: Problem | undefined;
}

export interface CleanupOffer {
  readonly request: RestoreRequest;
  readonly oldData: readonly { readonly node: string; readonly paths: readonly string[] }[];
}

/**
 * All throw KeyturnError: cluster.unknown, permission.denied, store.*, queue.unavailable, slack.refused, plan.*, ssh.*,
 * etcd.*, request.* as their own files say. `actor` comes from the directory.
 */
export interface RestoreCommands {
  /** Who may ask; throws permission.denied before anything is looked at. */
  restoreForm(actor: Person, cluster: string): Promise<RestoreForm>;
  /** Snapshots of any cluster in whose id, cluster or time `query` occurs, those of `cluster` first; at most 100. */
  findSnapshots(actor: Person, cluster: string, query: string): Promise<readonly SnapshotRecord[]>;
  /** Looks at every node, makes the plan, keeps the request and tells it. Takes seconds. */
  requestRestore(actor: Person, wish: RestoreWish): Promise<RestoreAnswer>;
  readRequest(id: string): Promise<RestoreRequest | undefined>;

  approveRestore(click: RequestClick & { readonly code?: string | undefined }): Promise<ChangeAnswer>;
  denyRestore(click: RequestClick & { readonly reason: string }): Promise<ChangeAnswer>;
  takeBackApproval(click: RequestClick): Promise<ChangeAnswer>;
  withdrawRestore(click: Omit<RequestClick, 'digest'>): Promise<ChangeAnswer>;
  cancelRestore(click: Omit<RequestClick, 'digest'>): Promise<ChangeAnswer>;
  decideRestore(click: Omit<RequestClick, 'digest'> & { readonly what: Decision }): Promise<ChangeAnswer>;
  listApprovals(user: string): Promise<ApprovalsReport>;

  /** The plan of a restore as a runbook (Markdown); no request is made. `snapshot` undefined: the newest. */
  showRunbook(
    actor: Person,
    cluster: string,
    snapshot: string | undefined,
  ): Promise<{
    readonly snapshot: SnapshotRecord;
    readonly text: string;
  }>;
  /** The runbook of a request's own plan. */
  showPlan(actor: Person, request: string): Promise<{ readonly request: RestoreRequest; readonly text: string }>;
  showAudit(actor: Person, request: string): Promise<AuditReport>;

  /** What `cleanUp` would remove; refused for the newest restore of a cluster and for one that has not ended. */
  offerCleanup(actor: Person, request: string): Promise<CleanupOffer>;
  /** Queues the removal. */
  cleanUp(actor: Person, request: string, origin: Origin): Promise<void>;

  stepUpStanding(user: string): Promise<Standing>;
  beginEnrolment(user: string): Promise<SecretAnswer>;
  confirmEnrolment(user: string, code: string): Promise<StepUpAnswer>;
  askToEnrolAnew(user: string): Promise<StepUpAnswer>;
  agreeToEnrolAnew(agreed: {
    readonly user: string;
    readonly by: string;
    readonly code: string;
  }): Promise<StepUpAnswer>;
}
