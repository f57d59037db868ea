/**
 * Owns what lies in a store and belongs to nothing: told when it is found, removed once nobody can need it any more. What
 * could still be of use to somebody is left where it is.
 */
import { KeyturnError, toProblem } from '../../domain/error.ts';
import { strayList } from '../../domain/retention-event.ts';
import type { FoundStray, StrayList } from '../../domain/retention-event.ts';
import { ALWAYS_ALLOWED } from '../../domain/retention-plan.ts';
import {
  clusterPrefix,
  holdKey,
  isOwnObject,
  manifestKeyOf,
  MAX_MANIFEST_SIZE,
  parseManifest,
} from '../../domain/snapshot.ts';
import type { RetentionSpec } from '../../domain/retention.ts';
import { idOfKey, takenAtOf } from '../../domain/snapshot-entry.ts';
import type { Stray } from '../../domain/snapshot-entry.ts';
import type { OpenUpload, SnapshotStore } from '../../ports.ts';
import type { RetentionLook, StoreLook } from '../../retention/look.ts';
import { patiently } from './deps.ts';
import type { Run } from './deps.ts';

/** What is younger may be on its way: a copy that is being made, by somebody without the lease. */
const ON_ITS_WAY_MS = 3_600_000;
const ROUNDING_MS = 2_000;
/** More in one store are looked after by later runs. */
const MOST_AT_ONCE = 1_000;

/** Call it with the cluster's lease. Throws only when the run must not go on. */
export async function tidyStrays(run: Run, look: RetentionLook): Promise<StrayList> {
  const found: FoundStray[] = [];
  const problems: { store: string; problem: StrayList['problems'][number]['problem'] }[] = [];
  for (const each of look.stores) {
    const store = run.deps.stores.get(each.facts.store);
    if (store === undefined || !each.isListed) continue;
    await run.mayGoOn();
    try {
      found.push(...(await straysIn(run, look, each, store)), ...(await uploadsIn(run, each, store)));
    } catch (error) {
      run.throwIfEnded();
      run.deps.log.warn({ err: error, operation: run.id, store: store.name }, 'strays could not be looked for');
      problems.push({ store: store.name, problem: toProblem(error, run.id) });
    }
  }
  return strayList(found, problems);
}

async function straysIn(
  run: Run,
  look: RetentionLook,
  { facts, plan }: StoreLook,
  store: SnapshotStore,
): Promise<FoundStray[]> {
  const strays = look.strays.filter((stray) => stray.store === store.name).slice(0, MOST_AT_ONCE);
  const objects = strays.filter(({ kind }) => kind === 'object-without-manifest').length;
  const all = objects + plan.keeps.length + plan.goes.length;
  const tooMany = objects > ALWAYS_ALLOWED && objects > all * facts.spec.mostAtOnce;
  const found: FoundStray[] = [];
  for (const stray of strays) {
    const { key, kind, size, modifiedAt } = stray;
    const base = { store: store.name, key, kind, bytes: size, since: modifiedAt.toISOString() };
    const reason = whyYoung(run, facts.spec, modifiedAt, whyLeft(look, stray, tooMany));
    if (reason !== undefined) {
      found.push({ ...base, ...reason });
      continue;
    }
    run.throwIfEnded();
    found.push({ ...base, ...(await removeStray(run, store, stray)) });
  }
  return found;
}

type Fate = Pick<FoundStray, 'fate' | 'why'>;

/** Until its grace is over it waits; `then`: what becomes of it afterwards, undefined for what nobody can need. */
function whyYoung(
  { deps }: Run,
  { strayGraceMs }: RetentionSpec,
  since: Date,
  then: Fate | undefined,
): Fate | undefined {
  const age = deps.clock.now().getTime() - since.getTime();
  if (age < Math.min(ON_ITS_WAY_MS, strayGraceMs)) return { fate: 'spared', why: 'it may be on its way' };
  return then ?? (age < strayGraceMs ? { fate: 'waits', why: undefined } : undefined);
}

/** Undefined: nobody can need it. */
function whyLeft({ facts, strays, problems }: RetentionLook, stray: Stray, tooMany: boolean): Fate | undefined {
  const { cluster, entries, requested } = facts;
  const id = idOfKey(cluster, stray.key) ?? '';
  const left = (why: string): Fate => ({ fate: 'left', why });
  if (problems.length > 0) return left('another store could not be listed');
  if (requested.has(id)) return left(`an open restore wants ${id}`);
  const elsewhere = entries.some((entry) => entry.id === id && entry.copies.some(({ isDamaged }) => !isDamaged));
  if (stray.kind === 'manifest-without-object')
    return elsewhere ? left('another store has a good copy: this one can be repaired') : undefined;
  if (stray.kind === 'sidecar-without-manifest') {
    if (elsewhere) return { fate: 'spared', why: 'its snapshot lies in another store' };
    const others = strays.some(({ key, kind }) => kind !== 'sidecar-without-manifest' && idOfKey(cluster, key) === id);
    return others ? left('parts of its snapshot are still there') : undefined;
  }
  if (strays.some(({ key }) => key === holdKey(cluster, id))) return left('it is held');
  if (tooMany) return left('too many to be leftovers: have their manifests been removed?');
  const newer = entries.some(
    ({ takenAt, copies }) =>
      takenAt > takenAtOf(id) && copies.some((copy) => copy.store === stray.store && !copy.isDamaged),
  );
  return !newer ? left('no snapshot in this store is newer') : undefined;
}

/** Looks once more at what makes it a stray. */
async function removeStray({ deps, id: operation }: Run, store: SnapshotStore, stray: Stray): Promise<Fate> {
  const { key, kind, modifiedAt } = stray;
  try {
    const now = await patiently(deps, store.name, store.stat(key));
    // Listings and looks at one object may round times differently.
    if (now !== undefined && now.modifiedAt.getTime() - modifiedAt.getTime() > ROUNDING_MS)
      return { fate: 'left', why: 'it was written anew' };
    if (kind === 'object-without-manifest') {
      if ((await patiently(deps, store.name, store.stat(manifestKeyOf(key)))) !== undefined)
        return { fate: 'left', why: 'its manifest is there now' };
    }
    if (kind === 'manifest-without-object') {
      const why = await patiently(deps, store.name, whyManifestStays(store, key));
      if (why !== undefined) return { fate: 'left', why };
    }
    await patiently(deps, store.name, store.remove(key));
    return { fate: 'removed', why: undefined };
  } catch (error) {
    deps.log.warn({ err: error, operation, store: store.name, key }, 'a stray could not be removed');
    return { fate: 'left', why: toProblem(error, operation).message };
  }
}

/** It may speak of an object that another tool named. */
async function whyManifestStays(store: SnapshotStore, key: string): Promise<string | undefined> {
  const found = await store.stat(key);
  if (found === undefined) return undefined;
  const text = found.size > MAX_MANIFEST_SIZE ? '' : Buffer.from(await store.get(key)).toString('utf8');
  const parsed = parseManifest(text);
  if (!parsed.ok) return "the manifest can't be read, so its object is not known";
  return (await store.stat(parsed.record.object.key)) === undefined ? undefined : 'its object is there';
}

/** Uploads that nobody ends: with the lease in hand no backup of this cluster runs. */
async function uploadsIn(run: Run, { facts }: StoreLook, store: SnapshotStore): Promise<FoundStray[]> {
  const { spec, deps, throwIfEnded, id } = run;
  const open: OpenUpload[] = [];
  const collect = async (): Promise<void> => {
    for await (const upload of store.openUploads(clusterPrefix(spec.name))) {
      if (isOwnObject(spec.name, upload.key)) open.push(upload);
      if (open.length >= MOST_AT_ONCE) return;
    }
  };
  await patiently(deps, store.name, collect());
  const found: FoundStray[] = [];
  for (const upload of open) {
    const { key, startedAt } = upload;
    const base = { store: store.name, key, kind: 'open-upload', bytes: 0, since: startedAt.toISOString() } as const;
    const reason = whyYoung(run, facts.spec, startedAt, undefined);
    if (reason !== undefined) {
      found.push({ ...base, ...reason });
      continue;
    }
    throwIfEnded();
    try {
      await patiently(deps, store.name, store.abortUpload(upload));
      found.push({ ...base, fate: 'removed', why: undefined });
    } catch (error) {
      if (!(error instanceof KeyturnError)) throw error;
      deps.log.warn({ err: error, operation: id, store: store.name, key }, 'an upload could not be aborted');
      found.push({ ...base, fate: 'left', why: error.message });
    }
  }
  return found;
}
