/** Asking for a restore: who may, of which snapshot, what is kept before anybody is told, and what is refused. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { planDigest } from '../../src/domain/plan.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { catalogueOf, record, stored } from '../chat/samples.ts';
import { alice, outsider, requester } from '../support/requests.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeCatalogue } from '../fakes/catalogue.ts';
import { refusalOf, restoreWorld, wish } from '../support/restore-world.ts';

const other = stored({ cluster: 'staging', id: '20261120T000000Z-4', takenAt: '2026-11-20T00:00:00.000Z' });

async function asked(world = restoreWorld(), change = {}) {
  const answer = await world.commands.requestRestore(requester, wish(change));
  if (answer.kind !== 'asked') throw new Error(`not asked: ${answer.kind}`);
  return answer.request;
}

test('a restore of a snapshot that nothing here can decrypt is refused when it is asked for', async () => {
  const encoding = { compression: 'none', encryption: 'age', recipients: ['age1somebodyelse'] } as const;
  const world = restoreWorld({ catalogue: catalogueOf([stored({ encoding })]) });
  const error = await refusalOf(world.commands.requestRestore(requester, wish()));
  expect(error.code).toBe('encryption.no-identity');
  expect(error.message).toMatch(/^Snapshot 20261121T060000Z-17 can't be read here\. .*age1somebodyelse/);
  expect(error.hint).toMatch(/encryption\.identityFiles/);
  expect(await world.requests.open()).toEqual([]);
  expect(world.facts).toEqual([]);
});

describe('a restore that is asked for', () => {
  test('becomes a request with the plan of the live cluster, and is told once', async () => {
    const world = restoreWorld();
    const request = await asked(world);
    expect(request).toMatchObject({
      id: 'r20261121-063000-3fa9c1',
      state: 'pending',
      cluster: 'prod-eu',
      threshold: 2,
      breakGlass: false,
      requester: { id: requester.id },
      dataLoss: { snapshotTakenAt: '2026-11-21T06:00:00.000Z', ms: 1_800_000, liveRevision: '88300' },
      origin: { channel: 'C1', user: requester.id },
    });
    expect(request.plan).toMatchObject({
      request: request.id,
      token: `keyturn-${request.id}`,
      snapshot: { id: '20261121T060000Z-17' },
    });
    expect(request.plan.members.map(({ node }) => node)).toEqual(['cp1', 'cp2', 'cp3']);
    expect(await world.commands.readRequest(request.id)).toEqual(JSON.parse(JSON.stringify(request)));
    expect(world.announced).toEqual(['1 open pending']);
    expect(await world.requests.untold()).toEqual([]);
    expect(world.etcd.openSessions).toBe(0);
  });

  test('has its whole plan in the audit before it is a request', async () => {
    const order: string[] = [];
    const { requests } = restoreWorld();
    const watched = restoreWorld({
      audit: { record: async (fact) => void order.push(fact.type) },
      requests: {
        ...requests,
        create: (request) => {
          order.push('create');
          return requests.create(request);
        },
      },
    });
    await asked(watched);
    expect(order).toEqual(['restore.plan', 'create']);

    const world = restoreWorld();
    const request = await asked(world);
    expect(world.facts).toHaveLength(1);
    expect(world.facts[0]).toMatchObject({ operation: request.id, by: requester.id, digest: request.digest });
    expect(planDigest(world.facts[0]?.['plan'] as Plan)).toBe(request.digest);
  });

  test('is no request when the audit can not be written', async () => {
    const failed = new KeyturnError('audit.failed', 'The disk is full.', { hint: 'Make room.' });
    const world = restoreWorld({ audit: { record: () => Promise.reject(failed) } });
    expect((await refusalOf(world.commands.requestRestore(requester, wish()))).code).toBe('audit.failed');
    expect(await world.requests.open()).toEqual([]);
    expect(world.announced).toEqual([]);
  });

  test('is kept though it could not be told; it stays untold', async () => {
    const world = restoreWorld({ announce: () => Promise.reject(new Error('no outbox')) });
    const { id } = await asked(world);
    expect((await world.requests.untold()).map((request) => request.id)).toEqual([id]);
  });

  test('while a backup runs is accepted: it waits for it once it is approved', async () => {
    const world = restoreWorld();
    await world.lease.acquire({ id: 'b1', kind: 'backup', cluster: 'prod-eu', startedAt: '2026-11-21T06:29:00.000Z' });
    expect((await asked(world)).state).toBe('pending');
  });

  test('of a cluster in which no member answers is planned all the same; what is lost is not known', async () => {
    const world = restoreWorld();
    const away = new KeyturnError('etcd.no-leader', 'No member answers.', { hint: 'Look at its logs.' });
    world.etcd.set({ statusError: away });
    const request = await asked(world);
    expect(request.dataLoss.liveRevision).toBeUndefined();
    expect(request.plan.clusterId).toBeUndefined();
  });

  test('on behalf of oneself is on behalf of nobody', async () => {
    expect((await asked(restoreWorld(), { onBehalfOf: requester.id })).onBehalfOf).toBeUndefined();
    expect((await asked(restoreWorld(), { onBehalfOf: alice.id })).onBehalfOf).toBe(alice.id);
  });

  test('by somebody without the right is refused before any node is looked at', async () => {
    const world = restoreWorld();
    const error = await refusalOf(world.commands.requestRestore(outsider, wish()));
    expect(error).toMatchObject({ code: 'permission.denied', role: 'request' });
    expect(world.facts).toEqual([]);
  });

  test('by somebody who lost the right a moment ago is refused: the directory is asked again, not a cache', async () => {
    const world = restoreWorld();
    world.becomes(requester, { isDeactivated: true });
    expect((await refusalOf(world.commands.requestRestore(requester, wish()))).code).toBe('permission.denied');
    expect(world.looks).toEqual([{ user: requester.id, fresh: true }]);
    expect(await world.requests.open()).toEqual([]);
  });

  test.each([
    ['without a reason', { reason: '  ' }, 'request.invalid', /needs a reason/],
    ['with break-glass where there is none', { breakGlass: true }, 'request.invalid', /no break-glass/],
    ['of an unknown cluster', { cluster: 'nowhere' }, 'cluster.unknown', /nowhere/],
  ])('%s is refused before any node is looked at', async (_, change, code, message) => {
    const world = restoreWorld();
    world.etcd.set({ openError: new KeyturnError('ssh.auth', 'was looked at', { hint: 'x' }) });
    const error = await refusalOf(world.commands.requestRestore(requester, wish(change)));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test('with break-glass where it is configured wants as many approvals as that says', async () => {
    const { deps } = restoreWorld();
    const [first] = deps.clusters;
    if (first === undefined) throw new Error('no cluster');
    const restore = { ...first.restore, approvals: { ...first.restore.approvals, breakGlass: { threshold: 1 } } };
    const world = restoreWorld({ clusters: [{ ...first, restore }] });
    expect(await asked(world, { breakGlass: true })).toMatchObject({ threshold: 1, breakGlass: true });
  });

  test('when the nodes can not be reached is refused with what to do, and nothing is kept', async () => {
    const world = restoreWorld();
    world.etcd.set({ openError: new KeyturnError('ssh.unreachable', 'cp1 is away.', { hint: 'Look.' }) });
    expect((await refusalOf(world.commands.requestRestore(requester, wish()))).code).toBe('ssh.unreachable');
    expect(world.facts).toEqual([]);
    expect(await world.requests.open()).toEqual([]);
  });

  test('whose nodes never answer ends in time', async () => {
    const world = restoreWorld({ etcd: { open: () => new Promise(() => undefined) } });
    const refused = refusalOf(world.commands.requestRestore(requester, wish()));
    await new Promise(setImmediate);
    await world.clock.advance(120_000);
    expect((await refused).code).toBe('job.timeout');
  });
});

describe('the snapshot', () => {
  test('without a manifest that can be read is none', async () => {
    const world = restoreWorld({ catalogue: catalogueOf([]) });
    const error = await refusalOf(world.commands.requestRestore(requester, wish()));
    expect(error).toMatchObject({ code: 'store.not-found', hint: 'Choose another one.' });
    expect(world.facts).toEqual([]);
  });

  test('that is not found while a store is away is told so', async () => {
    const world = restoreWorld({ catalogue: catalogueOf([], ['ceph']) });
    const error = await refusalOf(world.commands.requestRestore(requester, wish()));
    expect(error.code).toBe('store.not-found');
    expect(error.hint).toContain('store can be reached');
  });

  const foreign = { snapshot: { cluster: 'staging', id: other.record.id } };

  test.each([undefined, 'prod-eu', 'Staging'])(
    'of another cluster needs that name typed once more: %j is not enough',
    async (confirmedSnapshotOf) => {
      const world = restoreWorld({ catalogue: catalogueOf([stored(), other]) });
      const error = await refusalOf(
        world.commands.requestRestore(requester, wish({ ...foreign, confirmedSnapshotOf })),
      );
      expect(error.code).toBe('request.invalid');
      expect(error.hint).toContain('typing the name staging');
      expect(await world.requests.open()).toEqual([]);
    },
  );

  test('of another cluster is taken when its name was typed once more, and the plan says so', async () => {
    const world = restoreWorld({ catalogue: catalogueOf([stored(), other]) });
    const request = await asked(world, { ...foreign, confirmedSnapshotOf: 'staging' });
    expect(request.plan.snapshot.cluster).toBe('staging');
    expect(request.plan.warnings.join(' ')).toContain('staging');
  });
});

describe('a second request for a cluster', () => {
  test('is answered with the open one, and no node is looked at', async () => {
    const world = restoreWorld();
    const { id } = await asked(world);
    world.etcd.set({ openError: new KeyturnError('ssh.auth', 'was looked at', { hint: 'x' }) });
    expect(await world.commands.requestRestore(requester, wish())).toMatchObject({
      kind: 'open-already',
      request: { id },
    });
    expect(world.announced).toHaveLength(1);
  });

  test('at the same moment: one is kept, the other is answered with it', async () => {
    const world = restoreWorld();
    const answers = await Promise.all([1, 2].map(() => world.commands.requestRestore(requester, wish())));
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['asked', 'open-already']);
    expect(new Set(answers.map(({ request }) => request?.id)).size).toBe(1);
    expect(await world.requests.open()).toHaveLength(1);
  });

  test('is taken when the time of the first is up, though nobody has written that down yet', async () => {
    const world = restoreWorld();
    const first = await asked(world);
    await world.clock.advance(1_800_000);
    const second = await asked(world);
    expect(second.id).not.toBe(first.id);
    expect((await world.requests.read(first.id))?.state).toBe('expired');
    expect(world.announced).toEqual(['1 open pending', '2 expire expired', '1 open pending']);
  });

  test('of another cluster is taken', async () => {
    const world = restoreWorld({ catalogue: catalogueOf([stored(), other]) });
    await asked(world);
    expect((await world.requests.open()).map(({ cluster }) => cluster)).toEqual(['prod-eu']);
    expect(await world.commands.restoreForm(requester, 'staging')).toMatchObject({ open: undefined });
  });
});

describe('the form', () => {
  test('shows what is configured, the newest snapshot and what can not be read', async () => {
    const many = Array.from({ length: 130 }, (_, i) => stored({ id: `20261121T060000Z-${500 - i}` }));
    const world = restoreWorld({ catalogue: catalogueOf(many, ['ceph']) });
    const form = await world.commands.restoreForm(requester, 'prod-eu');
    expect(form).toMatchObject({
      cluster: 'prod-eu',
      mode: 'all-members',
      approvals: { threshold: 2 },
      open: undefined,
    });
    expect(form.newest?.id).toBe('20261121T060000Z-500');
    expect(form.problems).toMatchObject([{ code: 'store.unreachable', message: 'ceph: is away' }]);
  });

  test('shows the open request that has to end first', async () => {
    const world = restoreWorld();
    const { id } = await asked(world);
    expect((await world.commands.restoreForm(requester, 'prod-eu')).open?.id).toBe(id);
  });

  test('is for requesters only', async () => {
    expect((await refusalOf(restoreWorld().commands.restoreForm(outsider, 'prod-eu'))).code).toBe('permission.denied');
  });
});

describe('the search for a snapshot', () => {
  const found = async (query: string, cluster = 'prod-eu') => {
    const world = restoreWorld({ catalogue: catalogueOf([other, stored()]) });
    return (await world.commands.findSnapshots(requester, cluster, query)).map(({ id }) => id);
  };

  test('shows those of the cluster in question first', async () => {
    expect(await found('')).toEqual([record().id, other.record.id]);
    expect(await found('', 'staging')).toEqual([other.record.id, record().id]);
  });

  test.each([
    ['a part of the id', 'Z-17', [record().id]],
    ['the cluster, in any case', 'STAGING', [other.record.id]],
    ['the time as people write it', '2026-11-20 00:00', [other.record.id]],
    ['several words, all of which count', 'prod 06:00', [record().id]],
    ['nothing that there is', 'xyzzy', []],
  ])('goes by %s', async (_, query, ids) => {
    expect(await found(query)).toEqual(ids);
  });

  test('asks the stores once for all the letters of a word', async () => {
    let looks = 0;
    const counted = fakeCatalogue((cluster) => {
      looks += 1;
      return { snapshots: cluster === 'prod-eu' ? [stored()] : [], problems: [] };
    });
    const world = restoreWorld({ catalogue: counted });
    for (const query of ['2', '20', '202']) await world.commands.findSnapshots(requester, 'prod-eu', query);
    expect(looks).toBe(2);
  });

  test('offers what was listed in time; what comes later is there for the next letter', async () => {
    const clock = fakeClock('2026-11-21T06:30:00.000Z');
    const slow = fakeCatalogue(async (cluster) => {
      if (cluster === 'prod-eu') return { snapshots: [stored()], problems: [] };
      await clock.sleep(4_000);
      return { snapshots: [other], problems: [] };
    });
    const { commands } = restoreWorld({ catalogue: slow, clock });
    const ids = async () => (await commands.findSnapshots(requester, 'prod-eu', '')).map(({ id }) => id);
    const first = ids();
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1_400);
    expect(await first).toEqual([record().id]);
    await clock.advance(2_600);
    expect(await ids()).toEqual([record().id, other.record.id]);
  });

  test('is for requesters only', async () => {
    const { commands } = restoreWorld();
    expect((await refusalOf(commands.findSnapshots(outsider, 'prod-eu', ''))).code).toBe('permission.denied');
  });
});
