/** What stored snapshots look like: the list, one of them, holds; and that the worst data stay in Slack's limits. */
import { describe, expect, test } from 'vitest';
import { holdAnswerView, holdView, releaseQuestionView } from '../../src/chat/views/hold-phrases.ts';
import { verifyAnswerView } from '../../src/chat/views/answers.ts';
import { holdForm, snapshotDialog } from '../../src/chat/views/snapshot-details.ts';
import { snapshotsView } from '../../src/chat/views/snapshots.ts';
import type { HoldAnswer } from '../../src/commands/hold-snapshot.ts';
import type { SnapshotDetails, SnapshotLine, SnapshotsReport } from '../../src/commands/list-snapshots.ts';
import { newDamage } from '../../src/domain/damage.ts';
import type { HoldNote } from '../../src/domain/hold.ts';
import { foldHold, type HoldMessage } from '../../src/domain/hold-message.ts';
import type { Forecast } from '../../src/domain/retention-plan.ts';
import type { SnapshotRecord } from '../../src/domain/snapshot.ts';
import { entryOf } from '../fakes/catalogue.ts';
import { expectDialogFits, expectFits, expectHarmless, poison, seen, seenDialog } from './looks.ts';
import { HOSTILE, HOSTILE_NAME, stored } from './samples.ts';

const AT = '2026-11-21T06:30:00.000Z';
const note: HoldNote = { format: 1, reason: 'before the upgrade', by: 'U0ADA00001', at: AT };
const ending: HoldNote = { ...note, until: '2026-12-31T23:59:59.999Z' };
const away = { code: 'store.unreachable', message: 'Store offsite is away.', hint: 'Look at it.' } as const;

function line(change: Partial<SnapshotRecord> = {}, stores = ['ceph', 'offsite']): SnapshotLine {
  const one = stored(change, stores);
  return { entry: entryOf(one), record: one.record, problems: [], hold: undefined };
}

/** Without a rule it goes after the next backup. */
function forecasts(rule?: string): readonly Forecast[] {
  return ['ceph', 'offsite'].map((store) => ({
    store,
    keeps: rule === undefined ? [] : [rule],
    goesNext: rule === undefined,
    goes: rule === undefined ? 'goes after the next backup' : 'stays after the next backup',
  }));
}

const other: SnapshotLine = {
  entry: {
    ...line().entry,
    id: 'v2/Backup-1763700000/Full-00000000-00000042-1763704800.gz',
    takenAt: '2025-11-21T06:00:00.000Z',
    origin: 'other',
  },
  record: undefined,
  problems: [],
  hold: undefined,
};
const bad: SnapshotLine = {
  ...line(),
  record: undefined,
  problems: [{ store: 'ceph', message: 'No good manifest of it can be read.', hint: 'Choose another one.' }],
};
const damaged: SnapshotLine = {
  ...line(),
  entry: { ...line().entry, copies: line().entry.copies.map((copy, i) => ({ ...copy, isDamaged: i === 1 })) },
  hold: { note: ending, isActive: true, stores: ['ceph'] },
};

/** As long as names of another tool's snapshots and of clusters get. */
const LONG_ID = `${'é'.repeat(240)}.db`;
const worstLine = (): SnapshotLine => {
  const poisoned = poison(damaged, /^(origin|takenAt|until)$/);
  return { ...poisoned, entry: { ...poisoned.entry, id: LONG_ID } };
};
const problems = Array.from({ length: 9 }, () => ({ store: HOSTILE, message: HOSTILE, hint: HOSTILE }));

describe('the list', () => {
  const report: SnapshotsReport = {
    at: AT,
    cluster: 'prod-eu',
    stores: ['ceph', 'offsite'],
    filters: [],
    total: 2,
    fitting: 2,
    page: 0,
    pages: 1,
    lines: [line(), line({ id: '20261121T000000Z-16', checks: ['size'] }, ['ceph'])],
    increments: 0,
    problems: [],
  };

  test('age, size, revision, keys, hash, where', () => {
    const view = snapshotsView(report);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('of all kinds, narrowed down', () => {
    const filters = ['before:2027', 'missing:nas'];
    const all = [damaged, other, bad, { ...line(), entry: { ...line().entry, origin: 'adopted' as const } }];
    const view = snapshotsView({ ...report, filters, fitting: 4, total: 10_000, lines: all, increments: 12 });
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('none yet, and none that fits', () => {
    expect(seen(snapshotsView({ ...report, total: 0, lines: [] }))).toBe('📦 *prod-eu* · no snapshots yet');
    const none = snapshotsView({ ...report, filters: ['held'], total: 9, fitting: 0, lines: [] });
    expect(seen(none)).toBe('📦 *prod-eu* · none of 9 snapshots: `held`');
  });

  test('each snapshot has a button that brings its name back', () => {
    const [, first] = snapshotsView(report).blocks;
    expect(first).toMatchObject({
      accessory: {
        text: { text: 'Details' },
        value: JSON.stringify({ cluster: 'prod-eu', snapshot: line().entry.id }),
      },
    });
  });

  test('a store that could not be asked is not said to miss a snapshot', () => {
    const text = seen(
      snapshotsView({ ...report, problems: [{ store: 'offsite', message: 'No answer.', hint: 'Try again.' }] }),
    );
    expect(text).not.toContain('not in `offsite`');
    expect(text).toContain('Store `offsite` could not be asked');
  });

  test('hostile, and as long as it gets: every page within the limits', () => {
    const filters = Array.from({ length: 12 }, (_, i) => `missing:${'s'.repeat(60)}${i}`);
    const lines = Array.from({ length: 10 }, worstLine);
    for (const page of [0, 50, 99]) {
      const view = snapshotsView({
        ...report,
        ...{ cluster: HOSTILE_NAME, filters, total: 1e6, fitting: 1000, page, pages: 100, lines, problems },
        stores: Array.from({ length: 20 }, () => HOSTILE),
      });
      expectFits(view);
      expectHarmless(view);
    }
  });
});

describe('the details', () => {
  const details: SnapshotDetails = {
    ...line(),
    at: AT,
    cluster: 'prod-eu',
    stores: ['ceph', 'offsite'],
    copies: line().entry.copies.map((copy, i) => ({
      ...copy,
      ...{ problem: undefined, damage: undefined, readAt: i === 0 ? '2026-11-18T06:30:00.000Z' : undefined },
    })),
    away: [],
    retention: { stores: forecasts('daily 2026-11-21'), released: forecasts('daily 2026-11-21') },
    may: { hold: true, restore: true, verify: true },
  };

  test('all that is known, and what can be done', () => {
    const view = snapshotDialog(details, 'C1');
    expectDialogFits(view);
    expect(seenDialog(view)).toMatchSnapshot();
  });

  test('held, encrypted, with a damaged copy, one missing and a store away', () => {
    const encoding = { compression: 'zstd', encryption: 'age', recipients: ['age1x', 'age1y'] } as const;
    const copy = { store: 'ceph', key: 'prod-eu/x.db.zst.age', size: 99_000_000, isDamaged: false } as const;
    const known = { ...copy, problem: undefined, damage: undefined, readAt: '2026-11-18T06:30:00.000Z' };
    const damage = newDamage(new Date('2026-11-20T00:00:00Z'), 'Its end is missing.', 'scrub-1');
    const object = { key: 'prod-eu/x.db.zst.age', size: 99_000_000, sha256: 'c'.repeat(64) };
    const view = snapshotDialog(
      {
        ...details,
        ...line({ encoding, object, source: 'etcdctl' }),
        stores: ['ceph', 'offsite', 'nas', 'azure', 'b2'],
        copies: [
          { ...known, isDamaged: true, damage },
          { ...known, store: 'nas', isDamaged: true, readAt: undefined },
          { ...known, store: 'offsite', problem: 'its manifest is missing' },
        ],
        hold: { note: ending, isActive: true, stores: ['ceph', 'offsite'] },
        away: [{ store: 'azure', message: 'No answer.', hint: 'Look at it.' }],
        retention: { stores: forecasts('held: before the upgrade'), released: forecasts() },
      },
      'C1',
    );
    expectDialogFits(view);
    expect(seenDialog(view)).toMatchSnapshot();
  });

  test("another tool's, and one without a good manifest, can't be restored from here", () => {
    for (const each of [other, bad]) {
      const view = snapshotDialog({ ...details, ...each }, 'C1');
      expectDialogFits(view);
      expect(seenDialog(view)).toMatchSnapshot();
      expect(seenDialog(view)).not.toContain('Restore…');
    }
  });

  test('a hold that ended is told as ended, and a note that can not be read as one that holds', () => {
    const ended = { note: { ...note, until: AT }, isActive: false, stores: ['ceph'] };
    expect(seenDialog(snapshotDialog({ ...details, hold: ended }, 'C1'))).toContain('hold ended');
    const unreadable = { note: undefined, isActive: true, stores: ['ceph'] };
    expect(seenDialog(snapshotDialog({ ...details, hold: unreadable }, 'C1'))).toContain(
      "held* by a note that can't be read",
    );
  });

  test('before a release Slack asks, and says what comes of it', () => {
    const hold = { note, isActive: true, stores: ['ceph'] };
    const asked = (retention: SnapshotDetails['retention']): string =>
      JSON.stringify(snapshotDialog({ ...details, hold, retention }, 'C1').blocks);
    expect(asked({ stores: forecasts('held'), released: forecasts() })).toContain(
      'after the next backup, from ceph, offsite',
    );
    expect(asked({ stores: forecasts('held'), released: forecasts('last 1') })).toContain('by its other rules');
    expect(asked(undefined)).toContain('may remove it then');
  });

  test('who may do nothing gets no buttons', () => {
    const view = snapshotDialog({ ...details, may: { hold: false, restore: false, verify: false } }, 'C1');
    expect(view.blocks.some(({ type }) => type === 'actions')).toBe(false);
  });

  test('hostile, and as long as it gets: within the limits', () => {
    const worst = worstLine();
    const recipients = Array.from({ length: 100 }, () => HOSTILE.slice(0, 256));
    const record = poison({
      ...stored().record,
      encoding: { compression: 'zstd', encryption: 'age', recipients } as const,
    });
    const copies = Array.from({ length: 20 }, (_, i) => ({
      ...{ store: HOSTILE, key: HOSTILE, size: 1e15, problem: HOSTILE, readAt: AT, isDamaged: i % 2 === 0 },
      damage: i % 4 === 0 ? newDamage(new Date('9999-01-01T00:00:00Z'), HOSTILE, HOSTILE) : undefined,
    }));
    const view = snapshotDialog(
      {
        ...worst,
        ...{ record, at: AT, cluster: HOSTILE_NAME, away: problems, may: { hold: true, restore: true, verify: true } },
        retention: {
          stores: Array.from({ length: 20 }, () => poison(forecasts(HOSTILE))).flat(),
          released: poison(forecasts()),
        },
        stores: Array.from({ length: 30 }, (_, i) => `${HOSTILE}${i}`),
        copies,
      },
      'C1',
    );
    expectDialogFits(view);
    expectHarmless({ text: '' as never, blocks: view.blocks as never });
  });
});

test.each([false, true])('the answer to a click on "Verify", asked for before: %s', (isKnown) => {
  const answer = { cluster: 'prod-eu', snapshot: line().entry.id, operation: 'verify-prod-eu-1', isKnown };
  expect(seen(verifyAnswerView(answer))).toMatchSnapshot();
  const worst = verifyAnswerView({ ...answer, cluster: HOSTILE_NAME, snapshot: HOSTILE });
  expectFits(worst);
  expectHarmless(worst);
});

test('the form of a hold asks for the reason and an end', () => {
  const view = holdForm({ cluster: 'prod-eu', snapshot: line().entry.id, channel: 'C1' });
  expectDialogFits(view);
  expect(seenDialog(view)).toMatchSnapshot();
  expectDialogFits(holdForm({ cluster: 'c'.repeat(200), snapshot: LONG_ID, channel: 'C'.repeat(20) }));
});

describe('the message of a hold', () => {
  const base = { at: AT, operation: 'hold-prod-eu-x-1', cluster: 'prod-eu' } as const;
  const changed = {
    ...base,
    type: 'hold.changed',
    snapshot: line().entry.id,
    takenAt: line().entry.takenAt,
    change: { kind: 'held', note: ending },
    origin: { channel: 'C1', user: 'U0ADA00001' },
    stores: [
      { store: 'ceph', problem: undefined },
      { store: 'offsite', problem: away },
    ],
  } as const;
  const held = foldHold(undefined, changed) as HoldMessage;
  const released = { ...held, change: { kind: 'released', by: 'U0ADA00001' } } as const;

  test.each([
    ['held, one store behind', held],
    ['released, one store behind', released],
    ['held, all stores', { ...held, stores: [] }],
    ['released, one given up', { ...released, stores: [{ store: 'offsite', problem: away, isGivenUp: true }] }],
  ])('%s', (_, state) => {
    const view = holdView(state);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('a store that followed is not named any more; one that is given up is', () => {
    const followed = foldHold(held, { ...base, type: 'hold.followed', store: 'offsite', problem: undefined });
    expect(seen(holdView(followed as HoldMessage))).not.toContain('offsite');
    const givenUp = foldHold(held, { ...base, type: 'hold.followed', store: 'offsite', problem: away });
    expect(seen(holdView(givenUp as HoldMessage))).toContain('given up');
  });

  test('events that come twice, late or for what is not known change nothing', () => {
    const event = { ...base, type: 'hold.followed', store: 'offsite', problem: undefined } as const;
    const followed = foldHold(held, event);
    expect(foldHold(followed, event)).toBe(followed);
    expect(foldHold(followed, changed)).toBe(followed);
    expect(foldHold(held, { ...event, store: 'ceph', problem: away })).toBe(held);
    expect(foldHold(held, { ...event, store: 'nas' })).toBe(held);
    expect(foldHold(undefined, event)).toBeUndefined();
  });

  test('hostile, and as long as it gets: within the limits', () => {
    const worst = { ...poison(held), snapshot: LONG_ID };
    const many = Array.from({ length: 30 }, () => ({ ...poison({ store: 's', problem: away }), isGivenUp: true }));
    const view = holdView({ ...worst, stores: many });
    expectFits(view);
    expectHarmless(view);
  });
});

describe('the question before a release', () => {
  const question = { cluster: 'prod-eu', snapshot: line().entry.id, takenAt: line().entry.takenAt };

  test.each([
    ['it would go at once', { ...question, goes: forecasts() }],
    ['nobody can tell', { ...question, goes: undefined }],
  ])('%s', (_, each) => {
    const view = releaseQuestionView(each);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('hostile, and as long as it gets: within the limits', () => {
    const goes = Array.from({ length: 20 }, () => poison(forecasts())).flat();
    const view = releaseQuestionView({ ...question, cluster: HOSTILE_NAME, snapshot: LONG_ID, goes });
    expectFits(view);
    expectHarmless(view);
  });
});

describe('the answer', () => {
  const answer: HoldAnswer = {
    cluster: 'prod-eu',
    snapshot: line().entry.id,
    takenAt: line().entry.takenAt,
    change: { kind: 'held', note: ending },
    before: undefined,
    stores: [
      { store: 'ceph', problem: undefined },
      { store: 'offsite', problem: undefined },
    ],
    isQueueAway: false,
  };
  const behind = [
    { store: 'ceph', problem: undefined },
    { store: 'offsite', problem: away },
  ];

  test.each([
    ['held', answer],
    [
      'held until released, in the place of another',
      { ...answer, change: { kind: 'held', note }, before: ending } as const,
    ],
    ['held, one store behind', { ...answer, stores: behind }],
    ['released', { ...answer, change: { kind: 'released', by: 'U1' } } as const],
    ['released, one store behind', { ...answer, change: { kind: 'released', by: 'U1' }, stores: behind } as const],
    [
      'released, one store behind and no queue',
      { ...answer, change: { kind: 'released', by: 'U1' }, stores: behind, isQueueAway: true } as const,
    ],
  ])('%s', (_, each) => {
    const view = holdAnswerView(each);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('hostile, and as long as it gets: within the limits', () => {
    const many = Array.from({ length: 30 }, () => poison({ store: 's', problem: away }));
    const view = holdAnswerView({ ...poison({ ...answer, before: ending }), snapshot: LONG_ID, stores: many });
    expectFits(view);
    expectHarmless(view);
  });
});
