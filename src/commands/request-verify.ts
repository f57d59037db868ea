/** Owns what happens when a person asks for a snapshot to be read again: one job, one announcement. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import { requestedVerifyId, type VerifyJob } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import type { StoreProblem } from '../ports.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, inParallel, requirePermission, within } from './deps.ts';
import { askQueue } from './running.ts';

export interface VerifyRequest {
  /** Undefined: whichever has the snapshot. */
  readonly cluster: string | undefined;
  /** As typed. */
  readonly snapshot: string;
  /** Where the person asked; they are told there. */
  readonly channel: string;
}

export interface VerifyAnswer {
  readonly cluster: string;
  readonly snapshot: string;
  readonly operation: string;
}

type Deps = Pick<
  CommandDeps,
  'clusters' | 'people' | 'command' | 'catalogue' | 'queue' | 'publish' | 'clock' | 'log' | 'nonce'
>;

/** A worker that dies is followed by another, some times. */
const ATTEMPTS = 3;
const LOOK_PATIENCE_MS = 15_000;
const CLUSTERS_AT_ONCE = 8;

/** Throws permission.denied, cluster.unknown, snapshot.unknown, command.invalid, queue.unavailable. */
export async function requestVerify(deps: Deps, actor: Person, request: VerifyRequest): Promise<VerifyAnswer> {
  requirePermission(deps, actor, 'verify');
  const { cluster, id: snapshot } = await findOne(deps, request);
  const askedAt = deps.clock.now();
  const job: VerifyJob = {
    kind: 'verify',
    id: requestedVerifyId(cluster, askedAt, deps.nonce()),
    cluster,
    snapshot,
    origin: { channel: request.channel, user: actor.id },
    askedAt: askedAt.toISOString(),
  };
  await askQueue(deps.clock, deps.queue.add(job, { attempts: ATTEMPTS }));
  await announceQueued(deps, job);
  return { cluster, snapshot, operation: job.id };
}

async function findOne(deps: Deps, request: VerifyRequest): Promise<SnapshotEntry> {
  const specs = request.cluster === undefined ? deps.clusters : [findCluster(deps, request.cluster)];
  const looks = await inParallel(specs, CLUSTERS_AT_ONCE, (spec) => lookIn(deps, spec, request.snapshot));
  const found = looks.flatMap(({ entry }) => entry ?? []);
  const [first, ...others] = found;
  if (first === undefined)
    throw unknownSnapshot(
      deps,
      request,
      looks.flatMap(({ problems }) => problems),
    );
  if (others.length > 0) throw ambiguous(deps, found);
  return first;
}

async function lookIn(
  deps: Deps,
  spec: ClusterSpec,
  snapshot: string,
): Promise<{ readonly entry: SnapshotEntry | undefined; readonly problems: readonly StoreProblem[] }> {
  const late = (): Error =>
    new KeyturnError('store.unreachable', `The stores of ${spec.name} did not answer in time.`, {
      hint: 'Try again in a minute; "keyturn check" tries every store and tells what is wrong.',
    });
  const { entries, problems } = await within(deps.clock, LOOK_PATIENCE_MS, deps.catalogue.entries(spec.name), late);
  const wanted = snapshot.toLowerCase();
  return { entry: entries.find(({ id }) => id.toLowerCase() === wanted), problems };
}

/** The job is in the queue already; its next event carries all that this one says, so a failure here is only logged. */
async function announceQueued(deps: Deps, { id: operation, cluster, snapshot, origin, askedAt: at }: VerifyJob) {
  try {
    await deps.publish({ type: 'verify.queued', at, operation, cluster, snapshot, origin });
  } catch (error) {
    deps.log.warn({ operation, err: error }, 'The queued verification could not be announced');
  }
}

function unknownSnapshot(
  { command }: Deps,
  { cluster, snapshot }: VerifyRequest,
  problems: readonly StoreProblem[],
): KeyturnError {
  const away = problems.map(({ message }) => message).join(' ');
  const where = cluster === undefined ? '' : ` of ${cluster}`;
  const message = `There is no snapshot "${snapshot.slice(0, 80)}"${where}. ${away}`.trim();
  return new KeyturnError('snapshot.unknown', message, {
    hint: `See what is stored: ${command} snapshots ${cluster ?? '<cluster>'}`,
  });
}

function ambiguous({ command }: Deps, found: readonly SnapshotEntry[]): KeyturnError {
  const [first] = found;
  const message = `Several clusters have a snapshot of that name: ${found.map(({ cluster }) => cluster).join(', ')}.`;
  return new KeyturnError('command.invalid', message, {
    hint: `Name the cluster: ${command} verify ${first?.cluster ?? ''} ${first?.id ?? ''}`,
  });
}
