/** The commands on fakes: what people get, and what they are refused. */
import { describe, expect, test } from 'vitest';
import type { CommandDeps } from '../../src/commands/deps.ts';
import { inParallel, shared, within } from '../../src/commands/deps.ts';
import { buildCommands } from '../../src/commands/index.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { BackupJob } from '../../src/domain/job.ts';
import { catalogueOf, member, person, silentLog, sixHourly, spec, stored } from '../chat/samples.ts';
import { fakeCatalogue } from '../fakes/catalogue.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { fakeEtcd } from '../fakes/etcd-client.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { fakeScrubMemory } from '../fakes/scrub-memory.ts';
import { restoreParts } from '../support/restore-world.ts';

const NOW = '2026-11-21T06:30:00.000Z';
const operator = person('U1', { groups: ['S0ADMINS01'] });
const onlooker = person('U2');
const guest = person('U3', { isGuest: true, groups: ['S0ADMINS01'] });

function world(change: Partial<CommandDeps> = {}) {
  const clock = fakeClock(NOW);
  const published: KeyturnEvent[] = [];
  const queue = fakeJobQueue(clock);
  const lease = fakeClusterLease();
  let nonce = 0;
  const deps: CommandDeps = {
    clusters: [spec('prod-eu'), spec('staging', { schedule: undefined, rpoMs: undefined })],
    people: { request: [], approve: [], operate: ['S0ADMINS01'] },
    command: '/etcd',
    etcd: fakeEtcd(),
    catalogue: catalogueOf([stored()]),
    stores: new Map(),
    queue,
    lease,
    scrubMemory: fakeScrubMemory(),
    calendar: sixHourly,
    publish: (event) => {
      published.push(event);
      return Promise.resolve();
    },
    clock,
    log: silentLog,
    nonce: () => `a${(nonce += 1)}`,
    ...change,
  };
  return { clock, queue, lease, published, deps, commands: buildCommands({ ...deps, ...restoreParts() }) };
}

async function refusal(promise: Promise<unknown>): Promise<KeyturnError> {
  const error: unknown = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (error instanceof KeyturnError) return error;
  throw new Error(`expected a refusal, got ${String(error)}`);
}

describe('a backup that is asked for', () => {
  const request = { cluster: 'prod-eu', channel: 'C1' };

  test('is one job with the person and the channel in it, and is announced', async () => {
    const { commands, queue, published } = world();
    const answer = await commands.requestBackup(operator, request);
    expect(answer).toMatchObject({ kind: 'queued', cluster: 'prod-eu' });
    expect(queue.jobs.map((j) => j.job)).toEqual([
      {
        kind: 'backup',
        id: 'backup-prod-eu-20261121T063000000Z-a1',
        cluster: 'prod-eu',
        trigger: { kind: 'person', user: 'U1' },
        origin: { channel: 'C1', user: 'U1' },
        askedAt: NOW,
      },
    ]);
    expect(queue.jobs[0]?.attempts).toBe(3);
    expect(published).toMatchObject([{ type: 'backup.queued', operation: queue.jobs[0]?.job.id }]);
  });

  test.each([
    ['no right', onlooker],
    ['a guest, also in the right group', guest],
    ['a bot', person('U4', { isBot: true, groups: ['S0ADMINS01'] })],
    ['deactivated', person('U5', { isDeactivated: true, groups: ['S0ADMINS01'] })],
  ])('is refused: %s', async (_, who) => {
    const { commands, queue } = world();
    const error = await refusal(commands.requestBackup(who, request));
    expect(error.code).toBe('permission.denied');
    expect(error.hint).not.toBe('');
    expect(queue.jobs).toEqual([]);
  });

  test('is answered with what is queued', async () => {
    const { commands, queue } = world();
    await commands.requestBackup(operator, request);
    const answer = await commands.requestBackup(person('U9', { groups: ['S0ADMINS01'] }), request);
    expect(answer).toMatchObject({
      kind: 'busy',
      running: { kind: 'queued', since: NOW, trigger: { kind: 'person', user: 'U1' } },
    });
    expect(queue.jobs).toHaveLength(1);
  });

  test('is answered with what is running, since when and by whom', async () => {
    const { commands, queue, lease } = world();
    await commands.requestBackup(operator, request);
    const id = queue.jobs[0]?.job.id ?? '';
    await lease.acquire({ id, kind: 'backup', cluster: 'prod-eu', startedAt: '2026-11-21T06:31:00.000Z' });
    expect(await commands.requestBackup(operator, request)).toMatchObject({
      kind: 'busy',
      running: { kind: 'running', since: '2026-11-21T06:31:00.000Z', trigger: { kind: 'person', user: 'U1' } },
    });
  });

  test('of another cluster is taken while one is busy', async () => {
    const { commands } = world();
    await commands.requestBackup(operator, request);
    expect(await commands.requestBackup(operator, { ...request, cluster: 'staging' })).toMatchObject({
      kind: 'queued',
    });
  });

  test('of an unknown cluster is refused', async () => {
    const error = await refusal(world().commands.requestBackup(operator, { ...request, cluster: 'nowhere' }));
    expect(error.code).toBe('cluster.unknown');
  });

  test('with the queue away is told so, at once when it says so', async () => {
    const { deps } = world();
    const queue = { ...deps.queue, pendingBackup: () => Promise.reject(new Error('ECONNREFUSED')) };
    expect((await refusal(world({ queue }).commands.requestBackup(operator, request))).code).toBe('queue.unavailable');
  });

  test('with the queue silent is told so after five seconds', async () => {
    const { deps } = world();
    const queue = { ...deps.queue, pendingBackup: () => new Promise<BackupJob | undefined>(() => undefined) };
    const { clock, commands } = world({ queue });
    const answer = refusal(commands.requestBackup(operator, request));
    await clock.advance(5000);
    expect((await answer).code).toBe('queue.unavailable');
  });

  test('is queued all the same when it can not be announced', async () => {
    const { commands, queue } = world({ publish: () => Promise.reject(new Error('away')) });
    expect(await commands.requestBackup(operator, request)).toMatchObject({ kind: 'queued' });
    expect(queue.jobs).toHaveLength(1);
  });

  test('again by a button is one job, however often it is clicked', async () => {
    const { commands, queue } = world();
    const retry = { ...request, retryOf: 'backup-prod-eu-20261121T0600Z' };
    const answers = await Promise.all([
      commands.requestBackup(operator, retry),
      commands.requestBackup(operator, retry),
      commands.requestBackup(person('U9', { groups: ['S0ADMINS01'] }), retry),
    ]);
    expect(answers.map((a) => a.kind).sort()).toEqual(['known', 'known', 'queued']);
    expect(queue.jobs.map((j) => j.job.id)).toEqual(['backup-prod-eu-20261121T0600Z-r1']);
    expect(await commands.requestBackup(operator, retry)).toMatchObject({ kind: 'known' });
  });
});

describe('the overview', () => {
  const takenAt = (hoursAgo: number): string => new Date(Date.parse(NOW) - hoursAgo * 3_600_000).toISOString();
  const clusters = ['fresh', 'late', 'later', 'never', 'half-used'].map((name) => spec(name));
  const snapshots = [
    stored({ cluster: 'fresh', takenAt: takenAt(1) }),
    stored({ cluster: 'half-used', takenAt: takenAt(4) }),
    stored({ cluster: 'late', takenAt: takenAt(9) }),
    stored({ cluster: 'later', takenAt: takenAt(30) }),
  ];

  test('sorts by trouble: never, late, then by how much of the RPO is used', async () => {
    const { commands } = world({ clusters, catalogue: catalogueOf(snapshots) });
    const { rows } = await commands.showClusters(onlooker);
    expect(rows.map((r) => [r.cluster, r.state])).toEqual([
      ['never', 'never'],
      ['later', 'late'],
      ['late', 'late'],
      ['half-used', 'fresh'],
      ['fresh', 'fresh'],
    ]);
    expect(rows.at(-1)).toMatchObject({ lastGood: { ageMs: 3_600_000 }, nextRunAt: '2026-11-21T12:00:00.000Z' });
  });

  test('counts only verified snapshots', async () => {
    const unverified = stored({ cluster: 'fresh', takenAt: takenAt(1), checks: ['size'] });
    const { commands } = world({ clusters: [spec('fresh')], catalogue: catalogueOf([unverified]) });
    expect((await commands.showClusters(onlooker)).rows[0]?.state).toBe('never');
  });

  test('does not call a cluster late when a store that may hold a newer snapshot is silent', async () => {
    const { commands } = world({ clusters, catalogue: catalogueOf(snapshots, ['offsite']) });
    const { rows } = await commands.showClusters(onlooker);
    const states = Object.fromEntries(rows.map((r) => [r.cluster, r.state]));
    expect(states).toEqual({
      never: 'unknown',
      late: 'unknown',
      later: 'unknown',
      fresh: 'fresh',
      'half-used': 'fresh',
    });
    expect(rows[0]?.problems).toEqual(['offsite: is away']);
  });

  test('shows what runs, and says when the queue can not tell', async () => {
    const { commands, lease } = world();
    await lease.acquire({ id: 'x', kind: 'backup', cluster: 'prod-eu', startedAt: NOW });
    const { rows, problems } = await commands.showClusters(onlooker);
    expect(rows.find((r) => r.cluster === 'prod-eu')?.running).toMatchObject({ kind: 'running', since: NOW });
    expect(problems).toEqual([]);
    const { deps } = world();
    const away = { ...deps.lease, current: () => Promise.reject(new Error('away')) };
    const blind = await world({ lease: away }).commands.showClusters(onlooker);
    expect(blind.problems).toHaveLength(1);
    expect(blind.rows).toHaveLength(2);
  });

  test('of 300 clusters with silent stores ends in bounded time', async () => {
    const many = Array.from({ length: 300 }, (_, i) => spec(`c${i}`));
    const silent = fakeCatalogue(() => new Promise<never>(() => undefined));
    const { clock, commands } = world({ clusters: many, catalogue: silent });
    const report = commands.showClusters(onlooker);
    // 20 s for those asked first, an instant for each that comes after.
    for (let step = 0; step < 250; step += 1) {
      await clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await report).rows.every((r) => r.state === 'unknown')).toBe(true);
  });

  test('is one look for people who ask at the same time', async () => {
    let looks = 0;
    const catalogue = fakeCatalogue(() => {
      looks += 1;
      return { snapshots: [], problems: [] };
    });
    const { clock, commands } = world({ clusters: [spec('a')], catalogue });
    await Promise.all([commands.showClusters(onlooker), commands.showClusters(operator)]);
    expect(looks).toBe(1);
    await clock.advance(5001);
    await commands.showClusters(onlooker);
    expect(looks).toBe(2);
  });

  test('is not for guests', async () => {
    expect((await refusal(world().commands.showClusters(guest))).code).toBe('permission.denied');
  });
});

describe('the live look', () => {
  test('tells members, leader, lag, alarms, last backups and what runs', async () => {
    const members = [
      member({ id: 1n, name: 'cp1', isLeader: true }),
      member({ id: 2n, name: 'cp2', raftAppliedIndex: 110_000n }),
      member({ id: 3n, name: 'cp3', alarms: ['NOSPACE'] }),
    ];
    const { commands } = world({ etcd: fakeEtcd({ members }) });
    const report = await commands.showStatus(onlooker, 'prod-eu');
    expect(report).toMatchObject({ state: 'fresh', live: { kind: 'live', hasLeader: true } });
    if (report.live.kind !== 'live') throw new Error('not live');
    expect(report.live.members.map((m) => m.lag)).toEqual([0n, 10_000n, 0n]);
    expect(report.last).toHaveLength(1);
  });

  test('names every node that can not be reached, and still shows the rest', async () => {
    const missing = [{ node: 'cp3', message: 'No route to cp3.', hint: 'Check it.' }];
    const { commands } = world({ etcd: fakeEtcd({ missing }) });
    expect(await commands.showStatus(onlooker, 'prod-eu')).toMatchObject({ live: { kind: 'live', missing } });
  });

  test('with no node reachable is an answer with the reason and the backups', async () => {
    const openError = new KeyturnError('ssh.unreachable', 'cp1 is away.', { hint: 'Look after cp1.' });
    const { commands } = world({ etcd: fakeEtcd({ openError }) });
    const report = await commands.showStatus(onlooker, 'prod-eu');
    expect(report.live).toEqual({
      kind: 'blind',
      problem: { code: 'ssh.unreachable', message: 'cp1 is away.', hint: 'Look after cp1.' },
    });
    expect(report.last).toHaveLength(1);
  });

  test('with nodes that never answer ends after 25 s', async () => {
    const { clock, commands } = world({ etcd: { open: () => new Promise<never>(() => undefined) } });
    const report = commands.showStatus(onlooker, 'prod-eu');
    await clock.advance(25_000);
    expect(await report).toMatchObject({ live: { kind: 'blind', problem: { code: 'etcd.unreachable' } } });
  });

  test('closes its connections also when the look fails', async () => {
    const etcd = fakeEtcd({ statusError: new KeyturnError('etcd.tls', 'expired', { hint: 'Renew it.' }) });
    await world({ etcd }).commands.showStatus(onlooker, 'prod-eu');
    expect(etcd.openSessions).toBe(0);
  });

  test('an unknown error keeps its text for the log', async () => {
    const { commands } = world({ etcd: { open: () => Promise.reject(new Error('secret detail')) } });
    const report = await commands.showStatus(onlooker, 'prod-eu');
    expect(JSON.stringify(report.live)).not.toContain('secret detail');
    expect(report.live).toMatchObject({ kind: 'blind', problem: { code: 'internal' } });
  });
});

describe('snapshots and help', () => {
  test('the list names the stores that could not be asked', async () => {
    const { commands } = world({ catalogue: catalogueOf([stored()], ['offsite']) });
    expect(await commands.listSnapshots(onlooker, { cluster: 'prod-eu', filters: [], page: 0 })).toMatchObject({
      stores: ['ceph', 'offsite'],
      lines: [{ entry: { copies: [{ store: 'ceph' }, { store: 'offsite' }] } }],
      problems: [{ store: 'offsite' }],
    });
  });

  test('help says what a person may do, and guests that they may do nothing else', () => {
    const allowed = (who: typeof operator): string[] =>
      world()
        .commands.showHelp(who)
        .entries.filter((e) => e.allowed)
        .map((e) => e.action);
    const reading = ['approvals', 'runbook', 'audit'];
    expect(allowed(operator)).toEqual([
      ...['clusters', 'status', 'backup', 'snapshots', 'verify', 'retention', 'hold', 'release'],
      ...reading,
      ...['cleanup', 'help'],
    ]);
    expect(allowed(onlooker)).toEqual(['clusters', 'status', 'snapshots', 'retention', ...reading, 'help']);
    expect(allowed(guest)).toEqual(['help']);
  });
});

describe('patience', () => {
  test('a late answer is the error of the one who waited', async () => {
    const clock = fakeClock();
    const answer = within(clock, 100, new Promise(() => undefined), () => new Error('late'));
    const outcome = expect(answer).rejects.toThrow('late');
    await clock.advance(100);
    await outcome;
  });

  test('failures are not shared with those who ask later', async () => {
    let calls = 0;
    const look = shared(
      fakeClock(),
      1000,
      (key: string) => key,
      () => {
        calls += 1;
        return calls === 1 ? Promise.reject(new Error('away')) : Promise.resolve(calls);
      },
    );
    await expect(look('a')).rejects.toThrow('away');
    expect(await look('a')).toBe(2);
    expect(await look('a')).toBe(2);
    expect(await look('b')).toBe(3);
  });

  test('no more run side by side than allowed, and the order is kept', async () => {
    let running = 0;
    let most = 0;
    const results = await inParallel([5, 4, 3, 2, 1], 2, async (n) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, n));
      running -= 1;
      return n * 10;
    });
    expect(results).toEqual([50, 40, 30, 20, 10]);
    expect(most).toBe(2);
  });
});
