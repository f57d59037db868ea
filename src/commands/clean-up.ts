/** Owns which restores may lose what they left on the nodes: as the domain says, asked when it is offered and when it is confirmed. */
import { KeyturnError } from '../domain/error.ts';
import { cleanupId } from '../domain/job.ts';
import type { Origin } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import { whyKept } from '../domain/restore/cleanup.ts';
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
  const why = whyKept(request, await deps.requests.byCluster(request.cluster, LOOKED_THROUGH));
  if (why !== undefined) throw notNow(why, isOpen(request.state) ? WAIT : KEPT);
  if (request.startedAt === undefined)
    throw notNow(`Restore ${id} never ran, so it left nothing on the nodes.`, 'Nothing needs doing.');
  return request;
}

const WAIT = 'Wait until it has; its message says how it goes.';
const KEPT = 'Clean up once one has, or remove them by hand; the report says where they lie.';

/** Where a restore that succeeded put the old data. One that was rolled back put them back: no path is told for it. */
function oldDataOf({ state, plan }: RestoreRequest): CleanupOffer['oldData'] {
  if (state === 'rolled-back') return [];
  return plan.members.flatMap(({ node, oldData }) => (oldData.length === 0 ? [] : [{ node, paths: oldData }]));
}

function notNow(message: string, hint: string): KeyturnError {
  return new KeyturnError('request.not-now', message, { hint });
}
