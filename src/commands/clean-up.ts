/** Owns which restores may lose what they left on the nodes: never the newest of a cluster, never one that has not ended. */
import { KeyturnError } from '../domain/error.ts';
import { cleanupId } from '../domain/job.ts';
import type { Origin } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import { isOpen } from '../domain/restore-request.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { requireFreshPermission, requirePermission } from './deps.ts';
import { knownRequest } from './known-request.ts';
import { askQueue } from './running.ts';
import type { CleanupOffer } from './restore-commands.ts';

/** A node that is away is asked again, some times. */
const ATTEMPTS = 5;
/** Requests of one cluster that are looked through for its newest successful restore. */
const LOOKED_THROUGH = 100;

/** Throws permission.denied, request.unknown, request.not-now, queue.unavailable. */
export async function offerCleanup(deps: RestoreCommandDeps, actor: Person, id: string): Promise<CleanupOffer> {
  requirePermission(deps, actor, 'cleanup');
  const request = await removable(deps, id);
  return { request, oldData: oldDataOf(request) };
}

/** Queues the removal; the look at the rules is taken again. Throws as `offerCleanup` does, and slack.refused. */
export async function cleanUp(deps: RestoreCommandDeps, actor: Person, id: string, origin: Origin): Promise<void> {
  const { id: by } = await requireFreshPermission(deps, actor.id, 'cleanup');
  const { cluster } = await removable(deps, id);
  const job = { kind: 'cleanup', id: cleanupId(id, deps.clock.now()), cluster, request: id, by, origin } as const;
  await askQueue(deps.clock, deps.queue.add(job, { attempts: ATTEMPTS }));
}

async function removable(deps: RestoreCommandDeps, id: string): Promise<RestoreRequest> {
  const request = await knownRequest(deps, id);
  if (isOpen(request.state))
    throw notNow(`Restore ${id} has not ended.`, 'Wait until it has; its message says how it goes.');
  if (request.startedAt === undefined)
    throw notNow(`Restore ${id} never ran, so it left nothing on the nodes.`, 'Nothing needs doing.');
  if (isKept(request, await deps.requests.byCluster(request.cluster, LOOKED_THROUGH)))
    throw notNow(
      `The old data of restore ${id} are kept: no later restore of ${request.cluster} has succeeded.`,
      'Clean up once one has, or remove them by hand; the report says where they lie.',
    );
  return request;
}

/** Until a later one succeeded: what was rolled back or failed since left this one's data in use, or may need the old ones. */
function isKept({ id }: RestoreRequest, newestFirst: readonly RestoreRequest[]): boolean {
  const newest = newestFirst.findIndex(({ state }) => state === 'succeeded');
  const own = newestFirst.findIndex((request) => request.id === id);
  // What is not among the newest any more is older than all of them.
  return newest < 0 || (own >= 0 && own <= newest);
}

/** Where a restore that succeeded put the old data. One that was rolled back put them back: no path is told for it. */
function oldDataOf({ state, plan }: RestoreRequest): CleanupOffer['oldData'] {
  if (state === 'rolled-back') return [];
  return plan.members.flatMap(({ node, oldData }) => (oldData.length === 0 ? [] : [{ node, paths: oldData }]));
}

function notNow(message: string, hint: string): KeyturnError {
  return new KeyturnError('request.not-now', message, { hint });
}
