/** Owns how a plan is made of the live cluster: first for the request, and once more right before it is carried out. */
import type { ClusterSpec, ClusterStatus } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import { sha256Of } from '../domain/plan.ts';
import type { Plan } from '../domain/plan.ts';
import { makeRestorePlan, stopLastOf } from '../domain/restore-plan.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import type { EtcdClient, EtcdSession, SnapshotCatalogue, SnapshotCoder } from '../ports.ts';
import { findSnapshot } from '../stored/read-snapshots.ts';

export interface PlanDeps {
  readonly etcd: EtcdClient;
  readonly catalogue: SnapshotCatalogue;
}

export interface PlanAgainDeps extends PlanDeps {
  readonly coder: Pick<SnapshotCoder, 'obstacle'>;
}

export interface PlanWish {
  readonly spec: ClusterSpec;
  /** The request's id. */
  readonly request: string;
  readonly snapshot: SnapshotRecord;
  readonly mode: Plan['mode'];
  readonly foreignSnapshotConfirmed: boolean;
}

export interface Planned {
  readonly plan: Plan;
  /** Newest revision that any member has; undefined when none answers. */
  readonly liveRevision: bigint | undefined;
}

/** Throws plan.*, ssh.*, node.*, etcd.*: each says what to do next. */
export async function planRestore(deps: PlanDeps, wish: PlanWish, signal: AbortSignal): Promise<Planned> {
  return planWith(deps, wish, undefined, signal);
}

/**
 * The plan as it would be made now, for the same wish: it has the digest of `approved` when nothing that matters has
 * changed, manifest and configuration included. Also throws store.not-found when the snapshot is gone, and what
 * `requireReadable` throws.
 */
export async function planAgain(
  deps: PlanAgainDeps,
  spec: ClusterSpec,
  approved: Plan,
  signal: AbortSignal,
): Promise<Planned> {
  const snapshot = await findSnapshot(deps.catalogue, approved.snapshot.cluster, approved.snapshot.id);
  await requireReadable(deps.coder, snapshot);
  const { request, mode } = approved;
  const wish = { spec, request, snapshot, mode, foreignSnapshotConfirmed: snapshot.cluster !== spec.name };
  return planWith(deps, wish, stopLastOf(approved), signal);
}

/** Throws encryption.no-identity, compression.failed when this machine can't make the snapshot of what is stored. */
export async function requireReadable(coder: PlanAgainDeps['coder'], { id, encoding }: SnapshotRecord): Promise<void> {
  const obstacle = await coder.obstacle(encoding);
  if (obstacle === undefined) return;
  throw new KeyturnError(obstacle.code, `Snapshot ${id} can't be read here. ${obstacle.message}`, {
    hint: obstacle.hint,
  });
}

async function planWith(
  { etcd }: PlanDeps,
  { spec, ...wish }: PlanWish,
  stopLast: string | undefined,
  signal: AbortSignal,
): Promise<Planned> {
  const session = await etcd.open(spec, signal);
  try {
    const [status, { nodes, missing }] = await Promise.all([statusIfAny(session), session.facts(signal)]);
    const liveRevision = newestRevision(status);
    const plan = makeRestorePlan({
      ...wish,
      cluster: spec.name,
      nodes,
      missing,
      status,
      stopLast,
      liveRevision,
      token: `keyturn-${wish.request}`,
      configVersion: configVersion(spec),
    });
    return { plan, liveRevision };
  } finally {
    await session.close();
  }
}

/** A cluster none of whose members answers is what restores are for. */
async function statusIfAny(session: EtcdSession): Promise<ClusterStatus | undefined> {
  try {
    return await session.status();
  } catch (error) {
    if (error instanceof KeyturnError) return undefined;
    throw error;
  }
}

function newestRevision(status: ClusterStatus | undefined): bigint | undefined {
  const revisions = (status?.members ?? []).flatMap(({ problem, revision }) =>
    problem === undefined ? [revision] : [],
  );
  return revisions.reduce<bigint | undefined>((max, each) => (max === undefined || each > max ? each : max), undefined);
}

/** What of the configuration a restore depends on: a change of it makes a new plan. Lower-case hex. */
function configVersion({ name, nodes, restore }: ClusterSpec): string {
  return sha256Of({ name, nodes, restore });
}
