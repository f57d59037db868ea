/** The dry run and a person's word: who may, what they see, and that nothing is removed that they did not see. */
import { describe, expect, test } from 'vitest';
import { confirmRetention, declineRetention } from '../../src/commands/confirm-retention.ts';
import { buildCommands } from '../../src/commands/index.ts';
import { showRetention } from '../../src/commands/show-retention.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { person } from '../chat/samples.ts';
import type { FakeClock } from '../fakes/clock.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { CLUSTER, hold, idOf, put, retentionWorld } from '../jobs/retention-world.ts';
import { refusalOf, restoreWorld } from '../support/restore-world.ts';
import { somebody } from '../support/requests.ts';

const OPERATOR = 'U0OPS';
const AWAY = new KeyturnError('store.unreachable', 'Away.', { hint: 'Wait.' });

async function world({ count = 20 } = {}) {
  const stored = await retentionWorld({ count });
  const published: KeyturnEvent[] = [];
  const queue = fakeJobQueue(stored.clock);
  const people = { request: [], approve: [], operate: [OPERATOR] };
  const directory = { person: async (user: string) => somebody(user) };
  const deps = {
    ...restoreWorld().deps,
    ...stored.deps,
    clusters: [stored.spec],
    people,
    directory,
    requests: { ...restoreWorld().deps.requests, open: stored.deps.requests.open },
    queue,
    catalogue: { ...restoreWorld().deps.catalogue, ...stored.deps.catalogue },
    publish: async (event: KeyturnEvent) => void published.push(event),
  };
  const show = (user = OPERATOR) => showRetention(deps, person(user), CLUSTER);
  const digest = async (): Promise<string> => (await show()).stores[0]?.digest ?? '';
  const click = (given: string, user = OPERATOR) => ({
    cluster: CLUSTER,
    store: 'ceph',
    digest: given,
    user,
    channel: 'C1',
  });
  return { ...stored, deps, people, published, queue, show, digest, click };
}

describe('the dry run', () => {
  test('says for each store and each snapshot what stays, what goes next, and why', async () => {
    const w = await world({ count: 8 });
    await hold(w.nas, idOf(7));
    const report = await w.show();
    expect(report).toMatchObject({
      cluster: CLUSTER,
      mayConfirm: true,
      strays: 0,
      stores: [
        { store: 'ceph', keeps: 6, goes: { count: 2, bytes: 200 }, goesNext: { count: 3 }, asks: false },
        { store: 'nas' },
      ],
    });
    expect(report.snapshots).toHaveLength(8);
    expect(report.snapshots[4]).toMatchObject({
      id: idOf(4),
      stores: [{ store: 'ceph', keeps: ['among the last 5'], goesNext: true, goes: 'goes after the next backup' }, {}],
    });
    expect(report.snapshots[7]).toMatchObject({ isHeld: true, stores: [{ keeps: ['held: audit'] }, {}] });
    expect(w.ceph.calls.filter((call) => /^(remove|abortUpload)/.test(call))).toEqual([]);
  });

  test('is for anyone in the workspace; only who may confirm is told so', async () => {
    const w = await world();
    expect(await w.show('U0LOOKS')).toMatchObject({ mayConfirm: false, stores: [{ asks: true }, { asks: true }] });
    const refusal = await refusalOf(showRetention(w.deps, person('U0GUEST', { isGuest: true }), CLUSTER));
    expect(refusal.code).toBe('permission.denied');
    expect((await refusalOf(showRetention(w.deps, person('U1'), 'nowhere'))).code).toBe('cluster.unknown');
  });

  test('names a store that could not be listed, and says that nothing goes meanwhile', async () => {
    const w = await world();
    w.nas.fail('list', AWAY);
    const report = await w.show();
    expect(report.problems).toMatchObject([{ store: 'nas' }]);
    expect(report.stores).toMatchObject([{ asks: false, blocked: { code: 'store.unreachable' } }, { asks: false }]);
  });

  test('is looked up once for all pages that somebody turns', async () => {
    const w = await world();
    const commands = buildCommands(w.deps);
    await Promise.all([0, 1, 2].map(() => commands.showRetention(person('U1'), CLUSTER)));
    expect(w.ceph.calls.filter((call) => call.startsWith('list'))).toHaveLength(1);
  });
});

describe('a person’s word', () => {
  test('queues one job for exactly what was seen, whoever clicks how often', async () => {
    const w = await world();
    const digest = await w.digest();
    w.people.operate.push('U0TWO');
    const answers = await Promise.all([
      confirmRetention(w.deps, w.click(digest)),
      confirmRetention(w.deps, w.click(digest)),
      confirmRetention(w.deps, w.click(digest, 'U0TWO')),
    ]);
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['known', 'known', 'queued']);
    expect(answers[0]).toMatchObject({ store: 'ceph', count: 15, bytes: 1500 });
    expect(w.queue.jobs.map(({ job }) => job)).toMatchObject([
      { kind: 'retention', cluster: CLUSTER, confirmed: { store: 'ceph', digest } },
    ]);
    expect(w.published).toMatchObject([{ type: 'retention.confirmed', store: 'ceph', digest }]);
  });

  test('is refused when something else would go now', async () => {
    const w = await world();
    const digest = await w.digest();
    await put(w.ceph, idOf(-1));
    const refusal = await refusalOf(confirmRetention(w.deps, w.click(digest)));
    expect(refusal).toMatchObject({ code: 'retention.not-now', hint: `Look again: /etcd retention ${CLUSTER}` });
    expect((await refusalOf(confirmRetention(w.deps, { ...w.click(digest), store: 'gone' }))).code).toBe(
      'retention.not-now',
    );
    expect(w.queue.jobs).toEqual([]);
  });

  test('is refused while nothing can be removed there', async () => {
    const w = await world();
    const digest = await w.digest();
    w.nas.fail('list', AWAY);
    expect(await refusalOf(confirmRetention(w.deps, w.click(digest)))).toMatchObject({ code: 'retention.not-now' });
    expect(w.queue.jobs).toEqual([]);
  });

  test('counts only of who has the right this very moment', async () => {
    const w = await world();
    const digest = await w.digest();
    w.people.operate.pop();
    for (const work of [confirmRetention(w.deps, w.click(digest)), declineRetention(w.deps, w.click(digest))])
      expect((await refusalOf(work)).code).toBe('permission.denied');
    expect([w.queue.jobs, w.published]).toEqual([[], []]);
  });

  test('of “not now” is told, and queues nothing', async () => {
    const w = await world();
    const digest = await w.digest();
    await declineRetention(w.deps, w.click(digest));
    expect(w.published).toMatchObject([{ type: 'retention.declined', by: OPERATOR, digest }]);
    expect(w.queue.jobs).toEqual([]);
  });

  test('can be given again later, when the first time came to nothing', async () => {
    const w = await world();
    const digest = await w.digest();
    await confirmRetention(w.deps, w.click(digest));
    await (w.clock as FakeClock).advance(600_000);
    expect((await confirmRetention(w.deps, w.click(digest))).kind).toBe('queued');
  });
});

test('a backup that is asked for while retention runs is queued, and waits for it', async () => {
  const w = await world();
  const commands = buildCommands(w.deps);
  await w.lease.acquire({
    id: 'retention-1',
    kind: 'retention',
    cluster: CLUSTER,
    startedAt: '2026-11-21T06:00:00.000Z',
  });
  const request = { cluster: CLUSTER, channel: 'C1' };
  expect(await commands.requestBackup(person(OPERATOR), request)).toMatchObject({ kind: 'queued' });
  expect(await commands.requestBackup(person(OPERATOR), request)).toMatchObject({
    kind: 'busy',
    running: { what: 'backup', kind: 'queued' },
  });
});
