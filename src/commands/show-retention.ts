/** Owns the dry run: the policies of a cluster's stores, and what they would do to each snapshot and why. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import { may } from '../domain/permission.ts';
import type { Person } from '../domain/permission.ts';
import { isHeld } from '../domain/retention.ts';
import { bytesOf, keptByRule } from '../domain/retention-plan.ts';
import type { Forecast, StorePlan } from '../domain/retention-plan.ts';
import { afterNextBackup } from '../retention/forecast.ts';
import { lookAtRetention } from '../retention/look.ts';
import type { RetentionLook, RetentionLooks, StoreLook } from '../retention/look.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, requirePermission, within } from './deps.ts';
import type { RetentionReport, SnapshotRow, StoreRow } from './retention-commands.ts';
import { nextRun } from './show-clusters.ts';

export type RetentionCommandDeps = CommandDeps & RetentionLooks;

/** Ten thousand snapshots in several stores take seconds. */
const LOOK_PATIENCE_MS = 30_000;

/** Throws permission.denied, cluster.unknown, store.unreachable, queue.unavailable. */
export async function showRetention(
  deps: RetentionCommandDeps,
  actor: Person,
  cluster: string,
  look: (spec: ClusterSpec) => Promise<RetentionLook> = (spec) => lookInTime(deps, spec),
): Promise<RetentionReport> {
  requirePermission(deps, actor, 'retention');
  const spec = findCluster(deps, cluster);
  return { ...reportOf(deps, spec, await look(spec)), mayConfirm: may(actor, 'prune', deps.people) };
}

/** As `lookAtRetention`, in bounded time; throws store.unreachable. */
export function lookInTime(
  deps: RetentionLooks & Pick<CommandDeps, 'clock'>,
  spec: ClusterSpec,
): Promise<RetentionLook> {
  const late = (): Error =>
    new KeyturnError('store.unreachable', `The stores of ${spec.name} were not looked through in time.`, {
      hint: 'Try again in a minute; "keyturn check" tries every store and tells what is wrong.',
    });
  return within(deps.clock, LOOK_PATIENCE_MS, lookAtRetention(deps, spec), late);
}

function reportOf(
  deps: RetentionCommandDeps,
  spec: ClusterSpec,
  look: RetentionLook,
): Omit<RetentionReport, 'mayConfirm'> {
  const { facts, strays, problems } = look;
  const due = nextRun(deps, spec, facts.now);
  const next = afterNextBackup(look, due ?? facts.now);
  return {
    at: facts.now.toISOString(),
    cluster: spec.name,
    timezone: facts.timezone,
    nextRunAt: due?.toISOString(),
    stores: look.stores.map((store, i) => storeRow(store, next.plans[i] ?? store.plan)),
    snapshots: snapshotRows(look, next.forecasts),
    strays: strays.length,
    problems,
  };
}

function storeRow({ facts, plan, blocked }: StoreLook, next: StorePlan): StoreRow {
  return {
    store: plan.store,
    policy: plan.policy,
    mostAtOnce: facts.spec.mostAtOnce,
    keeps: plan.keeps.length,
    keptBy: keptByRule(plan.keeps),
    goes: { count: plan.goes.length, bytes: bytesOf(plan.goes) },
    goesNext: { count: next.goes.length, bytes: bytesOf(next.goes), mustAsk: next.mustAsk },
    asks: plan.mustAsk && blocked === undefined,
    digest: plan.digest,
    blocked,
  };
}

function snapshotRows(
  { facts }: RetentionLook,
  forecasts: (id: string) => readonly Forecast[],
): readonly SnapshotRow[] {
  return facts.entries.flatMap(({ id, takenAt, copies, origin }) => {
    const stores = forecasts(id);
    if (origin !== 'keyturn' || stores.length === 0) return [];
    const hold = facts.holds.get(id);
    const size = copies.reduce((most, copy) => Math.max(most, copy.size), 0);
    return [{ id, takenAt, size, isHeld: hold !== undefined && isHeld(hold, facts.now), stores }];
  });
}
