/** Owns a person's word on what retention asks: yes for exactly what they saw, or not now. */
import { KeyturnError } from '../domain/error.ts';
import { confirmedRetentionId } from '../domain/job.ts';
import type { RetentionJob } from '../domain/job.ts';
import { bytesOf } from '../domain/retention-plan.ts';
import type { RetentionEvent } from '../domain/retention-event.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { findCluster, requireFreshPermission } from './deps.ts';
import type { ConfirmAnswer, RetentionClick } from './retention-commands.ts';
import { askQueue } from './running.ts';
import { lookInTime } from './show-retention.ts';
import type { RetentionCommandDeps } from './show-retention.ts';

type Deps = RestoreCommandDeps & RetentionCommandDeps;

const ATTEMPTS = 3;

/**
 * Looks again before anything is queued; the run itself looks once more. Throws permission.denied, cluster.unknown,
 * retention.not-now, store.unreachable, queue.unavailable.
 */
export async function confirmRetention(deps: Deps, click: RetentionClick): Promise<ConfirmAnswer> {
  const { id: by } = await requireFreshPermission(deps, click.user, 'prune');
  const spec = findCluster(deps, click.cluster);
  const { stores } = await lookInTime(deps, spec);
  const found = stores.find(({ facts }) => facts.store === click.store);
  const confirmed = { store: click.store, digest: click.digest, by };
  const now = deps.clock.now();
  const job: RetentionJob = {
    kind: 'retention',
    id: confirmedRetentionId(spec.name, confirmed, now),
    cluster: spec.name,
    after: undefined,
    confirmed,
    origin: { channel: click.channel, user: by },
  };
  if (found === undefined || found.plan.digest !== click.digest) throw otherNow(deps, click);
  const { blocked, plan } = found;
  if (blocked !== undefined) throw new KeyturnError('retention.not-now', blocked.message, { hint: blocked.hint });
  const added = await askQueue(deps.clock, deps.queue.add(job, { attempts: ATTEMPTS }));
  const answer = { cluster: spec.name, store: plan.store, count: plan.goes.length, bytes: bytesOf(plan.goes) };
  if (added === 'known') return { kind: 'known', ...answer };
  await tell(deps, {
    ...confirmed,
    type: 'retention.confirmed',
    operation: job.id,
    cluster: spec.name,
    at: now.toISOString(),
  });
  return { kind: 'queued', ...answer };
}

/** Throws permission.denied, cluster.unknown, audit.failed. */
export async function declineRetention(deps: Deps, click: RetentionClick): Promise<void> {
  const { id: by } = await requireFreshPermission(deps, click.user, 'prune');
  const { name: cluster } = findCluster(deps, click.cluster);
  const { store, digest } = click;
  const at = deps.clock.now();
  const operation = confirmedRetentionId(cluster, { store, digest, by }, at);
  await deps.publish({ type: 'retention.declined', operation, cluster, at: at.toISOString(), store, digest, by });
}

/** The job is in the queue already, and its own events say who confirmed it: a failure here is only logged. */
async function tell(deps: Deps, event: RetentionEvent): Promise<void> {
  await deps.publish(event).catch((error: unknown) => {
    deps.log.warn({ operation: event.operation, err: error }, 'A confirmation could not be told');
  });
}

function otherNow({ command }: Deps, { cluster, store }: RetentionClick): KeyturnError {
  return new KeyturnError(
    'retention.not-now',
    `What would go from ${store} now is not what you saw; nothing was removed.`,
    {
      hint: `Look again: ${command} retention ${cluster}`,
    },
  );
}
