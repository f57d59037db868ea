/**
 * Owns one attempt of a backup: from the cluster's lease to the manifest, and what is told of it on the way.
 * The manifest is written last, under the lease, after trailer, size and read-back were checked.
 */
import { KeyturnError, toProblem } from '../domain/error.ts';
import { retentionId } from '../domain/job.ts';
import type { BackupJob } from '../domain/job.ts';
import { retryAfter } from '../domain/retry.ts';
import { pickMember, type ClusterSpec, type ClusterStatus, type MemberStatus } from '../domain/cluster.ts';
import {
  MANIFEST_FORMAT,
  manifestKey,
  objectKey,
  parseManifest,
  possibleObjectKeys,
  serialiseManifest,
  snapshotId,
  type Encoding,
  type SnapshotRecord,
} from '../domain/snapshot.ts';
import type {
  Clock,
  ClusterLease,
  CronCalendar,
  EtcdClient,
  EtcdSession,
  JobContext,
  JobQueue,
  JobResult,
  Lease,
  Log,
  Publish,
  SnapshotCatalogue,
  SnapshotCoder,
  SnapshotStore,
} from '../ports.ts';
import { newestGood } from '../stored/read-snapshots.ts';
import { Copies, type Leftover } from './copies.ts';
import { copyStream } from './copy-stream.ts';
import { BUSY_WAIT_MS, clearLeftovers } from './leftovers.ts';
import { timeLimit } from './time-limit.ts';
import { queueRepair } from './verify/queue-repair.ts';

export interface BackupDeps {
  readonly clusters: ReadonlyMap<string, ClusterSpec>;
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly etcd: EtcdClient;
  readonly lease: ClusterLease;
  readonly queue: JobQueue;
  readonly catalogue: SnapshotCatalogue;
  readonly coder: SnapshotCoder;
  readonly calendar: CronCalendar;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly log: Log;
  /** Keyturn's own version, for the manifest. */
  readonly version: string;
}

/** A store that is away is swept after so long. */
const SWEEP_ATTEMPTS = 50;
const RETENTION_ATTEMPTS = 3;

/** Works on one attempt. Failures are told and answered with 'again' or 'done'; it throws only when it is to stop. */
export async function runBackup(job: BackupJob, context: JobContext, deps: BackupDeps): Promise<JobResult> {
  const spec = deps.clusters.get(job.cluster);
  if (spec === undefined) return fail(job, context, deps, unknownCluster(job.cluster));
  const startedAt = deps.clock.now().toISOString();
  const lease = await deps.lease.acquire({ id: job.id, kind: 'backup', cluster: job.cluster, startedAt });
  if ('heldBy' in lease) return { kind: 'later', afterMs: BUSY_WAIT_MS };
  deps.log.info({ operation: job.id, attempt: context.attempt, lease: lease.token }, 'backup attempt begins');
  try {
    const end = await attemptOnce(job, context, deps, spec, lease).catch((error: unknown) => ({ error }));
    if ('error' in end) return await afterFailure(job, context, deps, lease, end.error);
    // When this can't be told the job comes again, and the next attempt finds the snapshot: nothing has failed.
    await deps.publish({ type: 'backup.stored', ...base(job, deps), ...end, nextRunAt: nextRunAt(spec, deps) });
    deps.log.info({ operation: job.id, attempt: context.attempt, snapshot: end.record.id }, 'backup stored');
    await repairLater(deps, job, end);
    await retainLater(deps, job);
    return { kind: 'done' };
  } finally {
    await lease.release();
  }
}

async function afterFailure(
  job: BackupJob,
  context: JobContext,
  deps: BackupDeps,
  lease: Lease,
  error: unknown,
): Promise<JobResult> {
  deps.log.warn({ err: error, operation: job.id, attempt: context.attempt }, 'backup attempt failed');
  // The process is to stop: nothing failed, another worker takes the job up.
  context.signal.throwIfAborted();
  // Without the lease nobody can say what is in the stores: the last word is left to a report that has it.
  if (lease.lost.aborted && context.attempt >= context.attempts) throw error;
  return fail(job, context, deps, error);
}

type Finished = Pick<
  Extract<Parameters<Publish>[0], { type: 'backup.stored' }>,
  'record' | 'copies' | 'fallbackReason'
>;

async function attemptOnce(
  job: BackupJob,
  context: JobContext,
  deps: BackupDeps,
  spec: ClusterSpec,
  lease: Lease,
): Promise<Finished> {
  const stores = spec.backup.stores.flatMap((name) => deps.stores.get(name) ?? []);
  const { timeoutMs } = spec.backup;
  const limit = timeLimit(deps.clock, timeoutMs, () => timedOut(timeoutMs), context.signal, lease.lost);
  try {
    const done = await finishedEarlier(job, context, stores, deps);
    await clearEarlier(job, context, stores, deps, limit.signal);
    if (done !== undefined) return done;
    if (context.attempt > context.attempts) throw interrupted();
    const session = await deps.etcd.open(spec, limit.signal);
    try {
      return await readAndStore({ job, context, deps, spec, lease, stores, session, signal: limit.signal });
    } finally {
      await session.close();
    }
  } catch (error) {
    // What broke because time ran out or the lease was lost is told as that.
    throw limit.signal.aborted ? limit.signal.reason : error;
  } finally {
    limit.cancel();
  }
}

interface Attempt {
  readonly job: BackupJob;
  readonly context: JobContext;
  readonly deps: BackupDeps;
  readonly spec: ClusterSpec;
  readonly lease: Lease;
  readonly stores: readonly SnapshotStore[];
  readonly session: EtcdSession;
  readonly signal: AbortSignal;
}

async function readAndStore(attempt: Attempt): Promise<Finished> {
  const { job, context, deps, lease, stores, session, signal } = attempt;
  const takenAt = deps.clock.now();
  const id = snapshotId(takenAt, lease.token);
  const status = await session.status();
  const member = chooseMember(status, attempt.spec.name);
  const before = await session.countKeys(member);
  await deps.publish({ type: 'backup.started', ...base(job, deps), ...started(attempt, member) });

  await context.remember(id);
  const encoding = deps.coder.encodingFor(attempt.spec.backup.compression);
  const copies = await Copies.begin(stores, objectKey(job.cluster, id, encoding), signal);
  try {
    const read = await readInto(attempt, member, encoding, copies);
    const after = await session.countKeys(member);
    await copies.complete(read.stored.size);
    const record: SnapshotRecord = {
      format: MANIFEST_FORMAT,
      id,
      cluster: job.cluster,
      clusterId: String(status.clusterId),
      member: { id: String(member.id), name: member.name, node: member.node ?? '', isLeader: member.isLeader },
      etcdVersion: member.version,
      keyturnVersion: deps.version,
      revisionBefore: String(before.revision),
      revisionAfter: String(after.revision),
      keys: String(before.keys),
      object: { key: copies.key, ...read.stored },
      encoding,
      ...read.checked,
      source: read.source,
      takenAt: takenAt.toISOString(),
      durationMs: deps.clock.now().getTime() - takenAt.getTime(),
      operation: job.id,
      trigger: job.trigger,
      checks: ['sha256-trailer', 'size', 'bolt-magic', 'read-back'],
    };
    signal.throwIfAborted();
    const manifest = Buffer.from(serialiseManifest(record));
    await copies.putManifest(manifestKey(job.cluster, id), manifest, record.object.size);
    await sweepLater(
      deps,
      job,
      await copies.undo(
        copies.failed.map((failed) => failed.store),
        !lease.lost.aborted,
      ),
    );
    return { record, copies: outcomes(copies, job.id), fallbackReason: read.fallbackReason };
  } catch (error) {
    await sweepLater(deps, job, await copies.undo(stores, !lease.lost.aborted));
    throw error;
  }
}

/** Reads the member's snapshot once, into every copy. */
async function readInto(attempt: Attempt, member: MemberStatus, encoding: Encoding, copies: Copies) {
  const { job, deps, spec, session, signal } = attempt;
  const { stallTimeoutMs, rateLimit } = spec.backup;
  const stream = await session.openSnapshot(member, { signal, stallTimeoutMs, rateLimit });
  const tellBytes = (bytes: number): void =>
    tell(deps, { type: 'backup.progress', ...base(job, deps), bytes, expectedBytes: member.dbSize });
  const copied = await copyStream(stream, { ...deps, encoding, copies, signal, tellBytes });
  return { ...copied, source: stream.source, fallbackReason: stream.fallbackReason };
}

function chooseMember(status: ClusterStatus, cluster: string): MemberStatus {
  if (status.leader === undefined)
    throw new KeyturnError('etcd.no-leader', `The etcd of ${cluster} has no leader${unwell(status)}.`, {
      hint: `Bring back members until ${majority(status)} run and reach each other; look at the etcd logs of those that are down.`,
    });
  const member = pickMember(status);
  if (member !== undefined) return member;
  throw new KeyturnError('etcd.no-member', `No member of ${cluster} is fit to be read${unwell(status)}.`, {
    hint: 'A learner or a member that is down or far behind is never read; look at the members with the status command.',
  });
}

/** `2 of 3`. */
function majority({ members }: ClusterStatus): string {
  const voters = members.filter((member) => !member.isLearner).length;
  return `${Math.floor(voters / 2) + 1} of ${voters}`;
}

/** What is wrong with members, beyond having no leader. */
function unwell(status: ClusterStatus): string {
  const why = status.members.flatMap(({ problem }) =>
    problem === undefined || problem.code === 'etcd.no-leader' ? [] : [problem.message.replace(/\.$/, '')],
  );
  return why.length === 0 ? '' : `: ${why.join('; ')}`;
}

function started({ job, context, stores }: Attempt, member: MemberStatus) {
  return {
    trigger: job.trigger,
    origin: job.origin,
    attempt: context.attempt,
    attempts: context.attempts,
    member: member.name,
    node: member.node ?? '',
    isLeader: member.isLeader,
    expectedBytes: member.dbSize,
    stores: stores.map((store) => store.name),
  };
}

/** An earlier attempt may have died between its manifest and its report: then the backup is there already. */
async function finishedEarlier(
  job: BackupJob,
  context: JobContext,
  stores: readonly SnapshotStore[],
  deps: BackupDeps,
): Promise<Finished | undefined> {
  for (const id of context.remembered) {
    const look = (store: SnapshotStore): Promise<SnapshotRecord | undefined> =>
      readSnapshot(store, job.cluster, id).catch((error: unknown) => {
        // With a store away we can't tell, and a snapshot too many is the safe side.
        deps.log.warn({ err: error, operation: job.id, store: store.name }, 'earlier attempts could not be looked up');
        return undefined;
      });
    const found = await Promise.all(stores.map(look));
    const record = found.find((manifest) => manifest !== undefined);
    if (record === undefined) continue;
    const missing = toProblem(interrupted(), job.id);
    return {
      record,
      copies: stores.map((store, i) => ({ store: store.name, problem: found[i] === undefined ? missing : undefined })),
      fallbackReason: undefined,
    };
  }
  return undefined;
}

/** The record of a snapshot that is there whole: manifest and object. */
async function readSnapshot(store: SnapshotStore, cluster: string, id: string): Promise<SnapshotRecord | undefined> {
  const key = manifestKey(cluster, id);
  if ((await store.stat(key)) === undefined) return undefined;
  const parsed = parseManifest(Buffer.from(await store.get(key)).toString());
  if (!parsed.ok) return undefined;
  const { object } = parsed.record;
  return (await store.stat(object.key))?.size === object.size ? parsed.record : undefined;
}

/** A store that is away now is cleared by a sweep; it must not keep the others from getting their copy. */
async function clearEarlier(
  job: BackupJob,
  context: JobContext,
  stores: readonly SnapshotStore[],
  deps: BackupDeps,
  signal: AbortSignal,
): Promise<void> {
  const keys = context.remembered.flatMap((id) => possibleObjectKeys(job.cluster, id));
  const left: Leftover[] = [];
  for (const store of stores) {
    try {
      await clearLeftovers(store, job.cluster, keys, signal);
    } catch (error) {
      signal.throwIfAborted();
      deps.log.warn({ err: error, operation: job.id, store: store.name }, 'leftovers could not be cleared');
      left.push(...keys.map((key) => ({ store, key })));
    }
  }
  await sweepLater(deps, job, left);
}

async function sweepLater(deps: BackupDeps, job: BackupJob, left: readonly Leftover[]): Promise<void> {
  for (const { store, key } of left) {
    const id = `sweep-${store.name}-${key.replaceAll(/[^A-Za-z0-9.-]/g, '-')}`;
    await deps.queue
      .add({ kind: 'sweep', id, cluster: job.cluster, store: store.name, keys: [key] }, { attempts: SWEEP_ATTEMPTS })
      .catch((error: unknown) => {
        deps.log.warn({ err: error, operation: job.id, store: store.name, key }, 'no sweep could be queued');
      });
  }
}

/** What is not queued now is found by the next scrub. */
async function repairLater(deps: BackupDeps, job: BackupJob, { record, copies }: Finished): Promise<void> {
  for (const { store, problem } of copies) {
    if (problem === undefined) continue;
    await queueRepair(deps, job.cluster, record.id, store).catch((error: unknown) => {
      deps.log.warn({ err: error, operation: job.id, store }, 'no repair could be queued');
    });
  }
}

/** Only a backup that is stored makes room for itself. What is not queued now is done after the next one. */
async function retainLater(deps: BackupDeps, { id, cluster }: BackupJob): Promise<void> {
  const retention = { id: retentionId(id), cluster, after: id, confirmed: undefined, origin: undefined } as const;
  await deps.queue
    .add({ kind: 'retention', ...retention }, { attempts: RETENTION_ATTEMPTS })
    .catch((error: unknown) => deps.log.warn({ err: error, operation: id }, 'no retention could be queued'));
}

/** Tells of the failure, and says whether it is tried again. */
async function fail(job: BackupJob, context: JobContext, deps: BackupDeps, error: unknown): Promise<JobResult> {
  const problem = toProblem(error, job.id);
  const { attempt, attempts } = context;
  const afterMs = retryAfter(problem.code, attempt, attempts);
  if (afterMs !== undefined) {
    const retryAt = new Date(deps.clock.now().getTime() + afterMs).toISOString();
    await deps.publish({ type: 'backup.retrying', ...base(job, deps), problem, attempt, attempts, retryAt });
    return { kind: 'again', afterMs };
  }
  const spec = deps.clusters.get(job.cluster);
  await deps.publish({
    type: 'backup.failed',
    ...base(job, deps),
    trigger: job.trigger,
    origin: job.origin,
    problem,
    attempts: Math.min(attempt, attempts),
    lastGoodAt: await lastGoodAt(job.cluster, deps),
    rpoMs: spec?.backup.rpoMs,
    nextRunAt: spec === undefined ? undefined : nextRunAt(spec, deps),
  });
  return { kind: 'done' };
}

async function lastGoodAt(cluster: string, deps: BackupDeps): Promise<string | undefined> {
  if (!deps.clusters.has(cluster)) return undefined;
  const { entries } = await deps.catalogue.entries(cluster);
  return (await newestGood(deps.catalogue, entries)).record?.takenAt;
}

function outcomes(copies: Copies, operation: string): Finished['copies'] {
  return [
    ...copies.stores.map((store) => ({ store: store.name, problem: undefined })),
    ...copies.failed.map(({ store, error }) => ({ store: store.name, problem: toProblem(error, operation) })),
  ];
}

function base(job: BackupJob, deps: BackupDeps) {
  return { at: deps.clock.now().toISOString(), operation: job.id, cluster: job.cluster };
}

/** Progress is not worth waiting for; losing one is nothing. */
function tell(deps: BackupDeps, event: Parameters<Publish>[0]): void {
  deps.publish(event).catch((error: unknown) => deps.log.warn({ err: error }, 'progress could not be told'));
}

function nextRunAt({ backup }: ClusterSpec, { calendar, clock }: BackupDeps): string | undefined {
  if (backup.schedule === undefined) return undefined;
  return calendar.next(backup.schedule, backup.timezone, clock.now()).toISOString();
}

function timedOut(ms: number): KeyturnError {
  return new KeyturnError('job.timeout', `The backup took longer than ${Math.round(ms / 1000)} s.`, {
    hint: 'Look at the speed of node and store, or raise backup.timeout.',
  });
}

function interrupted(): KeyturnError {
  return new KeyturnError('job.interrupted', 'The worker was killed or cut off from Redis in the middle, each time.', {
    hint: "Look at the worker's memory limit and its log, then back up again.",
  });
}

function unknownCluster(name: string): KeyturnError {
  return new KeyturnError('cluster.unknown', `There is no cluster ${name} in the configuration any more.`, {
    hint: 'Look at the list of clusters.',
  });
}
