/** The snapshot on its way to the nodes, and what is proven at the end. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { LOST } from './restore-meddling.ts';
import { restoreWorld, type RestoreWorld } from './restore-world.ts';

describe('a snapshot on its way to the nodes', () => {
  test('is read once for all of them', async () => {
    const world = await restoreWorld();
    await world.work();
    expect(world.stores.flatMap(({ calls }) => calls.filter((call) => call.startsWith('read '))).length).toBe(1);
    expect(world.runner.files.size).toBe(3);
  });

  test('comes from another store when the first can not give it', async () => {
    const world = await restoreWorld();
    const away = new KeyturnError('store.unreachable', 'ceph is away.', { hint: 'Look at it.' });
    world.stores[0].fail('read', away);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });

  test('that is not what its manifest says is tried from the other store, and fails the restore when both are wrong', async () => {
    const world = await restoreWorld();
    const { key, size } = world.plan.snapshot.object;
    await world.stores[0].put(key, Buffer.alloc(size));
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });

    const spoilt = await restoreWorld();
    for (const store of spoilt.stores) await store.put(key, Buffer.alloc(size));
    await spoilt.work();
    expect(spoilt.report()).toMatchObject({ outcome: 'undone', downtimeMs: undefined });
  });

  test('that is damaged in every store is read from each of them once, and then people are told', async () => {
    const world = await restoreWorld();
    const { key, size } = world.plan.snapshot.object;
    for (const store of world.stores) await store.put(key, Buffer.alloc(size));
    await world.work();
    const reads = world.stores.map(({ calls }) => calls.filter((call) => call === `read ${key}`).length);
    expect(reads).toEqual([1, 1]);
    expect(world.report().outcome).toBe('undone');
    expect(world.report().reason).toMatch(/store ceph is damaged. Its sha256 is another one.*store nas is damaged/);
  });

  test('is read again for a node alone whose connection was lost, and the others have it already', async () => {
    const world = await restoreWorld();
    let fetches = 0;
    const steps: RestoreWorld['deps']['steps'] = {
      on: (connection, restore) => {
        const real = world.runner.on(connection, restore);
        return {
          ...real,
          async fetch(file, bytes, options) {
            if (connection.node.name !== 'cp2' || ++fetches > 1) return real.fetch(file, bytes, options);
            await (await bytes())[Symbol.asyncIterator]().next();
            throw LOST;
          },
        };
      },
    };
    await world.work({ steps });
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(world.stores.flatMap(({ calls }) => calls.filter((call) => call.startsWith('read ')))).toHaveLength(2);
    const ended = world
      .restoreEvents()
      .flatMap((event) => (event.type === 'restore.step-ended' && event.phase === 'fetch' ? [event.node] : []));
    expect(ended.at(-1)).toBe('cp2');
    expect([...world.runner.files.keys()].sort()).toEqual(
      ['cp1', 'cp2', 'cp3'].map((node) => `${node}:/var/lib/etcd.keyturn-r1.db`),
    );
  });
});

describe('the proof of health', () => {
  test.each([
    ['a member has another id than predicted', (world: RestoreWorld) => spoil(world, { id: 99n })],
    ['a member is a learner still', (world: RestoreWorld) => spoil(world, { isLearner: true })],
    ['a member lags behind', (world: RestoreWorld) => spoil(world, { revision: 7n })],
    ['a member has other data', differing],
  ])('does not hold when %s, and the restore is rolled back', async (_what, change) => {
    const world = await restoreWorld();
    await world.work(change(world));
    expect(world.report()).toMatchObject({ outcome: 'rolled-back' });
    expect(world.report().reason).toMatch(/Prove that etcd is healthy.*cp2/);
  });

  test('names alarms as warnings', async () => {
    const world = await restoreWorld();
    await world.work(spoil(world, { alarms: ['NOSPACE'] }));
    expect(world.report()).toMatchObject({ outcome: 'restored', warnings: ['etcd on cp2 reports: NOSPACE.'] });
  });

  function differing(world: RestoreWorld): Partial<RestoreWorld['deps']> {
    world.etcd.set({ hashOf: ({ name }) => (name === 'cp2' ? 1 : 2) });
    return { etcd: world.deps.etcd };
  }

  /** Restored, cp2 says this of itself. */
  function spoil(world: RestoreWorld, change: object): Partial<RestoreWorld['deps']> {
    const { etcd } = world.deps;
    return {
      etcd: {
        async open(...args) {
          const session = await etcd.open(...args);
          const status: typeof session.status = async () => {
            const seen = await session.status();
            const isNew = world.machines.get('cp2')?.data === 'new';
            const members = seen.members.map((member) =>
              isNew && member.node === 'cp2' ? { ...member, ...change } : member,
            );
            return { ...seen, members };
          };
          return { ...session, status };
        },
      },
    };
  }
});

describe('the proof that the API serves', () => {
  test('takes pods that do not become ready for a warning', async () => {
    const world = await restoreWorld();
    world.look((node) => ({
      ready: world.machines.get(node)?.api === true,
      detail: 'ok',
      nodes: { ready: 3, total: 3 },
      systemPods: { ready: 10, total: 11 },
    }));
    await world.work();
    expect(world.report()).toMatchObject({
      outcome: 'restored',
      warnings: ['10 of 11 pods of kube-system are ready.'],
    });
    expect(world.report().downtimeMs).toBeLessThan(10_000);
  });

  test('does not count none as all: an API that knows of no nodes is a warning', async () => {
    const world = await restoreWorld();
    world.look((node) => ({
      ready: world.machines.get(node)?.api === true,
      detail: 'ok',
      nodes: { ready: 0, total: 0 },
      systemPods: { ready: 2, total: 2 },
    }));
    await world.work();
    const { verified, warnings } = world.report();
    expect(warnings).toEqual(['The API knows of no nodes.']);
    expect(verified).toContain('All 2 pods of kube-system are ready.');
    expect(verified).not.toContain('All 0 nodes are ready.');
  });

  test('does not hold when a kube-apiserver is not ready, and the restore is rolled back', async () => {
    const world = await restoreWorld();
    world.look((node) =>
      node === 'cp2' && world.machines.get(node)?.data === 'new'
        ? { ready: false, detail: 'etcd failed', nodes: undefined, systemPods: undefined }
        : undefined,
    );
    await world.work();
    expect(world.report()).toMatchObject({ outcome: 'rolled-back' });
    expect(world.report().reason).toMatch(/kube-apiserver on cp2 is not ready: etcd failed/);
  });
});
