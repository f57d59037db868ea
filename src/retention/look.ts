/**
 * Owns the look at everything that decides what retention does to a cluster: what is stored, held, wanted by a restore,
 * and good. The run that removes and the dry run take the same look.
 */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import { holdOf, MAX_HOLD_SIZE, strongest, UNREADABLE } from '../domain/hold.ts';
import { hasRules } from '../domain/retention.ts';
import type { Hold, RetentionSpec } from '../domain/retention.ts';
import { planStore } from '../domain/retention-plan.ts';
import type { RetentionFacts, StoreFacts, StorePlan } from '../domain/retention-plan.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import { holdKey, isVerified } from '../domain/snapshot.ts';
import type { SnapshotEntry, Stray } from '../domain/snapshot-entry.ts';
import type { Clock, RestoreRequests, SnapshotCatalogue, SnapshotStore, StoreProblem } from '../ports.ts';

/** What a cluster's retention is in one of its stores. */
export type RetentionOf = (cluster: string, store: string) => RetentionSpec;

export interface RetentionLooks {
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly catalogue: Pick<SnapshotCatalogue, 'entries' | 'record'>;
  readonly requests: Pick<RestoreRequests, 'open'>;
  readonly retentionOf: RetentionOf;
  readonly clock: Pick<Clock, 'now'>;
}

export interface StoreLook {
  readonly facts: StoreFacts;
  readonly plan: StorePlan;
  /** Why nothing may be removed there, whatever the plan says. */
  readonly blocked: Problem | undefined;
  /** False: it could not be listed, so the plan is of nothing. */
  readonly isListed: boolean;
}

export interface RetentionLook {
  readonly facts: RetentionFacts;
  readonly stores: readonly StoreLook[];
  readonly strays: readonly Stray[];
  /** Stores that could not be listed. */
  readonly problems: readonly StoreProblem[];
}

/** So many of the newest are looked through for one with a good manifest. */
const MANIFESTS_READ = 10;
const AT_ONCE = 16;

/** Changes nothing. What a store can't tell is a problem in it; throws queue.unavailable. */
export async function lookAtRetention(deps: RetentionLooks, spec: ClusterSpec): Promise<RetentionLook> {
  const { entries, strays, problems } = await deps.catalogue.entries(spec.name);
  const names = spec.backup.stores;
  const facts: RetentionFacts = {
    cluster: spec.name,
    timezone: spec.backup.timezone,
    now: deps.clock.now(),
    entries,
    holds: await holdsOf(deps.stores, names, entries),
    requested: requestedOf(await deps.requests.open(), spec.name),
  };
  const stores: StoreLook[] = [];
  for (const store of names) {
    const { bad, found } = await lookForGood(deps, facts, store);
    const storeFacts: StoreFacts = { store, spec: deps.retentionOf(spec.name, store), bad };
    const isListed = !problems.some((problem) => problem.store === store);
    const blocked = unlisted(store, problems) ?? (found ? undefined : noneGood(store));
    stores.push({ facts: storeFacts, plan: planStore(facts, storeFacts), blocked, isListed });
  }
  return { facts, stores, strays, problems };
}

/** Snapshots of the cluster that open restore requests want, of whichever cluster the request is. */
export function requestedOf(open: readonly RestoreRequest[], cluster: string): ReadonlyMap<string, string> {
  return new Map(
    open.flatMap(({ id, plan: { snapshot } }) => (snapshot.cluster === cluster ? [[snapshot.id, id] as const] : [])),
  );
}

/**
 * What holds the snapshot in any of these stores, ended or not. A note that can't be read holds it for ever; throws
 * store.* when a store can't say whether there is one.
 */
export async function holdOn(stores: readonly SnapshotStore[], cluster: string, id: string): Promise<Hold | undefined> {
  const key = holdKey(cluster, id);
  const found = await Promise.all(stores.map((store) => holdIn(store, key)));
  return strongest(found.filter((hold) => hold !== undefined));
}

async function holdIn(store: SnapshotStore, key: string): Promise<Hold | undefined> {
  const note = await store.stat(key);
  if (note === undefined) return undefined;
  if (note.size > MAX_HOLD_SIZE) return UNREADABLE;
  try {
    return holdOf(Buffer.from(await store.get(key)).toString('utf8'));
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'store.not-found') return undefined;
    throw error;
  }
}

async function holdsOf(
  all: ReadonlyMap<string, SnapshotStore>,
  names: readonly string[],
  entries: readonly SnapshotEntry[],
): Promise<ReadonlyMap<string, Hold>> {
  const stores = names.flatMap((name) => all.get(name) ?? []);
  const held = entries.filter(({ isHeld }) => isHeld);
  const holds = new Map<string, Hold>();
  for (let at = 0; at < held.length; at += AT_ONCE) {
    await Promise.all(
      held.slice(at, at + AT_ONCE).map(async ({ cluster, id }) => {
        const hold = await holdOn(stores, cluster, id).catch((error: unknown) => {
          if (error instanceof KeyturnError) return UNREADABLE;
          throw error;
        });
        if (hold !== undefined) holds.set(id, hold);
      }),
    );
  }
  return holds;
}

/** Looks for the newest copy that is verified by its own manifest; those before it are bad. */
async function lookForGood(
  { catalogue, retentionOf }: RetentionLooks,
  { cluster, entries }: RetentionFacts,
  store: string,
): Promise<{ readonly bad: ReadonlySet<string>; readonly found: boolean }> {
  const bad = new Set<string>();
  if (!hasRules(retentionOf(cluster, store).policy)) return { bad, found: true };
  let left = MANIFESTS_READ;
  let copies = 0;
  for (const entry of entries) {
    const copy = entry.copies.find((each) => each.store === store);
    if (entry.origin !== 'keyturn' || copy === undefined) continue;
    copies += 1;
    if (copy.isDamaged) continue;
    if (left <= 0) break;
    left -= 1;
    if (await isGood(catalogue, { ...entry, copies: [copy] })) return { bad, found: true };
    bad.add(entry.id);
  }
  return { bad, found: copies === 0 };
}

async function isGood(catalogue: RetentionLooks['catalogue'], entry: SnapshotEntry): Promise<boolean> {
  try {
    return isVerified((await catalogue.record(entry)).record);
  } catch (error) {
    if (error instanceof KeyturnError) return false;
    throw error;
  }
}

function unlisted(store: string, problems: readonly StoreProblem[]): Problem | undefined {
  const own = problems.find((problem) => problem.store === store);
  const [first] = problems;
  if (own !== undefined) return { code: 'store.unreachable', message: own.message, hint: own.hint };
  if (first === undefined) return undefined;
  return {
    code: 'store.unreachable',
    message: `Nothing is removed from ${store} while store ${first.store} can't be listed: what is held there is not known.`,
    hint: first.hint,
  };
}

function noneGood(store: string): Problem {
  return {
    code: 'snapshot.damaged',
    message: `Nothing is removed from ${store}: none of its newest snapshots has a good manifest.`,
    hint: 'Find out what happened to them, and take a backup now.',
  };
}
