/** Owns how a restore request comes about: what it must say, and what is frozen into it. */
import type { Origin } from './job.ts';
import type { Person } from './permission.ts';
import { planDigest } from './plan.ts';
import type { Plan } from './plan.ts';
import { LONGEST_REASON, refused } from './restore-request.ts';
import type { ApprovalPolicy } from './restore-policy.ts';
import type { DataLossWindow, Outcome, RestoreRequest, Words } from './restore-request.ts';

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
  const flaw = flawOf(draft);
  if (flaw !== undefined) return refused('request.invalid', ...flaw);
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

function thresholdOf({ breakGlass, policy }: Draft): number {
  return breakGlass && policy.breakGlass !== undefined ? policy.breakGlass.threshold : policy.threshold;
}

/** What is wrong with the draft, and what to do. */
function flawOf(draft: Draft): Words | undefined {
  const { plan, policy, reason } = draft;
  if (reason.trim() === '') return ['A restore needs a reason.', 'Say why: approvers and auditors read it.'];
  if (reason.length > LONGEST_REASON) return ['The reason is too long.', `Say it in ${LONGEST_REASON} characters.`];
  if (draft.breakGlass && policy.breakGlass === undefined)
    return [
      `Cluster ${plan.cluster} has no break-glass.`,
      'Ask for an ordinary restore, or have break-glass configured for this cluster.',
    ];
  const threshold = thresholdOf(draft);
  if (!Number.isSafeInteger(threshold) || threshold < 1)
    return ['A restore needs at least one approval.', 'Set the number of approvals in the configuration to 1 or more.'];
  if (policy.groups.length === 0)
    return ["Nobody's approval would count.", 'Name approvers in people.approve of the configuration.'];
  if (!(policy.expiresMs > 0)) return ['The request would end at once.', 'Set a longer time for approvals.'];
  if (plan.snapshot.cluster !== plan.cluster && draft.confirmedSnapshotOf !== plan.snapshot.cluster)
    return [
      `The snapshot is one of cluster ${plan.snapshot.cluster}, not of ${plan.cluster}.`,
      `Choose another, or confirm by typing the name ${plan.snapshot.cluster}.`,
    ];
  return undefined;
}
