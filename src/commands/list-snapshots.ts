/** Owns what is stored for one cluster: the list, page by page and narrowed down, and all that is known of one snapshot. */
import type { ClusterSpec } from '../domain/cluster.ts';
import type { Damage } from '../domain/damage.ts';
import { strongest } from '../domain/hold.ts';
import type { HoldNote } from '../domain/hold.ts';
import { may } from '../domain/permission.ts';
import type { Person } from '../domain/permission.ts';
import { isHeld } from '../domain/retention.ts';
import { copyName } from '../domain/scrub.ts';
import type { SnapshotRecord } from '../domain/snapshot.ts';
import type { SnapshotCopy, SnapshotEntry } from '../domain/snapshot-entry.ts';
import type { StoreProblem } from '../ports.ts';
import { readMark } from '../stored/damage-mark.ts';
import { readHolds } from '../stored/holds.ts';
import type { FoundHold } from '../stored/holds.ts';
import { readOne } from '../stored/read-snapshots.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, inParallel, requirePermission, within } from './deps.ts';
import { forecastSnapshot } from './forecast-snapshot.ts';
import type { LookAtRetention, SnapshotForecast } from './forecast-snapshot.ts';
import type { WantedSnapshot } from './hold-words.ts';
import { knownSnapshot } from './known-snapshot.ts';
import type { Entries } from './look-at-stores.ts';
import { parseFilters } from './snapshot-filter.ts';

export interface SnapshotsReport {
  readonly at: string;
  readonly cluster: string;
  /** Names of the stores that should hold every snapshot. */
  readonly stores: readonly string[];
  /** The filters as they can be typed; empty: all. */
  readonly filters: readonly string[];
  /** Snapshots, and those that fit the filters. */
  readonly total: number;
  readonly fitting: number;
  /** From 0. */
  readonly page: number;
  readonly pages: number;
  /** Those of the page, newest first. */
  readonly lines: readonly SnapshotLine[];
  /** Other tools' increments, which are no snapshots. */
  readonly increments: number;
  /** Stores that could not be asked; what only they hold is missing here. */
  readonly problems: readonly StoreProblem[];
}

/** One snapshot with its manifest; without one `problems` says why. */
export interface SnapshotLine {
  readonly entry: SnapshotEntry;
  readonly record: SnapshotRecord | undefined;
  readonly problems: readonly StoreProblem[];
  readonly hold: HoldState | undefined;
}

export interface HoldState {
  /** The one that lasts longest; undefined: a note that can't be read, which holds for ever. */
  readonly note: HoldNote | undefined;
  /** False: it has ended. */
  readonly isActive: boolean;
  readonly stores: readonly string[];
}

export interface SnapshotDetails extends SnapshotLine {
  readonly at: string;
  readonly cluster: string;
  /** Names of the stores that should hold it. */
  readonly stores: readonly string[];
  readonly copies: readonly CopyDetails[];
  /** Stores that could not be listed: whether they have a copy is not known. */
  readonly away: readonly StoreProblem[];
  /** What retention will do with it; undefined: it leaves it alone (another tool's), or that can't be told now. */
  readonly retention: SnapshotForecast | undefined;
  /** What this person may do with it. */
  readonly may: Readonly<Record<'hold' | 'restore' | 'verify', boolean>>;
}

export interface CopyDetails extends SnapshotCopy {
  /** What is wrong with its manifest. */
  readonly problem: string | undefined;
  /** ISO time at which it was last read again to its end; undefined: never, or that can't be told now. */
  readonly readAt: string | undefined;
  /** What its mark of damage says; undefined: it has none, or that can't be told now. */
  readonly damage: Damage | undefined;
}

type Deps = Pick<
  CommandDeps,
  'clusters' | 'people' | 'command' | 'catalogue' | 'stores' | 'scrubMemory' | 'calendar' | 'clock' | 'log' | 'nonce'
>;

const A_PAGE = 10;
/** Beyond this the memory of reads, or a mark of damage, is left out. */
const EXTRAS_PATIENCE_MS = 5000;

export interface ListWish {
  readonly cluster: string;
  /** As typed. */
  readonly filters: readonly string[];
  /** From 0; moved into range. */
  readonly page: number;
}

/**
 * Only the manifests and holds of the page are read. `look`: what names tell of a cluster; let callers share it, since every
 * page asks again. Throws permission.denied, cluster.unknown, command.invalid.
 */
export async function listSnapshots(
  deps: Deps,
  actor: Person,
  { cluster, filters: words, page }: ListWish,
  look: (spec: ClusterSpec) => Promise<Entries>,
): Promise<SnapshotsReport> {
  requirePermission(deps, actor, 'snapshots');
  const spec = findCluster(deps, cluster);
  const filters = parseFilters(words, spec.backup.stores);
  const { entries, increments, problems } = await look(spec);
  const fitting = entries.filter((entry) => filters.every((filter) => filter.fits(entry)));
  const pages = Math.max(1, Math.ceil(fitting.length / A_PAGE));
  const at = Math.min(Math.max(0, Math.trunc(page) || 0), pages - 1);
  const shown = fitting.slice(at * A_PAGE, (at + 1) * A_PAGE);
  return {
    at: deps.clock.now().toISOString(),
    cluster: spec.name,
    stores: spec.backup.stores,
    filters: filters.map(({ word }) => word),
    total: entries.length,
    fitting: fitting.length,
    page: at,
    pages,
    lines: await inParallel(shown, A_PAGE, (entry) => lineOf(deps, spec, entry)),
    increments,
    problems,
  };
}

/** `look`: at retention. Throws permission.denied, cluster.unknown, snapshot.unknown, command.invalid. */
export async function showSnapshot(
  deps: Deps,
  actor: Person,
  wish: WantedSnapshot,
  look: LookAtRetention,
): Promise<SnapshotDetails> {
  requirePermission(deps, actor, 'snapshots');
  const { spec, entry, problems } = await knownSnapshot(deps, wish);
  const reads = lastReadsOf(deps, entry.cluster);
  const [line, copies, retention] = await Promise.all([
    lineOf(deps, spec, entry),
    Promise.all(entry.copies.map((copy) => copyDetails(deps, entry, copy, reads))),
    forecastSnapshot(deps, spec, entry, look),
  ]);
  return {
    ...line,
    at: deps.clock.now().toISOString(),
    cluster: spec.name,
    stores: spec.backup.stores,
    copies,
    away: problems,
    retention,
    may: {
      hold: may(actor, 'hold', deps.people),
      restore: may(actor, 'restore', deps.people),
      verify: may(actor, 'verify', deps.people),
    },
  };
}

async function lineOf(deps: Deps, spec: ClusterSpec, entry: SnapshotEntry): Promise<SnapshotLine> {
  const [read, hold] = await Promise.all([
    entry.origin === 'other' ? { record: undefined, problems: [] } : readOne(deps.catalogue, entry),
    entry.isHeld ? holdStateOf(deps, spec, entry) : undefined,
  ]);
  return { entry, ...read, hold };
}

/** A note that a store can't give just now counts as one that can't be read. */
async function holdStateOf(deps: Deps, spec: ClusterSpec, entry: SnapshotEntry): Promise<HoldState> {
  const { holds } = await readHolds(deps, spec.backup.stores, entry, deps.nonce());
  const note = holds.every((hold): hold is FoundHold & { note: HoldNote } => hold.note !== undefined)
    ? strongest(holds.map((hold) => hold.note))
    : undefined;
  const isActive = note === undefined || isHeld(note, deps.clock.now());
  return { note, isActive, stores: holds.map(({ store }) => store) };
}

async function copyDetails(
  deps: Deps,
  entry: SnapshotEntry,
  copy: SnapshotCopy,
  reads: Promise<ReadonlyMap<string, Date>>,
): Promise<CopyDetails> {
  const [problem, damage, lastReads] = await Promise.all([
    manifestProblem(deps, entry, copy),
    copy.isDamaged ? markOf(deps, entry, copy) : undefined,
    reads,
  ]);
  return { ...copy, problem, damage, readAt: lastReads.get(copyName(copy))?.toISOString() };
}

/** Each copy's own manifest is looked at: one may be bad where the others are good. */
async function manifestProblem(deps: Deps, entry: SnapshotEntry, copy: SnapshotCopy): Promise<string | undefined> {
  if (copy.isDamaged || entry.origin === 'other') return undefined;
  if (copy.manifest === undefined) return 'its manifest is missing';
  const { record, problems } = await readOne(deps.catalogue, { ...entry, copies: [copy] });
  return record === undefined ? problems.map(({ message }) => message).join(' ') : undefined;
}

async function markOf(deps: Deps, entry: SnapshotEntry, { store: name }: SnapshotCopy): Promise<Damage | undefined> {
  const store = deps.stores.get(name);
  return store && inTime(deps, `the mark of damage in store ${name}`, readMark(store, entry));
}

/** Copies may have been read when Redis is away: then nothing is said of it. */
async function lastReadsOf(deps: Deps, cluster: string): Promise<ReadonlyMap<string, Date>> {
  return (await inTime(deps, 'when copies were read', deps.scrubMemory.lastReads(cluster))) ?? new Map();
}

/** What is not there in time, or fails, is undefined: the rest is worth showing without it. */
async function inTime<T>({ clock, log }: Deps, what: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await within(clock, EXTRAS_PATIENCE_MS, work, () => new Error(`no answer in ${EXTRAS_PATIENCE_MS} ms`));
  } catch (error) {
    log.warn({ err: error, what }, 'The details of a snapshot are shown without a part');
    return undefined;
  }
}
