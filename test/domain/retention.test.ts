import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyRetention,
  hasRules,
  removedShare,
  rulesInWords,
  type Retained,
  type RetentionPolicy,
} from '../../src/domain/retention.ts';

const UTC = { now: new Date('2026-12-31T00:00:00Z'), timezone: 'UTC' };

/** `2026-11-21 06` is `2026-11-21T06:00:00Z`; its id is what was given. */
function taken(at: string, change: Partial<Retained> = {}): Retained {
  const [day = '', time = '00'] = at.split(' ');
  const takenAt = new Date(`${day}T${time.length === 2 ? `${time}:00` : time}:00Z`).toISOString();
  return { id: at, takenAt, isVerified: true, hold: undefined, ...change };
}

function kept(policy: RetentionPolicy, snapshots: readonly Retained[], where = UTC): readonly string[] {
  return applyRetention(policy, snapshots, where).flatMap(({ id, keep }) => (keep ? [id] : []));
}

/** Decisions with the words of their reasons. */
function decided(policy: RetentionPolicy, snapshots: readonly Retained[], where = UTC) {
  return applyRetention(policy, snapshots, where).map(({ id, keep, reasons }) => ({
    id,
    keep,
    reasons: reasons.map(({ words }) => words),
  }));
}

/** Every six hours from the 1st to the 21st of November, newest first. */
const NOVEMBER = Array.from({ length: 21 }, (_, day) =>
  ['00', '06', '12', '18'].map((hour) => `2026-11-${String(21 - day).padStart(2, '0')} ${hour}`).reverse(),
).flat();
const HOURS = Array.from({ length: 24 }, (_, n) => `2026-11-21 ${String(23 - n).padStart(2, '0')}`);
const MONTHS = Array.from({ length: 24 }, (_, n) => {
  const month = String(12 - (n % 12)).padStart(2, '0');
  return `${2026 - Math.floor(n / 12)}-${month}-15`;
});
const HALVES = HOURS.slice(0, 3).flatMap((hour) => [`${hour}:30`, `${hour}:00`]);

describe('a policy, as restic reads it', () => {
  const cases: readonly (readonly [string, RetentionPolicy, readonly string[], readonly string[]])[] = [
    ['no rule: everything', {}, HOURS, HOURS],
    ['rules of 0: everything', { last: 0, daily: 0, days: 0 }, HOURS, HOURS],
    ['nothing there', { last: 5 }, [], []],
    ['last 1', { last: 1 }, HOURS, HOURS.slice(0, 1)],
    ['last 5', { last: 5 }, HOURS, HOURS.slice(0, 5)],
    ['last 5 of 3', { last: 5 }, HOURS.slice(0, 3), HOURS.slice(0, 3)],
    ['last 24 of 24', { last: 24 }, HOURS, HOURS],
    ['last, of some in one hour', { last: 3 }, HALVES, HALVES.slice(0, 3)],
    ['hourly 1', { hourly: 1 }, HALVES, [`${HOURS[0]}:30`]],
    ['hourly 2: the newest of each', { hourly: 2 }, HALVES, [`${HOURS[0]}:30`, `${HOURS[1]}:30`]],
    ['hourly 3: none is left for the oldest', { hourly: 3 }, HALVES, HOURS.slice(0, 3).map((h) => `${h}:30`)],
    [
      'hourly 4: the oldest of all too',
      { hourly: 4 },
      HALVES,
      [...HOURS.slice(0, 3).map((h) => `${h}:30`), `${HOURS[2]}:00`],
    ],
    ['hourly 24', { hourly: 24 }, HOURS, HOURS],
    ['hourly counts hours in which there is one', { hourly: 3 }, NOVEMBER, NOVEMBER.slice(0, 3)],
    ['daily 1', { daily: 1 }, NOVEMBER, ['2026-11-21 18']],
    ['daily 3', { daily: 3 }, NOVEMBER, ['2026-11-21 18', '2026-11-20 18', '2026-11-19 18']],
    ['daily 2 of one day: its newest and the oldest', { daily: 2 }, HOURS, ['2026-11-21 23', '2026-11-21 00']],
    ['daily 1 of one day', { daily: 1 }, HOURS, ['2026-11-21 23']],
    [
      'daily skips days without any',
      { daily: 3 },
      ['2026-11-21', '2026-11-11', '2026-11-01', '2026-10-01'],
      ['2026-11-21', '2026-11-11', '2026-11-01'],
    ],
    [
      'daily at midnight belongs to the new day',
      { daily: 2 },
      ['2026-11-21 00', '2026-11-20 23:59'],
      ['2026-11-21 00', '2026-11-20 23:59'],
    ],
    ['weekly 1', { weekly: 1 }, NOVEMBER, ['2026-11-21 18']],
    ['weekly 2: Sunday ends a week', { weekly: 2 }, NOVEMBER, ['2026-11-21 18', '2026-11-15 18']],
    ['weekly 3', { weekly: 3 }, NOVEMBER, ['2026-11-21 18', '2026-11-15 18', '2026-11-08 18']],
    [
      'weekly 5: the oldest takes the last',
      { weekly: 5 },
      NOVEMBER,
      ['2026-11-21 18', '2026-11-15 18', '2026-11-08 18', '2026-11-01 18', '2026-11-01 00'],
    ],
    [
      'weekly over the new year: one week',
      { weekly: 2 },
      ['2027-01-03', '2026-12-28', '2026-12-27'],
      ['2027-01-03', '2026-12-27'],
    ],
    [
      'weekly in a year of 53 weeks',
      { weekly: 2 },
      ['2021-01-04', '2021-01-03', '2020-12-28'],
      ['2021-01-04', '2021-01-03'],
    ],
    ['monthly 1', { monthly: 1 }, NOVEMBER, ['2026-11-21 18']],
    ['monthly 2 of one month', { monthly: 2 }, NOVEMBER, ['2026-11-21 18', '2026-11-01 00']],
    ['monthly 12', { monthly: 12 }, MONTHS, MONTHS.slice(0, 12)],
    ['monthly 13 goes into the year before', { monthly: 13 }, MONTHS, MONTHS.slice(0, 13)],
    ['yearly 1', { yearly: 1 }, MONTHS, ['2026-12-15']],
    ['yearly 2', { yearly: 2 }, MONTHS, ['2026-12-15', '2025-12-15']],
    ['yearly 3 of two', { yearly: 3 }, MONTHS, ['2026-12-15', '2025-12-15', '2025-01-15']],
    ['days 1', { days: 1 }, NOVEMBER, NOVEMBER.slice(0, 5)],
    ['days 30 of 21', { days: 30 }, NOVEMBER, NOVEMBER],
    [
      'days are from the newest: backups that stopped stay',
      { days: 7 },
      ['2020-01-08', '2020-01-02'],
      ['2020-01-08', '2020-01-02'],
    ],
    [
      'days: one that is older goes',
      { days: 7 },
      ['2020-01-08', '2020-01-01', '2019-12-31'],
      ['2020-01-08', '2020-01-01'],
    ],
    ['last or daily', { last: 2, daily: 2 }, NOVEMBER, ['2026-11-21 18', '2026-11-21 12', '2026-11-20 18']],
    [
      'hourly or daily',
      { hourly: 2, daily: 3 },
      NOVEMBER,
      ['2026-11-21 18', '2026-11-21 12', '2026-11-20 18', '2026-11-19 18'],
    ],
    [
      'daily or weekly',
      { daily: 2, weekly: 3 },
      NOVEMBER,
      ['2026-11-21 18', '2026-11-20 18', '2026-11-15 18', '2026-11-08 18'],
    ],
    [
      'daily or monthly',
      { daily: 2, monthly: 3 },
      ['2026-11-21', '2026-11-20', '2026-11-19', '2026-10-31', '2026-09-30', '2026-08-31'],
      ['2026-11-21', '2026-11-20', '2026-10-31', '2026-09-30'],
    ],
    ['days or yearly', { days: 1, yearly: 2 }, MONTHS, ['2026-12-15', '2025-12-15']],
    ['last or days', { last: 1, days: 1 }, NOVEMBER, NOVEMBER.slice(0, 5)],
    [
      'all of them',
      { last: 2, hourly: 2, daily: 2, weekly: 2, monthly: 2, yearly: 2 },
      MONTHS,
      ['2026-12-15', '2026-11-15', '2025-12-15'],
    ],
  ];

  test.each(cases)('%s', (_, policy, there, stays) => {
    expect(
      kept(
        policy,
        there.map((at) => taken(at)),
      ),
    ).toEqual(stays);
  });
});

describe('the cluster’s own time zone', () => {
  const berlin = { ...UTC, timezone: 'Europe/Berlin' };

  test('says when a day ends', () => {
    const two = [taken('2026-11-21 22:30'), taken('2026-11-21 23:30')];
    expect(kept({ daily: 1 }, two)).toEqual(['2026-11-21 23:30']);
    expect(kept({ daily: 2 }, two, berlin)).toEqual(['2026-11-21 23:30', '2026-11-21 22:30']);
  });

  test('in autumn the hour that comes twice is two hours', () => {
    const night = ['2026-10-25 02', '2026-10-25 01', '2026-10-25 00'].map((at) => taken(at));
    expect(kept({ hourly: 3 }, night, berlin)).toHaveLength(3);
    expect(decided({ hourly: 3 }, night, berlin).map(({ reasons }) => reasons.at(-1))).toEqual([
      'hourly 2026-10-25T03+01:00',
      'hourly 2026-10-25T02+01:00',
      'hourly 2026-10-25T02+02:00',
    ]);
  });

  test('in spring the day of 23 hours is one day', () => {
    const day = Array.from({ length: 23 }, (_, n) => new Date(Date.UTC(2026, 2, 28, 23 + n)).toISOString());
    const all = day.map((takenAt) => ({ id: takenAt, takenAt, isVerified: true, hold: undefined }));
    expect(kept({ daily: 1 }, all, berlin)).toEqual([day.at(-1)]);
    expect(kept({ hourly: 23 }, all, berlin)).toHaveLength(23);
  });
});

describe('in words', () => {
  test('each rule says what it keeps, and no rule says nothing', () => {
    expect(rulesInWords({ last: 5, days: 1, hourly: 0, daily: 7, yearly: 2 })).toEqual([
      'the last 5',
      '1 day back from the newest',
      '7 daily',
      '2 yearly',
    ]);
    expect([rulesInWords({}), rulesInWords({ last: 0 })]).toEqual([[], []]);
    expect([hasRules({}), hasRules({ last: 0 }), hasRules({ monthly: 1 })]).toEqual([false, false, true]);
  });
});

describe('whatever the policy', () => {
  test('the newest verified one stays, though a newer one is damaged', () => {
    const there = [taken('2026-11-21', { isVerified: false }), taken('2026-11-20'), taken('2026-11-19')];
    expect(decided({ last: 1 }, there)).toEqual([
      { id: '2026-11-21', keep: true, reasons: ['among the last 1'] },
      { id: '2026-11-20', keep: true, reasons: ['newest verified', 'among the last 1'] },
      { id: '2026-11-19', keep: false, reasons: ['no rule keeps it'] },
    ]);
  });

  test('where none is verified the newest stays', () => {
    const there = ['2026-11-21', '2026-11-20'].map((at) => taken(at, { isVerified: false }));
    expect(kept({ days: 1, last: 1 }, there)).toContain('2026-11-21');
  });

  test('a held one stays, until its hold ends', () => {
    const hold = { reason: 'audit', until: '2026-12-01T00:00:00Z' };
    const there = [taken('2026-11-21'), taken('2026-01-01', { hold })];
    const at = (now: string): readonly string[] => kept({ last: 1 }, there, { ...UTC, now: new Date(now) });
    expect(at('2026-11-30T23:59:59Z')).toEqual(['2026-11-21', '2026-01-01']);
    expect(at('2026-12-01T00:00:00Z')).toEqual(['2026-11-21']);
    const open = [taken('2026-11-21'), taken('2026-01-01', { hold: { ...hold, until: undefined } })];
    expect(decided({ last: 1 }, open)[1]).toEqual({
      id: '2026-01-01',
      keep: true,
      reasons: ['held: audit'],
    });
  });

  test('one from the future makes the others no older', () => {
    expect(kept({ days: 3 }, [taken('2030-01-01'), taken('2026-12-30'), taken('2026-12-28')])).toHaveLength(3);
  });
});

describe('laws', () => {
  const start = Date.UTC(2026, 2, 20);
  const counts = fc.integer({ min: 0, max: 6 });
  const policies: fc.Arbitrary<RetentionPolicy> = fc.record(
    { last: counts, days: counts, hourly: counts, daily: counts, weekly: counts, monthly: counts, yearly: counts },
    { requiredKeys: [] },
  );
  const snapshots = fc
    .uniqueArray(
      fc.record({
        takenAt: fc
          .integer({ min: 0, max: 24 * 500 })
          .map((hours) => new Date(start + hours * 3_600_000).toISOString()),
        isVerified: fc.boolean(),
        hold: fc.option(fc.record({ reason: fc.constant('x'), until: fc.constant(undefined) }), { nil: undefined }),
      }),
      { maxLength: 60, selector: ({ takenAt }) => takenAt },
    )
    .map((all): Retained[] => all.map((each) => ({ id: each.takenAt, ...each })));
  const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Apia', 'Asia/Kolkata');
  const now = new Date('2028-01-01T00:00:00Z');

  test('the newest verified and every held one stay; every decision has a reason', () => {
    fc.assert(
      fc.property(policies, snapshots, zones, (policy, there, timezone) => {
        const decisions = applyRetention(policy, there, { now, timezone });
        const stays = new Set(decisions.flatMap(({ id, keep }) => (keep ? [id] : [])));
        const newest = there
          .filter(({ isVerified }) => isVerified)
          .map(({ id }) => id)
          .sort()
          .at(-1);
        expect(decisions.map(({ id }) => id).sort()).toEqual(there.map(({ id }) => id).sort());
        expect(newest === undefined || stays.has(newest)).toBe(true);
        expect(there.every(({ id, hold }) => hold === undefined || stays.has(id))).toBe(true);
        expect(decisions.every(({ reasons }) => reasons.length > 0)).toBe(true);
      }),
    );
  });

  test('what stayed stays when it is asked again, and the order of the listing does not matter', () => {
    fc.assert(
      fc.property(policies, snapshots, zones, fc.integer(), (policy, there, timezone, seed) => {
        const decisions = applyRetention(policy, there, { now, timezone });
        const stays = there.filter(({ id }) => decisions.some((each) => each.id === id && each.keep));
        expect(removedShare(applyRetention(policy, stays, { now, timezone }))).toBe(0);
        const shuffled = [...there].sort(
          (a, b) => ((Date.parse(a.takenAt) * (seed | 1)) % 977) - ((Date.parse(b.takenAt) * (seed | 1)) % 977),
        );
        expect(applyRetention(policy, shuffled, { now, timezone })).toEqual(decisions);
      }),
    );
  });

  test('one that stayed stays when older ones vanish', () => {
    fc.assert(
      fc.property(policies, snapshots, zones, fc.integer({ min: 0, max: 60 }), (policy, there, timezone, count) => {
        const newestFirst = [...there].sort((a, b) => b.takenAt.localeCompare(a.takenAt));
        const left = newestFirst.slice(0, count);
        const before = kept(policy, newestFirst, { now, timezone }).filter((id) => left.some((each) => each.id === id));
        expect(kept(policy, left, { now, timezone })).toEqual(expect.arrayContaining([...before]));
      }),
    );
  });

  test('on days of 23, 24 and 25 hours alike, each of the last days has one, and no day has two', () => {
    const local = new Intl.DateTimeFormat('en-CA', { timeZone: 'Europe/Berlin', dateStyle: 'short' });
    // The clocks change on 29 March and on 25 October 2026.
    const hours = fc.uniqueArray(fc.integer({ min: 0, max: 24 * 5 }), { minLength: 1, maxLength: 60 });
    const from = fc.constantFrom(Date.UTC(2026, 2, 27), Date.UTC(2026, 9, 23));
    fc.assert(
      fc.property(hours, from, fc.integer({ min: 1, max: 6 }), (at, first, daily) => {
        const there = at.map((hour) =>
          taken(new Date(first + hour * 3_600_000).toISOString().slice(0, 16).replace('T', ' ')),
        );
        const dayOf = (id: string): string => local.format(new Date(`${id.replace(' ', 'T')}:00Z`));
        const days = [...new Set(there.map(({ id }) => dayOf(id)))].sort().reverse();
        const newest = days.slice(0, daily).map((day) =>
          there
            .map(({ id }) => id)
            .filter((id) => dayOf(id) === day)
            .sort()
            .at(-1),
        );
        const oldest = there.map(({ id }) => id).sort()[0];
        const expected = daily > days.length ? new Set([...newest, oldest]) : new Set(newest);
        expect(new Set(kept({ daily }, there, { ...UTC, timezone: 'Europe/Berlin' }))).toEqual(expected);
      }),
    );
  });
});
