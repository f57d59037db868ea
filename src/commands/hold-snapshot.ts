/** Owns holds: a person keeps a snapshot out of retention's reach, with a reason and perhaps an end, or lets go of it. */
import { KeyturnError } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import { strongest, reasonOf } from '../domain/hold.ts';
import type { HoldNote } from '../domain/hold.ts';
import { holdOperation } from '../domain/hold-event.ts';
import type { HoldChange } from '../domain/hold-event.ts';
import type { HoldJob, Origin } from '../domain/job.ts';
import type { Person } from '../domain/permission.ts';
import type { Forecast } from '../domain/retention-plan.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import { holdKeysIn, inStores, liftHold, placeHold, readHolds } from '../stored/holds.ts';
import type { HoldOutcome } from '../stored/holds.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { requireFreshPermission, requirePermission } from './deps.ts';
import { forecastSnapshot } from './forecast-snapshot.ts';
import type { LookAtRetention } from './forecast-snapshot.ts';
import type { HoldEnd, TypedHold, WantedSnapshot } from './hold-words.ts';
import { knownSnapshot } from './known-snapshot.ts';
import type { KnownSnapshot } from './known-snapshot.ts';
import { askQueue } from './running.ts';

export interface HoldAnswer {
  readonly cluster: string;
  readonly snapshot: string;
  /** ISO time. */
  readonly takenAt: string;
  readonly change: HoldChange;
  /** What held it until now; undefined: nothing that could be read. */
  readonly before: HoldNote | undefined;
  /** With a problem: it is tried again there, for some two days. */
  readonly stores: readonly HoldOutcome[];
  /** The queue could not be reached, so nothing is tried again. */
  readonly isQueueAway: boolean;
}

/** Some two days, at the intervals of the job. */
const ATTEMPTS = 96;
/** From retention's look for notes to the end of one removal it takes far less. */
const SETTLE_MS = 3_000;
const LONGEST_MS = 100 * 365 * 86_400_000;

/**
 * Written into every store with a copy that can be reached before it is told; one is enough to hold the copies in all. Throws
 * permission.denied, cluster.unknown, snapshot.unknown, command.invalid, audit.failed, slack.refused, and store.* when no
 * store took it.
 */
export async function holdSnapshot(
  deps: RestoreCommandDeps,
  actor: Person,
  wish: TypedHold,
  origin: Origin,
): Promise<HoldAnswer> {
  requirePermission(deps, actor, 'hold');
  const reason = reasonOf(wish.reason);
  if (reason === '')
    throw new KeyturnError('command.invalid', 'A hold needs a reason.', {
      hint: `Type: ${deps.command} hold <cluster> <snapshot> [for 30d | until 2026-12-31] <reason>`,
    });
  const now = deps.clock.now();
  const until = endOf(wish.end, now);
  const known = await knownSnapshot(deps, wish);
  const { id: by } = await requireFreshPermission(deps, actor.id, 'hold');
  const note: HoldNote = { format: 1, reason, by, at: now.toISOString(), ...(until === undefined ? {} : { until }) };
  const targets = [...known.entry.copies.map(({ store }) => store), ...known.problems.map(({ store }) => store)];
  return change(deps, known, { targets, change: { kind: 'held', note }, now, origin });
}

/** Once it is released retention removes it soon, or nobody can tell: a person has to say that this is meant. */
export interface ReleaseQuestion {
  readonly cluster: string;
  readonly snapshot: string;
  /** ISO time. */
  readonly takenAt: string;
  /** Stores that lose it after the next backup; undefined: not known. */
  readonly goes: readonly Forecast[] | undefined;
}

export interface ReleaseWish extends WantedSnapshot {
  /** What may come of it was shown, and is meant. */
  readonly isConfirmed: boolean;
}

/**
 * The notes in all stores of the cluster are taken away. Where that fails the snapshot stays held until it can be done.
 * `look`: at retention. Throws as `holdSnapshot` does; store.* when no store let go of it.
 */
export async function releaseSnapshot(
  deps: RestoreCommandDeps,
  actor: Person,
  wish: ReleaseWish,
  origin: Origin,
  look: LookAtRetention,
): Promise<HoldAnswer | ReleaseQuestion> {
  requirePermission(deps, actor, 'release');
  const known = await knownSnapshot(deps, wish);
  if (!known.entry.isHeld && known.problems.length === 0)
    throw new KeyturnError('command.invalid', `Nothing holds snapshot ${known.entry.id} of ${known.spec.name}.`, {
      hint: 'Nothing needs doing: it goes when no rule of retention keeps it.',
    });
  const { id: by } = await requireFreshPermission(deps, actor.id, 'release');
  const question = wish.isConfirmed ? undefined : await questionOf(deps, known, look);
  if (question !== undefined) return question;
  const targets = known.spec.backup.stores;
  return change(deps, known, { targets, change: { kind: 'released', by }, now: deps.clock.now(), origin });
}

async function questionOf(
  deps: RestoreCommandDeps,
  { spec, entry }: KnownSnapshot,
  look: LookAtRetention,
): Promise<ReleaseQuestion | undefined> {
  if (entry.origin !== 'keyturn') return undefined;
  const forecast = await forecastSnapshot(deps, spec, entry, look);
  const goes = forecast?.released.filter(({ goesNext }) => goesNext);
  if (goes?.length === 0) return undefined;
  return { cluster: spec.name, snapshot: entry.id, takenAt: entry.takenAt, goes };
}

interface Change {
  readonly targets: readonly string[];
  readonly change: HoldChange;
  readonly now: Date;
  readonly origin: Origin;
}

async function change(
  deps: RestoreCommandDeps,
  { spec, entry }: KnownSnapshot,
  { targets, change: wanted, now, origin }: Change,
): Promise<HoldAnswer> {
  const operation = holdOperation(spec.name, entry.id, now);
  const told = { at: now.toISOString(), operation, cluster: spec.name, snapshot: entry.id, change: wanted };
  await deps.audit.record({ type: 'hold.asked', ...told });
  const before = (await readHolds(deps, spec.backup.stores, entry, operation)).holds;
  const settled = once(() => retentionSettled(deps, spec.name));
  const outcomes = await inStores(deps, [...new Set(targets)], operation, (store) => {
    const keys = holdKeysIn(entry, store.name);
    return wanted.kind === 'held' ? placeHold(store, keys, wanted.note, settled) : liftHold(store, keys);
  });
  // A store that was not listed need not have a copy.
  const isThere = ({ problem }: HoldOutcome): boolean => problem?.code !== 'snapshot.unknown';
  const stores = outcomes.some(isThere) ? outcomes.filter(isThere) : outcomes;
  const failed = stores.flatMap(({ store, problem }) => (problem === undefined ? [] : [{ store, problem }]));
  if (failed.length === stores.length && !(await isDone(deps, spec.backup.stores, entry, wanted)))
    throw nowhere(wanted, failed);
  const jobs = failed.map(({ store }): HoldJob => {
    const note = wanted.kind === 'held' ? wanted.note : undefined;
    const id = `${operation}-${store}`;
    const keys = holdKeysIn(entry, store);
    return { kind: 'hold', id, cluster: spec.name, store, operation, at: told.at, note, keys };
  });
  const isQueueAway = !(await isQueued(deps, jobs));
  const answer = {
    cluster: spec.name,
    snapshot: entry.id,
    takenAt: entry.takenAt,
    change: wanted,
    stores,
    isQueueAway,
  };
  await deps
    .publish({ type: 'hold.changed', ...told, takenAt: entry.takenAt, origin, stores })
    .catch((error: unknown) =>
      deps.log.warn({ err: error, operation }, 'A hold that was changed could not be announced'),
    );
  return { ...answer, before: strongest(before.flatMap(({ note }) => note ?? [])) };
}

/**
 * Retention looks for notes right before it removes a snapshot. A run that looked just before the note lay there is given the
 * time to remove what it looked at; then it shows what is left.
 */
async function retentionSettled({ lease, clock, log }: RestoreCommandDeps, cluster: string): Promise<void> {
  try {
    const running = await askQueue(clock, lease.current(cluster));
    if (running === undefined || running.kind !== 'retention') return;
  } catch (error) {
    log.warn({ err: error, cluster }, 'Whether retention runs is not known; a hold waits as if it did');
  }
  await clock.sleep(SETTLE_MS);
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= work());
}

/** A store may have taken the note, and failed in what came after. */
async function isDone(
  deps: RestoreCommandDeps,
  stores: readonly string[],
  entry: SnapshotEntry,
  wanted: HoldChange,
): Promise<boolean> {
  if (wanted.kind === 'released') return false;
  const { holds } = await readHolds(deps, stores, entry, 'hold');
  return holds.some(({ note }) => note?.at === wanted.note.at);
}

async function isQueued(deps: RestoreCommandDeps, jobs: readonly HoldJob[]): Promise<boolean> {
  try {
    for (const job of jobs) await askQueue(deps.clock, deps.queue.add(job, { attempts: ATTEMPTS }));
    return true;
  } catch (error) {
    deps.log.warn({ err: error, operation: jobs[0]?.operation }, 'No retry of a hold could be queued');
    return false;
  }
}

/** ISO time; throws command.invalid for one that is past, or far beyond. */
function endOf(end: HoldEnd | undefined, now: Date): string | undefined {
  if (end === undefined) return undefined;
  const at = end.kind === 'for' ? now.getTime() + end.ms : Date.parse(end.at);
  if (at > now.getTime() && at - now.getTime() <= LONGEST_MS) return new Date(at).toISOString();
  throw new KeyturnError('command.invalid', 'A hold has to end in the future, within a hundred years.', {
    hint: 'Leave the end out to hold it until somebody releases it.',
  });
}

function nowhere(
  wanted: HoldChange,
  failed: readonly { readonly store: string; readonly problem: Problem }[],
): KeyturnError {
  const [first] = failed;
  const what = wanted.kind === 'held' ? 'The snapshot is not held' : 'The snapshot is still held';
  const why = failed.map(({ store, problem }) => `${store}: ${problem.message}`).join(' ');
  return new KeyturnError(first?.problem.code ?? 'store.unreachable', `${what}: no store did it. ${why}`, {
    hint: first?.problem.hint ?? 'Try again.',
  });
}
