/** Owns what happens when a person asks for a restore: the plan made of the live cluster, kept for good, and then the request. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import { flawOf, openRequest } from '../domain/restore-draft.ts';
import { isOpen, isOverdue, requestId } from '../domain/restore-request.ts';
import type { DataLossWindow, RestoreRequest } from '../domain/restore-request.ts';
import { expire } from '../domain/restore-review.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import { tell } from '../restore/change-request.ts';
import { planRestore, requireReadable } from '../restore/plan-restore.ts';
import type { Planned, PlanWish } from '../restore/plan-restore.ts';
import { findSnapshot, newestGood } from '../stored/read-snapshots.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { findCluster, requireFreshPermission, requirePermission, withPatience } from './deps.ts';
import { lookAtEntries, toProblems } from './look-at-stores.ts';
import type { RestoreAnswer, RestoreForm, RestoreWish } from './restore-commands.ts';

/** Every node is logged in to and read; slow ones have their own, shorter patience. */
const PLAN_PATIENCE_MS = 120_000;

/** Throws permission.denied, cluster.unknown, queue.unavailable. Stores that are away are told in it. */
export async function restoreForm(deps: RestoreCommandDeps, actor: Person, cluster: string): Promise<RestoreForm> {
  requirePermission(deps, actor, 'restore');
  const spec = findCluster(deps, cluster);
  const [{ entries, problems }, open] = await Promise.all([lookAtEntries(deps, spec), openRequestOf(deps, spec)]);
  const newest = await newestGood(deps.catalogue, entries, () => true);
  const { approvals, mode } = spec.restore;
  return {
    cluster: spec.name,
    mode,
    approvals,
    newest: newest.record,
    problems: toProblems([...problems, ...newest.problems]),
    open,
  };
}

/**
 * A backup that runs meanwhile does not stand in the way: the restore waits for it once it is approved. Throws
 * permission.denied, cluster.unknown, request.invalid, store.not-found, encryption.no-identity, compression.failed, plan.*,
 * ssh.*, node.*, etcd.*, audit.failed, slack.refused, queue.unavailable; nothing was asked for then.
 */
export async function requestRestore(
  deps: RestoreCommandDeps,
  actor: Person,
  wish: RestoreWish,
): Promise<RestoreAnswer> {
  requirePermission(deps, actor, 'restore');
  const spec = findCluster(deps, wish.cluster);
  const requester = await requireFreshPermission(deps, actor.id, 'restore');
  refuseFlawed(spec, wish);
  const open = await openRequestOf(deps, spec);
  if (open !== undefined) return { kind: 'open-already', request: open };
  const snapshot = await findSnapshot(deps.catalogue, wish.snapshot.cluster, wish.snapshot.id);
  await requireReadable(deps.coder, snapshot);
  const planned = await makePlan(deps, {
    spec,
    request: requestId(deps.clock.now(), deps.nonce()),
    snapshot,
    mode: wish.mode,
    foreignSnapshotConfirmed: wish.confirmedSnapshotOf === snapshot.cluster,
  });
  return keep(deps, draftOf(deps, spec, { wish, requester, planned, snapshot }));
}

/** `planRestore` in bounded time. */
export function makePlan(deps: RestoreCommandDeps, wish: PlanWish): Promise<Planned> {
  const late = (): KeyturnError =>
    new KeyturnError('job.timeout', `No plan for ${wish.spec.name} came about within ${PLAN_PATIENCE_MS / 1000} s.`, {
      hint: 'Look at the load of its nodes and the network to them; "keyturn check" tries each of them.',
    });
  return withPatience(deps.clock, PLAN_PATIENCE_MS, (signal) => planRestore(deps, wish, signal), late);
}

/** The one that has to end before another of its cluster can be asked for. */
async function openRequestOf(deps: RestoreCommandDeps, spec: ClusterSpec): Promise<RestoreRequest | undefined> {
  const [newest] = await deps.requests.byCluster(spec.name, 1);
  if (newest === undefined || !isOpen(newest.state)) return undefined;
  const now = deps.clock.now();
  if (!isOverdue(newest, now)) return newest;
  // Whoever looks after the clock has not come by yet. When another was faster it makes no difference.
  const ended = expire(newest, now);
  if (ended.kind === 'ok' && (await deps.requests.compareAndSet(ended.request))) await tell(deps, ended.request);
  return undefined;
}

/** What can be told before any node is looked at. */
function refuseFlawed(spec: ClusterSpec, wish: RestoreWish): void {
  const { reason, breakGlass, confirmedSnapshotOf } = wish;
  const policy = spec.restore.approvals;
  const about = { cluster: spec.name, snapshotCluster: wish.snapshot.cluster };
  const flaw = flawOf({ reason, breakGlass, confirmedSnapshotOf, policy, ...about });
  if (flaw !== undefined) throw errorOf(flaw);
}

interface Parts {
  readonly wish: RestoreWish;
  readonly requester: Person;
  readonly planned: Planned;
  readonly snapshot: SnapshotRecord;
}

function draftOf(
  { clock }: RestoreCommandDeps,
  spec: ClusterSpec,
  { wish, requester, planned, snapshot }: Parts,
): RestoreRequest {
  const now = clock.now();
  const opened = openRequest({
    plan: planned.plan,
    dataLoss: dataLossOf(snapshot, planned.liveRevision, now),
    reason: wish.reason,
    requester,
    onBehalfOf: wish.onBehalfOf === requester.id ? undefined : wish.onBehalfOf,
    origin: wish.origin,
    policy: spec.restore.approvals,
    breakGlass: wish.breakGlass,
    confirmedSnapshotOf: wish.confirmedSnapshotOf,
    now,
  });
  if (opened.kind === 'refused') throw errorOf(opened);
  return opened.request;
}

function dataLossOf({ takenAt }: SnapshotRecord, liveRevision: bigint | undefined, now: Date): DataLossWindow {
  return {
    snapshotTakenAt: takenAt,
    ms: Math.max(0, now.getTime() - Date.parse(takenAt)),
    liveRevision: liveRevision?.toString(),
  };
}

/** The plan's every word is in the audit before anybody can approve it. */
async function keep(deps: RestoreCommandDeps, request: RestoreRequest): Promise<RestoreAnswer> {
  const { id, cluster, digest, plan } = request;
  await deps.audit.record({ type: 'restore.plan', operation: id, cluster, by: request.requester.id, digest, plan });
  const kept = await deps.requests.create(request);
  if (kept.kind === 'taken') return { kind: 'open-already', request: await deps.requests.read(kept.by) };
  await tell(deps, request);
  return { kind: 'asked', request };
}

function errorOf({ code, message, hint }: Problem): KeyturnError {
  return new KeyturnError(code, message, { hint });
}
