/** How retention looks: the question through its life, trouble, the dry run; with hostile data, and with thousands. */
import { describe, expect, test } from 'vitest';
import { backupView } from '../../src/chat/views/backup.ts';
import { retentionQuestionView, retentionTroubleView } from '../../src/chat/views/retention-notes.ts';
import { retentionView } from '../../src/chat/views/retention.ts';
import { foldBackup } from '../../src/domain/backup-message.ts';
import type { BackupMessage } from '../../src/domain/backup-message.ts';
import { foldAnswered, foldAsks, foldClicked, foldRetained, foldTrouble } from '../../src/domain/retention-message.ts';
import type { RetentionQuestion, RetentionTrouble } from '../../src/domain/retention-message.ts';
import { expectFits, expectHarmless, poison, seen } from './looks.ts';
import {
  asks,
  AWAY,
  clicked,
  copies,
  done,
  result,
  retentionReport,
  snapshotRow,
  storeRow,
} from './retention-samples.ts';
import { events, HOSTILE_NAME } from './samples.ts';

/** Buttons carry the digest, which Keyturn makes, and names, which the configuration keeps short. */
const CARRIED = /^(digest|store)$/;

const at = (time: string): string => `2026-11-21T${time}:00.000Z`;
const confirmed = { store: 'ceph', digest: asks().digest, by: 'U0ADA00001' };

const asked = foldAsks(undefined, asks(), { last: 100 });
const waits = foldClicked(asked, clicked('confirmed', at('06:05')));
const QUESTIONS: Readonly<Record<string, RetentionQuestion>> = {
  asking: asked,
  'asking again, after a word that fitted no more': foldAsks(undefined, asks({ notNow: 'U0ADA00001' }), undefined),
  declined: foldClicked(asked, clicked('declined', at('06:05'))),
  confirmed: waits,
  removed: foldAnswered(waits, done(at('06:07'), [result({ removed: copies(95) })], { confirmed })),
  'removed, but for some': foldAnswered(waits, done(at('06:07'), [result({ removed: copies(90) })], { confirmed })),
  'confirmed, and did not come about': foldAnswered(
    waits,
    done(at('06:07'), [result({ removed: copies(0), problem: AWAY })], { confirmed }),
  ),
  outdated: foldAnswered(asked, done(at('07:02'))),
};

describe('the question', () => {
  test.each(Object.entries(QUESTIONS))('%s', (_, state) => {
    const view = retentionQuestionView(state, '/etcd');
    expectFits(view);
    expect(`${seen(view)}\n\ntext: ${view.text}`).toMatchSnapshot();
  });

  test.each(Object.entries(QUESTIONS))('%s, with hostile data', (_, state) => {
    const named = { ...state, asked: { ...state.asked, store: HOSTILE_NAME } };
    const view = retentionQuestionView(poison(named, CARRIED), '/etcd');
    expectFits(view);
    expectHarmless(view);
  });
});

describe('trouble', () => {
  const tally = [
    { store: 'ceph', fate: 'waits', count: 2, bytes: 824_000_064 },
    { store: 'ceph', fate: 'left', count: 1, bytes: 400 },
  ] as const;
  const event = done(
    at('06:02'),
    [
      result({ problem: AWAY, isKnown: false }),
      result({ store: 'offsite', locked: { count: 2, ids: ['a', 'b'], message: 'Object lock until 2027-01-01.' } }),
    ],
    { strays: { count: 3, bytes: 824_000_464, first: [], tally, problems: [{ store: 'offsite', problem: AWAY }] } },
  );
  const state = foldTrouble(undefined, event).state as RetentionTrouble;

  test('says what, where, and what to do', () => {
    const view = retentionTroubleView(state, '/etcd');
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('that is over is one line', () => {
    for (const over of ['healed', 'continued'] as const)
      expect(seen(retentionTroubleView({ ...state, over }, '/etcd'))).toMatchSnapshot();
  });

  test('of any amount, with hostile data', () => {
    const causes = Array.from({ length: 40 }, () => state.causes).flat();
    const view = retentionTroubleView(poison({ ...state, causes }, /^(fate)$/), '/etcd');
    expectFits(view);
    expectHarmless(view);
  });
});

describe('the dry run', () => {
  const held = snapshotRow(30, {
    isHeld: true,
    stores: [
      { store: 'ceph', keeps: ['held: before the upgrade'], goesNext: false, goes: 'stays as long as it is held' },
      { store: 'offsite', keeps: [], goesNext: true, goes: 'goes after the next backup' },
    ],
  });

  test('policies and counts first, then each snapshot with its reasons', () => {
    const view = retentionView(
      retentionReport({ snapshots: [0, 1].map((age) => snapshotRow(age)).concat(held), strays: 2 }),
      0,
    );
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('says when no retention is configured', () => {
    const row = { policy: {}, keptBy: { 'no policy': 3 }, keeps: 3, goesNext: { count: 0, bytes: 0, mustAsk: false } };
    const view = retentionView(retentionReport({ stores: [storeRow(row)], nextRunAt: undefined }), 0);
    expect(seen(view)).toContain('*no retention is configured: everything stays*');
    expect(seen(view)).not.toContain('After the next backup');
  });

  test('has a button for operators where something waits, and for nobody else', () => {
    const stores = [
      storeRow({ asks: true, goes: { count: 95, bytes: 39e9 }, goesNext: { count: 96, bytes: 4e10, mustAsk: true } }),
      storeRow({ store: 'offsite', blocked: AWAY }),
    ];
    const view = retentionView(retentionReport({ stores, mayConfirm: true }), 0);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
    const onlooker = seen(retentionView(retentionReport({ stores }), 0));
    expect(onlooker).not.toContain('[🗑');
    expect(onlooker).toContain('An operator can give it.');
  });

  test('of ten thousand is pages, each within the limits, and the summary is on every one', () => {
    const snapshots = Array.from({ length: 10_000 }, (_, age) => snapshotRow(age));
    for (const page of [0, 1, 333, 666, 9999]) {
      const view = retentionView(retentionReport({ snapshots }), page);
      expectFits(view);
      expect(seen(view)).toContain('retention of 10,000 snapshots');
    }
    expect(seen(retentionView(retentionReport({ snapshots }), 666))).toContain('Page 667 of 667');
  });

  test('with hostile data', () => {
    const snapshots = Array.from({ length: 40 }, () => held);
    const stores = Array.from({ length: 20 }, () => storeRow({ store: HOSTILE_NAME, asks: true, blocked: AWAY }));
    const problems = Array.from({ length: 20 }, () => ({ store: 'ceph', message: 'm', hint: 'h' }));
    const report = poison(retentionReport({ snapshots, stores, problems, mayConfirm: true }), CARRIED);
    const view = retentionView(report, 0);
    expectFits(view);
    expectHarmless(view);
  });
});

describe('the backup’s own message', () => {
  const stored = foldBackup(undefined, events.stored) as BackupMessage;

  test.each([
    ['removed something', done(at('06:17'))],
    ['removed nothing', done(at('06:17'), [result()], { total: { removed: 0, bytes: 0, keeps: 30 } })],
    ['asks', done(at('06:17'), [result({ asks: true })])],
  ])('has a line: retention %s', (_, event) => {
    const view = backupView(foldRetained(stored, event));
    expectFits(view);
    expect(seen(view).split('\n').at(-1)).toMatchSnapshot();
  });
});
