/**
 * Owns the scrub: stored copies are read again, in turn and slowly, by one replica at a time. Good ones make no noise. The same
 * look finds copies that are missing, and has them made.
 */
import { SCRUB_LEASE, type ScrubJob } from '../../domain/job.ts';
import {
  copiesToRead,
  copyName,
  dueCopies,
  putOffName,
  readAgainTomorrow,
  roundMs,
  SCRUB_FOR_MS,
  totalBytes,
  type ScrubCopy,
} from '../../domain/scrub.ts';
import type { SnapshotStore, JobContext, JobResult } from '../../ports.ts';
import type { CopyDeps } from './deps.ts';
import { repairMissing } from './find-missing.ts';
import { lookAtAll, lookAtCopy } from './look-at-copy.ts';
import { settle } from './marks.ts';
import type { ReadOptions } from './read-copy.ts';

/** Under which it is remembered that the rate is too low. */
const BEHIND = 'scrub-behind';

/** Ends at once while another replica scrubs, or when scrubbing is off and nothing is missing. */
export async function runScrub(job: ScrubJob, context: JobContext, deps: CopyDeps): Promise<JobResult> {
  const now = deps.clock.now();
  const lease = await deps.lease.acquire({
    id: job.id,
    kind: 'scrub',
    cluster: SCRUB_LEASE,
    startedAt: now.toISOString(),
  });
  if ('heldBy' in lease) return { kind: 'done' };
  try {
    const copies = await lookAtClusters(deps);
    if (!deps.scrub.enabled) return { kind: 'done' };
    await tellIfBehind(deps, copies);
    const signal = AbortSignal.any([context.signal, lease.lost]);
    await readInTurn(job, deps, dueCopies(copies, deps.scrub.everyMs, now), signal);
    return { kind: 'done' };
  } finally {
    await lease.release();
  }
}

/** Every copy there is, of all clusters; what is missing is queued on the way, and what is gone is forgotten. */
async function lookAtClusters(deps: CopyDeps): Promise<readonly ScrubCopy[]> {
  const all: ScrubCopy[] = [];
  for (const spec of deps.clusters.values()) {
    const listed = await deps.catalogue.entries(spec.name);
    await repairMissing(deps, spec, listed);
    if (!deps.scrub.enabled) continue;
    const lastReads = await deps.scrubMemory.lastReads(spec.name);
    all.push(...copiesToRead(listed.entries, lastReads));
    const there = new Set(
      listed.entries.flatMap(({ copies }) => copies.flatMap((copy) => [copyName(copy), putOffName(copy)])),
    );
    const gone = [...lastReads.keys()].filter((name) => !there.has(name));
    // With a store away nobody can say what is gone.
    if (listed.problems.length === 0) await deps.scrubMemory.forget(spec.name, gone);
  }
  return all;
}

/** Said once, and once more after it was well in between. */
async function tellIfBehind(deps: CopyDeps, copies: readonly ScrubCopy[]): Promise<void> {
  const { everyMs, rateLimit } = deps.scrub;
  const neededMs = roundMs(copies, rateLimit);
  const told = await deps.scrubMemory.told(BEHIND);
  if (neededMs <= everyMs) {
    if (told !== undefined) await deps.scrubMemory.setTold(BEHIND, undefined);
    return;
  }
  if (told !== undefined) return;
  const now = deps.clock.now();
  const operation = `${BEHIND}-${now.toISOString().slice(0, 10)}`;
  const bytes = totalBytes(copies);
  const at = now.toISOString();
  await deps.publish({
    type: 'scrub.behind',
    at,
    operation,
    cluster: SCRUB_LEASE,
    bytes,
    neededMs,
    everyMs,
    rateLimit,
  });
  await deps.scrubMemory.setTold(BEHIND, operation);
}

/** Until all are read or time is up; a copy that was begun is read to its end. */
async function readInTurn(
  job: ScrubJob,
  deps: CopyDeps,
  due: readonly ScrubCopy[],
  signal: AbortSignal,
): Promise<void> {
  const until = deps.clock.now().getTime() + SCRUB_FOR_MS;
  const away = new Set<string>();
  for (const copy of due) {
    signal.throwIfAborted();
    if (deps.clock.now().getTime() >= until) return;
    const store = deps.stores.get(copy.store);
    if (store === undefined || away.has(copy.store)) continue;
    if ((await readOne(job, deps, copy, store, signal)) === 'away') away.add(copy.store);
  }
}

async function readOne(
  job: ScrubJob,
  deps: CopyDeps,
  { entry, store: name }: ScrubCopy,
  store: SnapshotStore,
  signal: AbortSignal,
): Promise<'read' | 'away'> {
  const options: ReadOptions = { rateLimit: deps.scrub.rateLimit, signal };
  const verdict = await lookAtCopy(deps, entry, store, options);
  const looked = [{ store, verdict }];
  // Where one is bad, all are looked at before anybody is told: is there a good one?
  const isBad = verdict.kind === 'damaged' || verdict.kind === 'disputed';
  await settle(deps, entry, isBad ? await lookAtAll(deps, entry, () => options, looked) : looked, job.id);
  if (verdict.kind === 'missing') return 'read';
  const now = deps.clock.now();
  if (verdict.kind === 'unknown') {
    const { problem } = verdict;
    deps.log.warn({ operation: job.id, store: name, snapshot: entry.id, problem }, 'a copy could not be read');
    if (problem.code === 'store.unreachable' || problem.code === 'store.credentials') return 'away';
  }
  const copy = entry.copies.find((each) => each.store === name);
  if (copy === undefined) return 'read';
  if (verdict.kind === 'unknown') {
    await deps.scrubMemory.setRead(entry.cluster, putOffName(copy), readAgainTomorrow(deps.scrub.everyMs, now));
  } else {
    await deps.scrubMemory.setRead(entry.cluster, copyName(copy), now);
  }
  return 'read';
}
