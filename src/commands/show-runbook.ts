/** Owns the plan of a restore as people read it: of a request, or made for nothing but to be read. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import { renderRunbook } from '../domain/runbook.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import { newestGood } from '../stored/read-snapshots.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { findCluster, requirePermission } from './deps.ts';
import { knownRequest } from './known-request.ts';
import { lookAtEntries } from './look-at-stores.ts';
import { nearest } from './nearest.ts';
import { makePlan } from './request-restore.ts';

/** Names the folders on the nodes in a plan that nobody asked to carry out. */
const NO_REQUEST = 'runbook';

export interface Runbook {
  readonly snapshot: SnapshotRecord;
  /** Markdown. */
  readonly text: string;
}

export interface RunbookOf {
  readonly spec: ClusterSpec;
  /** Id; undefined: the newest that was verified. */
  readonly snapshot: string | undefined;
}

/** Throws permission.denied, cluster.unknown, and what `makeRunbook` throws. */
export async function showRunbook(
  deps: RestoreCommandDeps,
  actor: Person,
  { cluster, snapshot }: { readonly cluster: string; readonly snapshot: string | undefined },
  make: (of: RunbookOf) => Promise<Runbook>,
): Promise<Runbook> {
  requirePermission(deps, actor, 'runbook');
  return make({ spec: findCluster(deps, cluster), snapshot });
}

/** Logs in to every node, so let callers share it. Throws store.not-found, plan.*, ssh.*, node.*, etcd.*. */
export async function makeRunbook(deps: RestoreCommandDeps, { spec, snapshot: id }: RunbookOf): Promise<Runbook> {
  const snapshot = await chooseSnapshot(deps, spec, id);
  const { mode } = spec.restore;
  const wish = { spec, request: NO_REQUEST, snapshot, mode, foreignSnapshotConfirmed: false };
  return { snapshot, text: renderRunbook((await makePlan(deps, wish)).plan) };
}

/** Throws permission.denied, request.unknown, queue.unavailable. */
export async function showPlan(
  deps: RestoreCommandDeps,
  actor: Person,
  id: string,
): Promise<{ readonly request: RestoreRequest; readonly text: string }> {
  requirePermission(deps, actor, 'runbook');
  const request = await knownRequest(deps, id);
  return { request, text: renderRunbook(request.plan) };
}

async function chooseSnapshot(
  deps: RestoreCommandDeps,
  spec: ClusterSpec,
  id: string | undefined,
): Promise<SnapshotRecord> {
  const { entries, problems } = await lookAtEntries(deps, spec);
  const named = entries.find((entry) => entry.id.toLowerCase() === id?.toLowerCase());
  if (named !== undefined) return (await deps.catalogue.record(named)).record;
  const chosen = id === undefined ? await newestOf(deps, entries) : undefined;
  if (chosen !== undefined) return chosen;
  const what = id === undefined ? 'no snapshot' : `no snapshot "${id.slice(0, 60)}"`;
  const away = problems.map(({ store, message }) => ` ${store}: ${message}.`).join('');
  throw new KeyturnError('store.not-found', `There is ${what} of ${spec.name}.${away}`, {
    hint: hintFor(deps, spec, id, entries),
  });
}

/** One that was verified, or else any. */
async function newestOf(
  { catalogue }: RestoreCommandDeps,
  entries: readonly SnapshotEntry[],
): Promise<SnapshotRecord | undefined> {
  const verified = await newestGood(catalogue, entries);
  return verified.record ?? (await newestGood(catalogue, entries, () => true)).record;
}

function hintFor(
  { command }: RestoreCommandDeps,
  { name }: ClusterSpec,
  id: string | undefined,
  entries: readonly SnapshotEntry[],
): string {
  if (entries.length === 0) return `Make one: ${command} backup ${name}`;
  const near =
    id === undefined
      ? undefined
      : nearest(
          id,
          entries.map((entry) => entry.id),
        );
  if (near !== undefined) return `Did you mean "${near}"? Then type: ${command} runbook ${name} ${near}`;
  return `See what there is: ${command} snapshots ${name}`;
}
