/** Every view: what ordinary data looks like, and that the longest, the emptiest and the most hostile stay in Slack's limits. */
import { describe, expect, test } from 'vitest';
import { validateView } from '../../deploy/local/workspace/limits.ts';
import { backupAnswerView, helpView, problemView } from '../../src/chat/views/answers.ts';
import { backupAlertView, backupView } from '../../src/chat/views/backup.ts';
import { clustersView, homeView } from '../../src/chat/views/clusters.ts';
import { statusView } from '../../src/chat/views/status.ts';
import type { Running } from '../../src/commands/running.ts';
import type { ClusterRow, ClustersReport } from '../../src/commands/show-clusters.ts';
import { showHelp } from '../../src/commands/show-help.ts';
import type { StatusReport } from '../../src/commands/show-status.ts';
import { foldBackup, foldRetried } from '../../src/domain/backup-message.ts';
import type { BackupMessage } from '../../src/domain/backup-message.ts';
import type { BackupEvent } from '../../src/domain/event.ts';
import { expectFits, expectHarmless, poison, seen } from './looks.ts';
import { HOSTILE, HOSTILE_NAME, events, member, person, record, spec, stored } from './samples.ts';

function after(...all: readonly BackupEvent[]): BackupMessage {
  const state = all.reduce<BackupMessage | undefined>((s, e) => foldBackup(s, e), undefined);
  if (state === undefined) throw new Error('no state');
  return state;
}

const { queued, started, progress, retrying, startedAgain, stored: done, failed } = events;
const scheduled = { kind: 'schedule', dueAt: '2026-11-21T06:00:00.000Z', caughtUp: true } as const;

describe('the message of a backup', () => {
  const phases: Record<string, BackupMessage> = {
    queued: after(queued),
    'running, just begun': after(queued, started),
    'running, half way': after(queued, started, progress),
    retrying: after(queued, started, progress, retrying),
    'running again': after(queued, started, retrying, startedAgain),
    stored: after(queued, started, done),
    'stored, from a schedule, with etcdctl, one copy failed': after({
      ...done,
      record: record({ trigger: scheduled, source: 'etcdctl', revisionAfter: '88220' }),
      fallbackReason: 'the node forbids port forwarding.',
      copies: [
        { store: 'ceph', problem: undefined },
        { store: 'offsite', problem: { code: 'store.full', message: 'The disk is full.', hint: 'Make room.' } },
      ],
    }),
    failed: after(queued, started, failed),
    'failed, nothing good before': after({ ...failed, lastGoodAt: undefined, nextRunAt: undefined, attempts: 1 }),
    'failed, still within the RPO': after({ ...failed, lastGoodAt: '2026-11-21T03:00:00.000Z' }),
    'failed, asked for again': foldRetried(after(failed), 'U0GRACE002', '2026-11-21T07:00:00.000Z'),
  };

  test.each(Object.entries(phases))('%s', (_, state) => {
    const view = backupView(state);
    expectFits(view);
    expect(`${seen(view)}\n\ntext: ${view.text}`).toMatchSnapshot();
  });

  test.each([
    ['zstd', 'age', ['age1one', 'age1two'], '137 MB stored, compressed, encrypted to 2 recipients'],
    ['none', 'age', ['age1one'], '137 MB stored, encrypted to 1 recipient'],
    ['none', 'age', ['passphrase'], '137 MB stored, encrypted with a passphrase'],
    ['zstd', 'none', [], '137 MB stored, compressed'],
  ] as const)('stored with %s and %s says what lies in the stores', (compression, encryption, recipients, words) => {
    const encoding = { compression, encryption, recipients };
    const object = { ...record().object, size: 137_000_000 };
    const view = backupView(after({ ...done, record: record({ encoding, object }) }));
    expectFits(view);
    expect(seen(view)).toContain(` · ${words} · `);
  });

  test('stored is one line: what, how much, how long, revision, verified, next', () => {
    expect(seen(backupView(after(queued, started, done))).split('\n')[0]).toBe(
      '✅ *prod-eu* · backup · 412 MB in 38 s · revision 88213 · verified · next <!date^1795284000^{date_short_pretty} {time}|2026-11-21 18:00 UTC>',
    );
  });

  test('progress never says 100 % while it runs, though the size was a guess', () => {
    const over = after(started, { ...progress, bytes: 500_000_000 });
    expect(seen(backupView(over))).toContain('99 % · 500 MB of about 500 MB');
  });

  test('a message that could not stand where it was asked for says so to who asked', () => {
    const view = backupView(after(queued), { movedFrom: 'C0GENERAL3' });
    expect(seen(view)).toContain("<@U0ADA00001>: I can't post in <#C0GENERAL3>");
    expectFits(view);
  });

  test('the alarm calls the people on call once; without them it is the failure alone', () => {
    const state = after(queued, started, failed);
    const alert = backupAlertView(state, 'S0ONCALL02');
    expect(seen(alert).split('<!subteam^S0ONCALL02>')).toHaveLength(2);
    expect(alert.text.split('<!subteam^S0ONCALL02>')).toHaveLength(2);
    expect(seen(backupAlertView(state, undefined))).toBe(seen(backupView(state)));
    expectFits(alert);
  });

  test.each(Object.entries(phases))('%s, with hostile data of any length', (_, state) => {
    const hostile = poison(state);
    for (const view of [
      backupView(hostile),
      backupView(hostile, { movedFrom: HOSTILE }),
      backupAlertView(hostile, HOSTILE_NAME),
    ]) {
      expectFits(view);
      expectHarmless(view);
    }
  });
});

const AT = '2026-11-21T06:30:00.000Z';
const running: Running = {
  operation: 'x',
  what: 'backup',
  kind: 'running',
  since: '2026-11-21T06:29:00.000Z',
  trigger: { kind: 'person', user: 'U0ADA00001' },
};

function row(cluster: string, change: Partial<ClusterRow> = {}): ClusterRow {
  return {
    cluster,
    state: 'fresh',
    lastGood: { at: '2026-11-21T06:00:00.000Z', size: 412_000_000, ageMs: 1_800_000 },
    rpoMs: 28_800_000,
    nextRunAt: '2026-11-21T12:00:00.000Z',
    running: undefined,
    problems: [],
    ...change,
  };
}

describe('the overview', () => {
  const report: ClustersReport = {
    at: AT,
    rows: [
      row('new', { state: 'never', lastGood: undefined }),
      row('old', { state: 'late', lastGood: { at: AT, size: 5_000_000, ageMs: 32_400_000 } }),
      row('blind', { state: 'unknown', lastGood: undefined, problems: ['ceph: is away'] }),
      row('by-hand', { state: 'not-watched', rpoMs: undefined, nextRunAt: undefined }),
      row('prod-eu', { running }),
      row('prod-us', { running: { ...running, kind: 'queued', trigger: undefined } }),
      row('prod-ap', { running: { ...running, what: 'sweep', trigger: undefined } }),
    ],
    problems: [],
  };

  test('one line a cluster, the worst first, counts on top', () => {
    const view = clustersView(report, 0, '/etcd');
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('no clusters, and the queue away', () => {
    const view = clustersView({ at: AT, rows: [], problems: ['The queue is away.'] }, 0, '/etcd');
    expectFits(view);
    expect(seen(view)).toBe('No clusters are configured yet.\n  (⚠️ The queue is away.)');
  });

  test('300 clusters are pages of 20, each within the limits, and every cluster is on one', () => {
    const names = Array.from({ length: 300 }, (_, i) => `cluster-${i}-`.padEnd(80, 'x'));
    const big = { ...report, rows: names.map((n) => row(n, { running, problems: ['ceph: is away'] })) };
    const pages = Array.from({ length: 15 }, (_, page) => clustersView(big, page, '/etcd'));
    pages.forEach(expectFits);
    const all = pages.map(seen).join('\n');
    for (const name of names) expect(all).toContain(name);
    expect(seen(pages[0] ?? clustersView(report, 0, ''))).toContain('[Next ▶]');
    expect(all).toContain('Page 15 of 15');
    expect(validateView(homeView(big, '/etcd'))).toEqual([]);
  });

  test('hostile names and reasons', () => {
    const rows = Array.from({ length: 40 }, () => poison(row('x', { running, problems: [HOSTILE, HOSTILE] })));
    const view = clustersView({ at: AT, rows, problems: [HOSTILE] }, 1, '/etcd');
    expectFits(view);
    expectHarmless(view);
    expect(validateView(homeView({ at: AT, rows, problems: [HOSTILE] }, '/etcd'))).toEqual([]);
  });

  test('Home', () => {
    expect(validateView(homeView(report, '/etcd'))).toEqual([]);
    expect(validateView(homeView({ ...report, rows: [] }, '/etcd'))).toEqual([]);
  });
});

describe('the live look', () => {
  const report: StatusReport = {
    at: AT,
    cluster: 'prod-eu',
    live: {
      kind: 'live',
      clusterId: 9n,
      hasLeader: true,
      members: [
        { member: member({ name: 'cp1', isLeader: true }), lag: 0n },
        { member: member({ name: 'cp2', node: 'cp2', alarms: ['NOSPACE'], dbSize: 7_900_000_000 }), lag: 0n },
        { member: member({ name: 'cp3', node: 'machine-3', isLearner: true }), lag: 12_000n },
        {
          member: member({
            name: 'cp4',
            problem: { code: 'etcd.unreachable', message: 'cp4 does not answer.', hint: 'Look at its log.' },
          }),
          lag: 0n,
        },
      ],
      missing: [{ node: 'cp5', message: 'No route to 10.0.0.15.', hint: 'Check the network.' }],
    },
    state: 'late',
    rpoMs: 28_800_000,
    nextRunAt: '2026-11-21T12:00:00.000Z',
    running,
    last: [stored(), stored({ id: '20261121T000000Z-16', takenAt: '2026-11-21T00:00:00.000Z' }, ['ceph'])],
    problems: ['offsite: is away'],
  };

  test('members, trouble, backups', () => {
    const view = statusView(report);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('all is well', () => {
    const live = { ...report.live, members: [{ member: member({ isLeader: true }), lag: 3n }], missing: [] };
    const view = statusView({ ...report, live, state: 'fresh', running: undefined, problems: [] });
    expect(seen(view)).toMatchSnapshot();
  });

  test('no node reachable', () => {
    const problem = { code: 'ssh.unreachable', message: 'cp1 is away.', hint: 'Look after cp1.' } as const;
    const view = statusView({ ...report, live: { kind: 'blind', problem }, last: [], state: 'never' });
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('without a leader that is what is said first', () => {
    const view = statusView({ ...report, live: { ...report.live, hasLeader: false } as StatusReport['live'] });
    expect(view.text).toContain("no leader: the cluster can't serve");
  });

  test('hostile data, and more members than anyone has', () => {
    const bad = poison(member({ alarms: [HOSTILE, HOSTILE] }));
    const broken = poison(member({ problem: { code: 'etcd.tls', message: HOSTILE, hint: HOSTILE } }));
    const members = Array.from({ length: 40 }, (_, i) => ({ member: i % 2 ? bad : broken, lag: 2n ** 64n - 1n }));
    const missing = Array.from({ length: 40 }, () => ({ node: HOSTILE, message: HOSTILE, hint: HOSTILE }));
    const view = statusView({
      ...report,
      cluster: HOSTILE_NAME,
      live: { kind: 'live', clusterId: 1n, hasLeader: true, members, missing },
      last: [poison(stored())],
      problems: Array.from({ length: 20 }, () => HOSTILE),
    });
    expectFits(view);
    expectHarmless(view);
  });
});

describe('short answers', () => {
  const deps = { people: { request: [], approve: [], operate: ['U9'] }, command: '/etcd', clusters: [spec('prod-eu')] };

  test('help for one who may, and for one who may not', () => {
    expect(seen(helpView(showHelp(deps, person('U9'))))).toMatchSnapshot();
    expect(seen(helpView(showHelp(deps, person('U8'))))).not.toContain('backup &lt;cluster&gt;` – a backup now');
    expect(seen(helpView(showHelp(deps, person('U8'))))).toContain('backup &lt;cluster&gt;` 🔒 operators only');
  });

  test('busy says what, since when and by whom', () => {
    const view = backupAnswerView({ kind: 'busy', cluster: 'prod-eu', running });
    expect(view.text).toMatch(/prod-eu.*busy.*backup running since <!date.*asked by <@U0ADA00001>/);
    expectFits(view);
  });

  test('a refusal names whom to ask', () => {
    const problem = { code: 'permission.denied', message: 'You may not.', hint: 'Ask one of them.' } as const;
    expect(seen(problemView(problem, ['S0ADMINS01', 'U9']))).toBe(
      '🔒 You may not.\nAsk one of them.\n  (Who may: <!subteam^S0ADMINS01>, <@U9>)',
    );
  });

  test('hostile data in each', () => {
    const problem = { code: 'internal', message: HOSTILE, hint: HOSTILE } as const;
    const hostileRunning = poison(running);
    for (const view of [
      problemView(
        problem,
        Array.from({ length: 50 }, () => HOSTILE),
      ),
      helpView(showHelp({ ...deps, command: HOSTILE_NAME, clusters: Array(9).fill(spec(HOSTILE_NAME)) }, person('U8'))),
      backupAnswerView({ kind: 'busy', cluster: HOSTILE_NAME, running: hostileRunning }),
      backupAnswerView({ kind: 'queued', cluster: HOSTILE_NAME, operation: HOSTILE }),
      backupAnswerView({ kind: 'known', cluster: HOSTILE_NAME, operation: HOSTILE }),
    ]) {
      expectFits(view);
      expectHarmless(view);
    }
  });
});
