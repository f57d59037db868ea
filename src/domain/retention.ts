/**
 * Owns which snapshots stay and which go: a policy, applied to what is there, gives a decision and its reasons for each. Pure;
 * somebody else removes. Counts mean what they mean in restic's `forget`, in the cluster's own time zone.
 */

const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
type Period = (typeof PERIODS)[number];

/**
 * Whole numbers; what is left out, or 0, keeps nothing. No rule at all keeps everything.
 * `last`: so many of the newest. `days`: those that are at most so much older than the newest; not than now: when backups
 * stop, nothing goes. The others: the newest one of each hour, day, ISO week, month or year, for so many of these in
 * which there is one; where there are fewer, the oldest of all stays too.
 */
export type RetentionPolicy = Readonly<Partial<Record<'last' | 'days' | Period, number>>>;

/** What a cluster says of it; a store may have a policy of its own. */
export interface RetentionSpec {
  readonly policy: RetentionPolicy;
  /** Share, from 0 to 1, that may go at once without a person's word. */
  readonly mostAtOnce: number;
  /** What lies in a store and belongs to nothing is removed after so long, in milliseconds. */
  readonly strayGraceMs: number;
}

export const KEEP_EVERYTHING: RetentionSpec = { policy: {}, mostAtOnce: 0, strayGraceMs: Infinity };

export interface Hold {
  readonly reason: string;
  /** ISO time; undefined: until it is released. */
  readonly until: string | undefined;
}

/** A snapshot, as far as retention is concerned. */
export interface Retained {
  readonly id: string;
  /** ISO time. */
  readonly takenAt: string;
  /** Its hash fitted, and no later look found it damaged. */
  readonly isVerified: boolean;
  readonly hold: Hold | undefined;
}

/** What keeps a snapshot; `none` keeps nothing. `no policy`: there is no rule at all. */
export type Rule =
  'newest' | 'held' | 'restore request' | 'only good copy' | 'no policy' | 'last' | 'days' | Period | 'none';

export interface Reason {
  readonly rule: Rule;
  /** A few words for people, such as `daily 2026-11-21`. */
  readonly words: string;
}

export interface Decision {
  readonly id: string;
  readonly keep: boolean;
  /** Why it stays; or the one reason why it goes. Never empty. */
  readonly reasons: readonly Reason[];
}

export const NOTHING_KEEPS: Reason = { rule: 'none', words: 'no rule keeps it' };

const DAY_MS = 86_400_000;

/**
 * A decision for each, newest first, whatever the order of `snapshots`. `now` ends holds; `timezone` is an IANA name.
 * One that is not verified is held against the rules too, but never takes the place of one that is.
 */
export function applyRetention(
  policy: RetentionPolicy,
  snapshots: readonly Retained[],
  { now, timezone }: { readonly now: Date; readonly timezone: string },
): readonly Decision[] {
  const all = [...snapshots].sort(newestFirst);
  const verified = all.filter(({ isVerified }) => isVerified);
  const nameOf = periodNames(timezone);
  const ofVerified = keptByRules(policy, verified, now, nameOf);
  const ofAll = verified.length === all.length ? ofVerified : keptByRules(policy, all, now, nameOf);
  const newest = (verified[0] ?? all[0])?.id;
  return all.map(({ id, isVerified, hold }) => {
    const reasons: readonly Reason[] = [
      ...(id === newest
        ? [{ rule: 'newest', words: verified.length > 0 ? 'newest verified' : 'newest' } as const]
        : []),
      ...(hold !== undefined && isHeld(hold, now) ? [{ rule: 'held', words: `held: ${hold.reason}` } as const] : []),
      ...((isVerified ? ofVerified : ofAll).get(id) ?? []),
    ];
    return reasons.length > 0 ? { id, keep: true, reasons } : { id, keep: false, reasons: [NOTHING_KEEPS] };
  });
}

/** False: everything stays. */
export function hasRules(policy: RetentionPolicy): boolean {
  return Object.values(policy).some((count) => count > 0);
}

/** Each rule in a few words, in the order of the type; empty when there is none. */
export function rulesInWords(policy: RetentionPolicy): readonly string[] {
  const { last = 0, days = 0 } = policy;
  return [
    ...(last > 0 ? [`the last ${last}`] : []),
    ...(days > 0 ? [`${days} ${days === 1 ? 'day' : 'days'} back from the newest`] : []),
    ...PERIODS.flatMap((period) => {
      const count = policy[period] ?? 0;
      return count > 0 ? [`${count} ${period}`] : [];
    }),
  ];
}

/** The share of the snapshots that would go at once, from 0 to 1. */
export function removedShare(decisions: readonly Decision[]): number {
  return decisions.length === 0 ? 0 : decisions.filter(({ keep }) => !keep).length / decisions.length;
}

function newestFirst(a: Retained, b: Retained): number {
  return Date.parse(b.takenAt) - Date.parse(a.takenAt) || (a.id < b.id ? 1 : -1);
}

/** Whether it has not ended yet. */
export function isHeld({ until }: { readonly until?: string | undefined }, now: Date): boolean {
  return until === undefined || Date.parse(until) > now.getTime();
}

/** Reasons by id, of those that some rule keeps. `list`: newest first. */
function keptByRules(
  policy: RetentionPolicy,
  list: readonly Retained[],
  now: Date,
  nameOf: (period: Period, at: Date) => string,
): ReadonlyMap<string, readonly Reason[]> {
  const kept = new Map<string, Reason[]>();
  const keep = ({ id }: Retained, rule: Rule, words: string): void => {
    kept.set(id, [...(kept.get(id) ?? []), { rule, words }]);
  };
  const { last = 0, days = 0 } = policy;
  if (!hasRules(policy)) for (const each of list) keep(each, 'no policy', 'no policy');
  for (const each of list.slice(0, last)) keep(each, 'last', `among the last ${last}`);
  for (const each of days > 0 ? youngerThan(days, list, now) : [])
    keep(each, 'days', `within ${days} ${days === 1 ? 'day' : 'days'} of the newest`);
  for (const period of PERIODS) {
    for (const [each, words] of newestOfEach(period, policy[period] ?? 0, list, nameOf)) keep(each, period, words);
  }
  return kept;
}

/** One from the future was taken by a clock that went wrong: it must not make all others old. */
function youngerThan(days: number, list: readonly Retained[], now: Date): readonly Retained[] {
  const newest = list.find(({ takenAt }) => Date.parse(takenAt) <= now.getTime()) ?? list[0];
  const since = Date.parse(newest?.takenAt ?? '') - days * DAY_MS;
  return list.filter(({ takenAt }) => Date.parse(takenAt) >= since);
}

function* newestOfEach(
  period: Period,
  count: number,
  list: readonly Retained[],
  nameOf: (period: Period, at: Date) => string,
): Generator<readonly [Retained, string]> {
  let left = count;
  let before: string | undefined;
  for (const [i, each] of list.entries()) {
    if (left <= 0) return;
    const name = nameOf(period, new Date(each.takenAt));
    const isOldest = i === list.length - 1;
    if (name !== before) yield [each, `${period} ${name}`];
    else if (isOldest) yield [each, `${period}, the oldest`];
    else continue;
    before = name;
    left -= 1;
  }
}

/** `2026-11-21`, `2026-W47`, `2026-11`, `2026`. An hour has its offset too: that which comes twice in autumn is two. */
function periodNames(timezone: string): (period: Period, at: Date) => string {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    timeZoneName: 'longOffset',
  });
  const known = new Map<number, ReadonlyMap<string, string>>();
  const partsOf = (at: Date): ReadonlyMap<string, string> => {
    const parts = known.get(at.getTime()) ?? new Map(format.formatToParts(at).map(({ type, value }) => [type, value]));
    known.set(at.getTime(), parts);
    return parts;
  };
  return (period, at) => {
    const parts = partsOf(at);
    const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? '';
    const [year, month, day] = [part('year'), part('month'), part('day')];
    const offset = part('timeZoneName').replace('GMT', '');
    return {
      hourly: () => `${year}-${month}-${day}T${part('hour')}${offset === '' ? 'Z' : offset}`,
      daily: () => `${year}-${month}-${day}`,
      weekly: () => isoWeek(Number(year), Number(month), Number(day)),
      monthly: () => `${year}-${month}`,
      yearly: () => year,
    }[period]();
  };
}

/** ISO 8601: weeks begin on Monday, and belong to the year that has their Thursday. */
function isoWeek(year: number, month: number, day: number): string {
  const date = new Date(Date.UTC(year, month - 1, day));
  date.setUTCDate(date.getUTCDate() + 4 - (date.getUTCDay() || 7));
  const first = Date.UTC(date.getUTCFullYear(), 0, 1);
  const week = Math.ceil(((date.getTime() - first) / DAY_MS + 1) / 7);
  return `${date.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
