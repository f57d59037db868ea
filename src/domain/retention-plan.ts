/**
 * Owns what a run of retention would do in one store: its policy, and all that protects a snapshot whatever the policy
 * says. Pure; what a person confirms is this plan, by its digest.
 */
import { sha256Of } from './plan.ts';
import { applyRetention, hasRules, NOTHING_KEEPS, removedShare } from './retention.ts';
import type { Hold, Reason, RetentionPolicy, RetentionSpec, Rule } from './retention.ts';
import type { SnapshotCopy, SnapshotEntry } from './snapshot-entry.ts';

/** What is known of a cluster's snapshots; those of other tools among `entries` are left alone. */
export interface RetentionFacts {
  readonly cluster: string;
  /** IANA name. */
  readonly timezone: string;
  readonly now: Date;
  readonly entries: readonly SnapshotEntry[];
  /** By the snapshot's id; those that ended may be among them. */
  readonly holds: ReadonlyMap<string, Hold>;
  /** Ids of snapshots that an open restore request wants, with the request's id. */
  readonly requested: ReadonlyMap<string, string>;
}

export interface StoreFacts {
  readonly store: string;
  readonly spec: RetentionSpec;
  /** Ids of snapshots whose manifest in this store is not good: they don't count as verified. */
  readonly bad: ReadonlySet<string>;
}

/** A snapshot's copy in one store, and what becomes of it. */
export interface Planned {
  readonly id: string;
  /** ISO time. */
  readonly takenAt: string;
  /** Key of the object. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly reasons: readonly Reason[];
}

export interface StorePlan {
  readonly store: string;
  readonly policy: RetentionPolicy;
  /** Newest first, as `goes`. */
  readonly keeps: readonly Planned[];
  readonly goes: readonly Planned[];
  /** So many would go at once that a person has to say so. */
  readonly mustAsk: boolean;
  /** sha256 over policy and ids that go, lower-case hex. */
  readonly digest: string;
}

/** So many may always go at once: a share of a few is soon reached. */
export const ALWAYS_ALLOWED = 3;

export function planStore(facts: RetentionFacts, { store, spec, bad }: StoreFacts): StorePlan {
  const { cluster, entries, holds, requested, now, timezone } = facts;
  const copies = new Map<string, readonly [SnapshotEntry, SnapshotCopy]>();
  for (const entry of entries) {
    const copy = entry.copies.find((each) => each.store === store);
    if (entry.origin === 'keyturn' && copy !== undefined) copies.set(entry.id, [entry, copy]);
  }
  const retained = [...copies.values()].map(([{ id, takenAt }, { isDamaged }]) => ({
    id,
    takenAt,
    isVerified: !isDamaged && !bad.has(id),
    hold: holds.get(id),
  }));
  const decisions = applyRetention(spec.policy, retained, { now, timezone }).map((decision) => {
    const more = protectedBy(copies.get(decision.id), requested);
    if (more.length === 0) return decision;
    return {
      ...decision,
      keep: true,
      reasons: [...decision.reasons.filter((reason) => reason !== NOTHING_KEEPS), ...more],
    };
  });
  const planned = (keep: boolean): Planned[] =>
    decisions.flatMap((decision) => {
      const [entry, copy] = copies.get(decision.id) ?? [];
      if (decision.keep !== keep || entry === undefined || copy === undefined) return [];
      return [{ id: entry.id, takenAt: entry.takenAt, key: copy.key, size: copy.size, reasons: decision.reasons }];
    });
  const goes = planned(false);
  return {
    store,
    policy: spec.policy,
    keeps: planned(true),
    goes,
    mustAsk: goes.length > ALWAYS_ALLOWED && removedShare(decisions) > spec.mostAtOnce,
    digest: sha256Of({ cluster, store, policy: spec.policy, goes: goes.map(({ id }) => id).sort() }),
  };
}

function protectedBy(
  found: readonly [SnapshotEntry, SnapshotCopy] | undefined,
  requested: ReadonlyMap<string, string>,
): readonly Reason[] {
  if (found === undefined) return [];
  const [{ id, copies }, copy] = found;
  const request = requested.get(id);
  const others = copies.filter((each) => each !== copy);
  const isOnlyGood = !copy.isDamaged && others.length > 0 && others.every(({ isDamaged }) => isDamaged);
  return [
    ...(request === undefined ? [] : [{ rule: 'restore request', words: `wanted by restore ${request}` } as const]),
    ...(isOnlyGood ? [{ rule: 'only good copy', words: 'the only copy that is not damaged' } as const] : []),
  ];
}

/** How many each rule keeps; one that several keep is counted for each. */
export function keptByRule(keeps: readonly Planned[]): Readonly<Partial<Record<Rule, number>>> {
  const counts: Partial<Record<Rule, number>> = {};
  for (const { reasons } of keeps) {
    for (const rule of new Set(reasons.map((reason) => reason.rule))) counts[rule] = (counts[rule] ?? 0) + 1;
  }
  return counts;
}

export function bytesOf(planned: readonly { readonly size: number }[]): number {
  return planned.reduce((sum, { size }) => sum + size, 0);
}

/** The facts as they would be once one more good backup, taken at `at`, lay in each of `stores`. */
export function withOneMore(facts: RetentionFacts, at: Date, stores: readonly string[]): RetentionFacts {
  const entry: SnapshotEntry = {
    id: NEXT_ID,
    cluster: facts.cluster,
    takenAt: at.toISOString(),
    origin: 'keyturn',
    copies: stores.map((store) => ({ store, key: '', size: 0, isDamaged: false })),
    isHeld: false,
  };
  return { ...facts, now: at > facts.now ? at : facts.now, entries: [entry, ...facts.entries] };
}

/** The id of the backup that is not there yet; none of Keyturn's has it. */
export const NEXT_ID = 'next';

/** What is to be told of one snapshot in one store. */
export interface Forecast {
  readonly store: string;
  /** Such as `daily 2026-11-21`; empty: nothing keeps it. */
  readonly keeps: readonly string[];
  readonly goesNext: boolean;
  /** When it goes, as far as that can be said simply. */
  readonly goes: string;
}

/**
 * `now`: as things are; `next`: once one more backup is there (`withOneMore`). Of an id that has no copy in the store the
 * forecast is undefined.
 */
export function forecast(now: StorePlan, next: StorePlan): (id: string) => Forecast | undefined {
  const ranks = new Map(now.keeps.map(({ id }, rank) => [id, rank]));
  const all = new Map([...now.keeps, ...now.goes].map((planned) => [planned.id, planned]));
  const going = new Set(next.goes.map(({ id }) => id));
  return (id) => {
    const found = all.get(id);
    if (found === undefined) return undefined;
    const rank = ranks.get(id);
    const keeps = rank === undefined ? [] : found.reasons.map(({ words }) => words);
    const goesNext = going.has(id);
    return { store: now.store, keeps, goesNext, goes: goesNext ? nextWords(next) : laterWords(now, found, rank ?? 0) };
  };
}

function nextWords({ mustAsk }: StorePlan): string {
  return mustAsk ? 'goes after the next backup, once somebody confirms it' : 'goes after the next backup';
}

function laterWords({ policy }: StorePlan, { takenAt, reasons }: Planned, rank: number): string {
  if (!hasRules(policy)) return 'stays: no retention is configured';
  const rules = new Set(reasons.map(({ rule }) => rule));
  if (rules.has('held')) return 'stays as long as it is held';
  if (rules.has('restore request')) return 'stays as long as that restore is open';
  if (rules.has('only good copy')) return 'stays until another copy is good again';
  const ends = [...rules].filter((rule) => rule !== 'newest');
  if (ends.length === 1 && ends[0] === 'last') return `goes after ${(policy.last ?? 0) - rank} more backups`;
  if (ends.length === 1 && ends[0] === 'days') {
    const until = new Date(Date.parse(takenAt) + (policy.days ?? 0) * 86_400_000);
    return `goes with the first backup after ${until.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  }
  return 'stays after the next backup';
}
