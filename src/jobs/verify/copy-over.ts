/**
 * Owns the way of one copy from a store to another: hashed while it streams, the manifest last, and nothing kept of what does not
 * fit. What was damaged loses its mark only after it was read again to its end.
 */
import { KeyturnError } from '../../domain/error.ts';
import type { RepairJob } from '../../domain/job.ts';
import { damageKey, type SnapshotRecord } from '../../domain/snapshot.ts';
import { manifestKeyFor, type SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { JobContext, SnapshotStore } from '../../ports.ts';
import { Measure } from '../measure.ts';
import type { CopyDeps } from './deps.ts';
import { lookAtAll, lookAtCopy } from './look-at-copy.ts';
import { judge, readManifests, type FoundManifest } from './manifests.ts';
import { damageTold, settle } from './marks.ts';

export interface CopiedOver {
  /** The store it came from. */
  readonly from: string;
  /** The operation that took the snapshot. */
  readonly backup: string;
  readonly why: 'damaged' | 'missing';
  readonly bytes: number;
  /** Under which the damage was told; undefined: it was not, or there was none. */
  readonly damage: string | undefined;
}

/**
 * Undefined when there is nothing (any more) to repair. Throws snapshot.damaged when no good copy is left to copy from, store.*
 * when the stores can't say or take it now, and the reason of `signal`.
 */
export async function copyOver(
  job: RepairJob,
  context: Pick<JobContext, 'remembered' | 'remember'>,
  deps: CopyDeps,
  signal: AbortSignal,
): Promise<CopiedOver | undefined> {
  const target = deps.stores.get(job.store);
  const entry = target && (await findEntry(job, deps));
  if (target === undefined || entry === undefined) return undefined;
  const own = entry.copies.find(({ store }) => store === target.name);
  if (own?.isDamaged === false && own.manifest !== undefined) return doneEarlier(context, deps, entry);
  const why = own?.isDamaged === true ? 'damaged' : 'missing';
  const { manifest, from } = await copyFromAny(job, deps, entry, target, signal);
  const damage = await damageTold(deps, job);
  await context.remember(JSON.stringify({ from, why, damage } satisfies Done));
  await putManifest(target, manifestKeyFor(entry), manifest);
  if (why === 'damaged') await unmarkWhole(deps, entry, target, signal);
  return { from, why, damage, ...factsOf(manifest.record) };
}

/** What an attempt remembers once the bytes are there. */
type Done = Pick<CopiedOver, 'from' | 'why' | 'damage'>;

/** An earlier attempt may have died between its last write and its report. */
async function doneEarlier(
  { remembered }: Pick<JobContext, 'remembered'>,
  deps: CopyDeps,
  entry: SnapshotEntry,
): Promise<CopiedOver | undefined> {
  const last = remembered.at(-1);
  if (last === undefined) return undefined;
  const { record } = await deps.catalogue.record(entry);
  return { ...(JSON.parse(last) as Done), ...factsOf(record) };
}

function factsOf({ operation, object }: SnapshotRecord): Pick<CopiedOver, 'backup' | 'bytes'> {
  return { backup: operation, bytes: object.size };
}

/** Undefined: nobody has it, it was removed. */
async function findEntry(job: RepairJob, deps: CopyDeps): Promise<SnapshotEntry | undefined> {
  const { entries, problems } = await deps.catalogue.entries(job.cluster);
  const entry = entries.find(({ id, origin }) => id === job.snapshot && origin !== 'other');
  // The target has to be listed; of the others one that has the snapshot.
  const away = problems.find(({ store }) => entry === undefined || store === job.store);
  if (away !== undefined) throw unreachable(away.message, away.hint);
  return entry;
}

type Good = Extract<FoundManifest, { kind: 'good' }>;

/** The object from the first source that gives it whole. */
async function copyFromAny(
  job: RepairJob,
  deps: CopyDeps,
  entry: SnapshotEntry,
  target: SnapshotStore,
  signal: AbortSignal,
): Promise<{ readonly manifest: Good; readonly from: string }> {
  const sources = entry.copies.filter(({ store, isDamaged }) => store !== target.name && !isDamaged);
  // The target's own manifest has no say: it is what is to be made.
  const manifests = await readManifests(deps.stores, { ...entry, copies: sources });
  let problem = noGoodCopy(entry);
  for (const manifest of manifests) {
    const judged = judge(manifests, manifest.store);
    const source = deps.stores.get(manifest.store);
    if (judged.kind === 'unknown') problem = unreachable(judged.problem.message, judged.problem.hint);
    if (judged.kind === 'disputed') problem = disputed(entry);
    if (judged.kind !== 'agreed' || manifest.kind !== 'good' || source === undefined) continue;
    try {
      if (await copyObject(source, target, manifest.record, signal)) return { manifest, from: source.name };
      // What it gave is not what was written: it has to be looked at, and told of, like any other.
      await settle(deps, entry, await lookAtAll(deps, entry, () => ({ rateLimit: undefined, signal })), job.id);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof KeyturnError)) throw error;
      deps.log.warn({ err: error, snapshot: entry.id, from: source.name, to: target.name }, 'a copy was not made');
      problem = error;
    }
  }
  throw problem;
}

/** Visible only when the bytes that went through are those that were written once; false when they are not. */
async function copyObject(
  source: SnapshotStore,
  target: SnapshotStore,
  { object }: SnapshotRecord,
  signal: AbortSignal,
): Promise<boolean> {
  const stream = await source.read(object.key, signal);
  try {
    const upload = await target.beginUpload(object.key, signal);
    try {
      const measure = new Measure();
      for await (const chunk of measure.of(stream)) await upload.write(chunk);
      const { size, sha256 } = measure.finish();
      const isGood = size === object.size && sha256 === object.sha256;
      await (isGood ? upload.complete() : upload.abort());
      return isGood;
    } catch (error) {
      // What is left of it in a store that is away is cleared by the next backup.
      await upload.abort().catch(() => undefined);
      throw error;
    }
  } finally {
    stream.destroy();
  }
}

/** As backups do: written, read back, and the object still there behind it. */
async function putManifest(target: SnapshotStore, key: string, { text, record }: Good): Promise<void> {
  const { object } = record;
  await requireSize(target, object);
  await target.put(key, Buffer.from(text));
  if (Buffer.from(await target.get(key)).toString('utf8') !== text) throw notKept(target.name, key);
  await requireSize(target, object);
}

async function requireSize(store: SnapshotStore, { key, size }: SnapshotRecord['object']): Promise<void> {
  if ((await store.stat(key))?.size !== size) throw notKept(store.name, key);
}

/** Read to its end again: a store that spoiled it once may do so again. */
async function unmarkWhole(
  deps: CopyDeps,
  entry: SnapshotEntry,
  target: SnapshotStore,
  signal: AbortSignal,
): Promise<void> {
  const verdict = await lookAtCopy(deps, entry, target, { rateLimit: undefined, signal });
  if (verdict.kind === 'unknown') throw unreachable(verdict.problem.message, verdict.problem.hint);
  if (verdict.kind !== 'whole') throw notKept(target.name, entry.id);
  await target.remove(damageKey(entry.cluster, entry.id));
}

function notKept(store: string, what: string): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${store} does not keep ${what} as it is written.`, {
    hint: `Look at the disks of ${store}; until it is well, no copy there can be relied on.`,
  });
}

function noGoodCopy({ id, cluster }: SnapshotEntry): KeyturnError {
  return new KeyturnError('snapshot.damaged', `No good copy of ${id} of ${cluster} is left to copy from.`, {
    hint: 'Back up now; this snapshot can be had only from a copy that somebody made elsewhere.',
  });
}

function disputed({ id, cluster }: SnapshotEntry): KeyturnError {
  return new KeyturnError('snapshot.damaged', `The manifests of ${id} of ${cluster} differ from store to store.`, {
    hint: 'Find out which is right: compare them, and ask who may write to the stores.',
  });
}

function unreachable(message: string, hint: string): KeyturnError {
  return new KeyturnError('store.unreachable', message, { hint });
}
