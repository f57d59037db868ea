/**
 * Owns what follows from what was found in a copy: its mark of damage in the store, what is told of it, and its repair.
 * Each damage is told once, however often it is found again.
 */
import type { CheckedCopy, CopyVerdict } from '../../domain/copy-verdict.ts';
import { damageOperation, newDamage, serialiseDamage, type Damage } from '../../domain/damage.ts';
import { KeyturnError, toProblem, type Problem } from '../../domain/error.ts';
import type { RepairJob } from '../../domain/job.ts';
import { damageKey } from '../../domain/snapshot.ts';
import { manifestKeyFor, type SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { SnapshotStore } from '../../ports.ts';
import { readMark } from '../../stored/damage-mark.ts';
import type { CopyDeps } from './deps.ts';
import { queueRepair } from './queue-repair.ts';

/** A copy, and what a look at it said. */
export interface Looked {
  readonly store: SnapshotStore;
  readonly verdict: CopyVerdict;
}

/**
 * Marks, tells and has repaired what the verdicts on the copies of one snapshot ask for. `by`: the operation that looked.
 * Throws queue.unavailable, audit.failed; safe twice.
 */
export async function settle(
  deps: CopyDeps,
  entry: SnapshotEntry,
  looked: readonly Looked[],
  by: string,
): Promise<readonly CheckedCopy[]> {
  const settled: CheckedCopy[] = [];
  for (const each of looked) {
    const markProblem = await settleOne(deps, entry, each, looked, by);
    settled.push({ store: each.store.name, verdict: each.verdict, markProblem });
  }
  return settled;
}

/** Why its mark is not as it should be. */
async function settleOne(
  deps: CopyDeps,
  entry: SnapshotEntry,
  { store, verdict }: Looked,
  all: readonly Looked[],
  by: string,
): Promise<Problem | undefined> {
  switch (verdict.kind) {
    case 'damaged': {
      const { damage, problem } = await mark(deps, entry, store, verdict.found, by);
      await tellDamage(deps, entry, { store: store.name, damage, markProblem: problem, isDisputed: false }, all);
      return problem;
    }
    case 'disputed': {
      const damage = newDamage(deps.clock.now(), verdict.found, by);
      await tellDamage(deps, entry, { store: store.name, damage, markProblem: undefined, isDisputed: true }, all);
      return undefined;
    }
    case 'whole':
      return heal(deps, entry, store, by);
    case 'refused':
    case 'missing':
    case 'unknown':
      return undefined;
  }
}

/** Sets the mark unless there is one. */
async function mark(
  deps: CopyDeps,
  entry: SnapshotEntry,
  store: SnapshotStore,
  found: string,
  by: string,
): Promise<{ readonly damage: Damage; readonly problem: Problem | undefined }> {
  const fresh = newDamage(deps.clock.now(), found, by);
  try {
    const known = await readMark(store, entry);
    if (known !== undefined) return { damage: known, problem: undefined };
    const key = damageKey(entry.cluster, entry.id);
    await store.put(key, Buffer.from(serialiseDamage(fresh)));
    // Retention may have removed the snapshot meanwhile: then the mark speaks of nothing.
    if ((await store.stat(manifestKeyFor(entry))) === undefined) await store.remove(key);
    return { damage: fresh, problem: undefined };
  } catch (error) {
    return { damage: fresh, problem: problemOf(deps, entry, store, error) };
  }
}

/** What is whole has no mark, and what was told of it is over. */
async function heal(
  deps: CopyDeps,
  entry: SnapshotEntry,
  store: SnapshotStore,
  by: string,
): Promise<Problem | undefined> {
  try {
    if ((await readMark(store, entry)) !== undefined) await store.remove(damageKey(entry.cluster, entry.id));
  } catch (error) {
    return problemOf(deps, entry, store, error);
  }
  const copy = { cluster: entry.cluster, snapshot: entry.id, store: store.name };
  const operation = await damageTold(deps, copy);
  if (operation === undefined) return undefined;
  await deps.publish({
    type: 'copy.healed',
    at: deps.clock.now().toISOString(),
    operation,
    ...copy,
    by,
  });
  await forgetDamage(deps, copy);
  return undefined;
}

interface Told {
  readonly store: string;
  readonly damage: Damage;
  readonly markProblem: Problem | undefined;
  readonly isDisputed: boolean;
}

async function tellDamage(
  deps: CopyDeps,
  entry: SnapshotEntry,
  { store, damage, markProblem, isDisputed }: Told,
  all: readonly Looked[],
): Promise<void> {
  const others = all.filter((each) => each.store.name !== store);
  const named = (kind: CopyVerdict['kind']): readonly string[] =>
    others.filter(({ verdict }) => verdict.kind === kind).map((each) => each.store.name);
  const [whole, unread] = [named('whole'), named('unknown')];
  // Where no mark can be written no copy can be.
  const isRepaired = !isDisputed && markProblem === undefined && whole.length + unread.length > 0;
  if (isRepaired) await queueRepair(deps, entry.cluster, entry.id, store);
  const what = nameOf({ cluster: entry.cluster, snapshot: entry.id, store });
  if ((await deps.scrubMemory.told(what)) !== undefined) return;
  const operation = damageOperation(entry.cluster, entry.id, store, damage.at);
  const { cluster, id: snapshot, takenAt } = entry;
  const { found, by } = damage;
  const at = deps.clock.now().toISOString();
  const of = { at, operation, cluster, snapshot, takenAt, store, found, by };
  await deps.publish({ type: 'copy.damaged', ...of, whole, unread, isDisputed, isRepaired, markProblem });
  await deps.scrubMemory.setTold(what, operation);
}

type OneCopy = Pick<RepairJob, 'cluster' | 'snapshot' | 'store'>;

/** Under which the damage of this copy was told; undefined: it was not, or it is over. */
export function damageTold(deps: Pick<CopyDeps, 'scrubMemory'>, copy: OneCopy): Promise<string | undefined> {
  return deps.scrubMemory.told(nameOf(copy));
}

export function forgetDamage(deps: Pick<CopyDeps, 'scrubMemory'>, copy: OneCopy): Promise<void> {
  return deps.scrubMemory.setTold(nameOf(copy), undefined);
}

function nameOf({ cluster, snapshot, store }: OneCopy): string {
  return `${cluster}/${snapshot}/${store}`;
}

function problemOf(deps: CopyDeps, entry: SnapshotEntry, store: SnapshotStore, error: unknown): Problem {
  if (!(error instanceof KeyturnError)) throw error;
  deps.log.warn({ err: error, store: store.name, snapshot: entry.id }, 'the mark of a copy could not be changed');
  return toProblem(error, entry.id);
}
