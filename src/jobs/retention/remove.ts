/**
 * Owns the removal of what a plan says goes from one store: the manifest first, so that a crash leaves a stray and never a
 * snapshot that is only half there; and what protects a snapshot is looked at once more right before.
 */
import { KeyturnError, toProblem } from '../../domain/error.ts';
import type { Problem } from '../../domain/error.ts';
import { isHeld } from '../../domain/retention.ts';
import type { Hold } from '../../domain/retention.ts';
import { wantsCluster } from '../../domain/restore-request.ts';
import { ALWAYS_ALLOWED } from '../../domain/retention-plan.ts';
import type { Planned, StorePlan } from '../../domain/retention-plan.ts';
import { manifestKey } from '../../domain/snapshot.ts';
import { keysOf } from '../../domain/snapshot-entry.ts';
import type { SnapshotStore } from '../../ports.ts';
import { holdOn, requestedOf } from '../../retention/look.ts';
import { liftLegalHold } from '../../stored/holds.ts';
import { patiently } from './deps.ts';
import type { Run } from './deps.ts';

export interface Removal {
  readonly removed: readonly Planned[];
  /** The store does not let go of them; `message`: its reason for the first. */
  readonly locked: readonly { readonly planned: Planned; readonly message: string }[];
  /** Why it came to no end; undefined when it did. */
  readonly problem: Problem | undefined;
}

/** Removed side by side: a crash leaves no more strays than are cleared without a person. In between the lease is asked for. */
const BATCH = ALWAYS_ALLOWED;

type Outcome =
  | { readonly kind: 'removed' | 'protected' }
  | { readonly kind: 'locked'; readonly message: string }
  | { readonly kind: 'failed'; readonly error: unknown };

/** Oldest first. What the store refuses is in the answer; throws only when the run must not go on. */
export async function removeAll(run: Run, store: SnapshotStore, { goes }: StorePlan): Promise<Removal> {
  const removed: Planned[] = [];
  const locked: { planned: Planned; message: string }[] = [];
  const oldestFirst = [...goes].reverse();
  for (let at = 0; at < oldestFirst.length; at += BATCH) {
    await run.mayGoOn();
    if (run.deps.clock.now() >= run.until)
      return { removed, locked, problem: outOfTime(store, oldestFirst.length - at) };
    const open = await run.deps.requests.open();
    const waiting = open.find((request) => request.cluster === run.spec.name && wantsCluster(request.state));
    if (waiting !== undefined) return { removed, locked, problem: restoreFirst(run.spec.name, waiting.id) };
    const requested = requestedOf(open, run.spec.name);
    const batch = oldestFirst.slice(at, at + BATCH);
    const outcomes = await Promise.all(
      batch.map(async (planned) => (requested.has(planned.id) ? PROTECTED : removeOne(run, store, planned))),
    );
    run.throwIfEnded();
    for (const [i, outcome] of outcomes.entries()) {
      const planned = batch[i];
      if (planned === undefined) continue;
      if (outcome.kind === 'removed') removed.push(planned);
      if (outcome.kind === 'locked') locked.push({ planned, message: outcome.message });
    }
    const failed = outcomes.find((outcome) => outcome.kind === 'failed');
    if (failed === undefined) continue;
    run.deps.log.warn({ err: failed.error, operation: run.id, store: store.name }, 'a snapshot could not be removed');
    return { removed, locked, problem: toProblem(failed.error, run.id) };
  }
  return { removed, locked, problem: undefined };
}

const PROTECTED: Outcome = { kind: 'protected' };

async function removeOne(run: Run, store: SnapshotStore, planned: Planned): Promise<Outcome> {
  try {
    const hold = await holdNow(run, planned);
    if (hold !== undefined && isHeld(hold, run.deps.clock.now())) return PROTECTED;
    // One that has ended may still be the store's own legal hold.
    if (hold !== undefined) await letGo(run, store, planned);
    await removeKeys(run, store, planned);
    return { kind: 'removed' };
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'store.locked')
      return { kind: 'locked', message: error.message };
    return { kind: 'failed', error };
  }
}

/** Somebody may have held it since the look. */
function holdNow({ spec, deps }: Run, { id }: Planned): Promise<Hold | undefined> {
  const stores = spec.backup.stores.flatMap((name) => deps.stores.get(name) ?? []);
  return patiently(deps, stores.map(({ name }) => name).join(', '), holdOn(stores, spec.name, id));
}

function letGo({ spec, deps }: Run, store: SnapshotStore, { id, key }: Planned): Promise<void> {
  const keys = { object: key, manifest: manifestKey(spec.name, id) };
  return patiently(deps, store.name, liftLegalHold(store, keys));
}

/** An object that is locked gets its manifest back: a snapshot that must stay stays whole. */
async function removeKeys({ spec, deps, throwIfEnded }: Run, store: SnapshotStore, planned: Planned): Promise<void> {
  const manifest = manifestKey(spec.name, planned.id);
  const body = await manifestOf(deps, store, manifest);
  for (const key of keysOf({ cluster: spec.name, id: planned.id, origin: 'keyturn' }, planned.key)) {
    throwIfEnded();
    try {
      await patiently(deps, store.name, store.remove(key));
    } catch (error) {
      const isLocked = error instanceof KeyturnError && error.code === 'store.locked';
      if (isLocked && key === planned.key && body !== undefined)
        await patiently(deps, store.name, store.put(manifest, body));
      throw error;
    }
  }
}

async function manifestOf(deps: Run['deps'], store: SnapshotStore, key: string): Promise<Uint8Array | undefined> {
  try {
    return await patiently(deps, store.name, store.get(key));
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'store.not-found') return undefined;
    throw error;
  }
}

function restoreFirst(cluster: string, request: string): Problem {
  return {
    code: 'cluster.busy',
    message: `Restore ${request} of ${cluster} goes first.`,
    hint: 'Wait: the run after the next backup goes on.',
  };
}

function outOfTime(store: SnapshotStore, left: number): Problem {
  return {
    code: 'job.timeout',
    message: `Time was up with ${left} snapshots left to remove from ${store.name}.`,
    hint: 'The next run after a backup goes on. If it happens again, look at the speed of the store.',
  };
}
