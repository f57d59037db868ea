/** Owns how a restore request comes about: what it must say, and what is frozen into it. */
import type { Origin } from './job.ts';
import type { Person } from './permission.ts';
import { planDigest } from './plan.ts';
import type { Plan } from './plan.ts';
import { LONGEST_REASON, refused } from './restore-request.ts';
import type { ApprovalPolicy } from './restore-policy.ts';
import type { DataLossWindow, Outcome, Refused, RestoreRequest, Words } from './restore-request.ts';

export interface Draft {
  /** `plan.request` is the request's id. */
  readonly plan: Plan;
  readonly dataLoss: DataLossWindow;
  readonly reason: string;
  readonly requester: Person;
  readonly onBehalfOf: string | undefined;
  readonly origin: Origin;
  readonly policy: ApprovalPolicy;
  /** Asked for with fewer approvals. */
  readonly breakGlass: boolean;
  /** The cluster of the snapshot, as typed by the requester once more; needed when it is another than the plan's. */
  readonly confirmedSnapshotOf: string | undefined;
  readonly now: Date;
}

/** Version 1 of a request; refused as request.invalid. */
export function openRequest(draft: Draft): Outcome {
  const { plan, policy, requester } = draft;
  const flaw = flawOf({ ...draft, cluster: plan.cluster, snapshotCluster: plan.snapshot.cluster });
  if (flaw !== undefined) return flaw;
  const at = draft.now.toISOString();
  const request: RestoreRequest = {
    id: plan.request,
    version: 1,
    state: 'pending',
    cluster: plan.cluster,
    plan,
    digest: planDigest(plan),
    dataLoss: draft.dataLoss,
    reason: draft.reason.trim(),
    requester: { id: requester.id, name: requester.name },
    onBehalfOf: draft.onBehalfOf,
    origin: draft.origin,
    threshold: thresholdOf(draft),
    groups: [...policy.groups],
    stepUp: policy.stepUp,
    breakGlass: draft.breakGlass,
    createdAt: at,
    expiresAt: new Date(draft.now.getTime() + policy.expiresMs).toISOString(),
    reviews: [],
    approvedAt: undefined,
    round: 0,
    startedAt: undefined,
    cancel: undefined,
    waiting: undefined,
    decision: undefined,
    ended: undefined,
    history: [{ version: 1, at, action: 'open', state: 'pending', by: requester.id, reason: draft.reason.trim() }],
  };
  return { kind: 'ok', request };
}

/** What of a draft is known before any node was looked at. */
export interface DraftWish extends Pick<Draft, 'reason' | 'policy' | 'breakGlass' | 'confirmedSnapshotOf'> {
  readonly cluster: string;
  /** Of which cluster the snapshot is. */
  readonly snapshotCluster: string;
}

/** What is wrong with the wish, as request.invalid; undefined when nothing is. */
export function flawOf(wish: DraftWish): Refused | undefined {
  const words = wordsAgainst(wish);
  return words === undefined ? undefined : refused('request.invalid', ...words);
}

function thresholdOf({ breakGlass, policy }: Pick<Draft, 'breakGlass' | 'policy'>): number {
  return breakGlass && policy.breakGlass !== undefined ? policy.breakGlass.threshold : policy.threshold;
}

function wordsAgainst(wish: DraftWish): Words | undefined {
  const { cluster, snapshotCluster, policy, reason } = wish;
  if (reason.trim() === '') return ['A restore needs a reason.', 'Say why: approvers and auditors read it.'];
  if (reason.length > LONGEST_REASON) return ['The reason is too long.', `Say it in ${LONGEST_REASON} characters.`];
  if (wish.breakGlass && policy.breakGlass === undefined)
    return [
      `Cluster ${cluster} has no break-glass.`,
      'Ask for an ordinary restore, or have break-glass configured for this cluster.',
    ];
  const threshold = thresholdOf(wish);
  if (!Number.isSafeInteger(threshold) || threshold < 1)
    return ['A restore needs at least one approval.', 'Set the number of approvals in the configuration to 1 or more.'];
  if (policy.groups.length === 0)
    return ["Nobody's approval would count.", 'Name approvers in people.approve of the configuration.'];
  if (!(policy.expiresMs > 0)) return ['The request would end at once.', 'Set a longer time for approvals.'];
  if (snapshotCluster !== cluster && wish.confirmedSnapshotOf !== snapshotCluster)
    return [
      `The snapshot is one of cluster ${snapshotCluster}, not of ${cluster}.`,
      `Choose another, or confirm by typing the name ${snapshotCluster}.`,
    ];
  return undefined;
}
