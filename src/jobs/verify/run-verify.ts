/** Owns what a person asked for with `verify`: every copy of one snapshot read to its end, and a word on each. */
import type { ClusterSpec } from '../../domain/cluster.ts';
import type { CheckedCopy } from '../../domain/copy-verdict.ts';
import { KeyturnError, toProblem } from '../../domain/error.ts';
import type { VerifyJob } from '../../domain/job.ts';
import { copyName } from '../../domain/scrub.ts';
import { clusterPrefix } from '../../domain/snapshot.ts';
import type { SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { JobContext, JobResult, SnapshotStore } from '../../ports.ts';
import { adopt, type Adoption } from './adopt.ts';
import type { CopyDeps } from './deps.ts';
import { lookAtAll, storesOf } from './look-at-copy.ts';
import { settle } from './marks.ts';
import { queueRepair } from './queue-repair.ts';
import type { ReadOptions } from './read-copy.ts';

/** Progress is told at most so often. */
const PROGRESS_EVERY_MS = 1_000;

/** What can't be looked at is told with why; throws when it is to stop, or nothing can be told. */
export async function runVerify(job: VerifyJob, context: JobContext, deps: CopyDeps): Promise<JobResult> {
  try {
    if (context.attempt > context.attempts) throw interrupted();
    const spec = deps.clusters.get(job.cluster);
    if (spec === undefined) throw unknownSnapshot(job, '');
    const entry = await findEntry(job, deps);
    const found = await verifyCopies(job, context, deps, spec, entry);
    await deps.publish({ type: 'verify.ended', ...of(job, deps), ...found });
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof KeyturnError)) throw error;
    deps.log.warn({ err: error, operation: job.id }, 'a snapshot could not be looked at');
    const problem = toProblem(error, job.id);
    await deps.publish({ type: 'verify.failed', ...of(job, deps), origin: job.origin, problem });
  }
  return { kind: 'done' };
}

async function findEntry(job: VerifyJob, deps: CopyDeps): Promise<SnapshotEntry> {
  const { entries, problems } = await deps.catalogue.entries(job.cluster);
  // One that an earlier attempt has taken up has another id by now.
  const entry = entries.find(({ id }) => id === job.snapshot) ?? entries.find((each) => isNamed(each, job.snapshot));
  if (entry === undefined) throw unknownSnapshot(job, problems.map(({ message }) => message).join(' '));
  return entry;
}

/** A verdict on each copy; a store of the cluster that has none is told as such. */
async function verifyCopies(
  job: VerifyJob,
  context: JobContext,
  deps: CopyDeps,
  spec: ClusterSpec,
  entry: SnapshotEntry,
): Promise<Adoption> {
  const held = storesOf(deps, entry).map(({ name }) => name);
  await deps.publish({
    type: 'verify.started',
    ...of(job, deps),
    origin: job.origin,
    takenAt: entry.takenAt,
    copies: entry.copies.filter(({ store }) => held.includes(store)).map(({ store, size }) => ({ store, size })),
  });
  const options = (store: SnapshotStore): ReadOptions => optionsFor(job, context, deps, store);
  if (entry.origin === 'other') return adopt(deps, entry, options, job.origin.user);
  const settled = await settle(deps, entry, await lookAtAll(deps, entry, options), job.id);
  await rememberReads(deps, entry, settled);
  // An object whose manifest is gone, or was never written by whoever took the snapshot up and died.
  for (const { store, verdict } of settled)
    if (verdict.kind === 'missing') await queueRepair(deps, entry.cluster, entry.id, store);
  const lacking = spec.backup.stores.filter((name) => !held.includes(name));
  const missing = lacking.map((store) => ({ store, verdict: { kind: 'missing' } as const, markProblem: undefined }));
  return { copies: [...settled, ...missing], adoptedAs: entry.id === job.snapshot ? undefined : entry.id };
}

function isNamed({ cluster, origin, copies }: SnapshotEntry, name: string): boolean {
  return origin === 'adopted' && copies.some(({ key }) => key === `${clusterPrefix(cluster)}${name}`);
}

function optionsFor(job: VerifyJob, context: JobContext, deps: CopyDeps, store: SnapshotStore): ReadOptions {
  let toldAt = deps.clock.now().getTime();
  return {
    rateLimit: deps.scrub.rateLimit,
    signal: context.signal,
    onBytes(bytes) {
      const now = deps.clock.now().getTime();
      if (now - toldAt < PROGRESS_EVERY_MS) return;
      toldAt = now;
      deps
        .publish({ type: 'verify.progress', ...of(job, deps), store: store.name, bytes })
        .catch((error: unknown) => deps.log.warn({ err: error }, 'progress could not be told'));
    },
  };
}

/** What a person had read needs no scrub for a while. */
async function rememberReads(deps: CopyDeps, entry: SnapshotEntry, copies: readonly CheckedCopy[]): Promise<void> {
  const now = deps.clock.now();
  for (const { store, verdict } of copies) {
    const copy = entry.copies.find((each) => each.store === store);
    if (copy === undefined || verdict.kind === 'unknown' || verdict.kind === 'missing') continue;
    await deps.scrubMemory.setRead(entry.cluster, copyName(copy), now);
  }
}

function of(job: VerifyJob, deps: CopyDeps) {
  return { at: deps.clock.now().toISOString(), operation: job.id, cluster: job.cluster, snapshot: job.snapshot };
}

function unknownSnapshot({ cluster, snapshot }: VerifyJob, away: string): KeyturnError {
  return new KeyturnError('snapshot.unknown', `There is no snapshot ${snapshot} of ${cluster}. ${away}`.trim(), {
    hint: away === '' ? 'List what is stored, and choose another one.' : 'See that its store can be reached.',
  });
}

function interrupted(): KeyturnError {
  return new KeyturnError('job.interrupted', 'The worker was killed or cut off from Redis in the middle, each time.', {
    hint: "Look at the worker's memory limit and its log, then verify again.",
  });
}
