/** A restore as it is begun, carried out, gone on with and ended. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { PhaseName } from '../../src/domain/plan.ts';
import type { ApiServerLook } from '../../src/ports.ts';
import { data, LOST, turns, when } from './restore-meddling.ts';
import { restoreWorld, type RestoreWorld } from './restore-world.ts';

const SILENT: ApiServerLook = { ready: false, detail: '', nodes: undefined, systemPods: undefined };

describe('a restore that goes well', () => {
  test('ends as succeeded, with every node on the restored data and the old ones aside', async () => {
    const world = await restoreWorld();
    expect(await world.work()).toEqual({ kind: 'done' });
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(data(world)).toEqual(['new', 'new', 'new']);
    expect(world.report()).toMatchObject({ outcome: 'restored', reason: undefined, warnings: [] });
    expect(world.report().oldData).toEqual(
      ['cp1', 'cp2', 'cp3'].map((node) => ({ node, paths: ['/var/lib/etcd.keyturn-r1'] })),
    );
  });

  test('begins no phase before the one before it is done on every node', async () => {
    const world = await restoreWorld();
    await world.work();
    const told = world.restoreEvents().flatMap((event) => {
      return event.type === 'restore.step-begun' || event.type === 'restore.step-ended' ? [event.phase] : [];
    });
    expect([...new Set(told)]).toEqual(world.plan.phases.map(({ name }) => name));
    // Nothing of a phase comes after anything of a later one.
    const order = world.plan.phases.map(({ name }) => name);
    expect(told.map((phase) => order.indexOf(phase))).toEqual(
      told.map((phase) => order.indexOf(phase)).sort((a, b) => a - b),
    );
  });

  test('ends the downtime with the proof, when no API was seen before', async () => {
    const world = await restoreWorld();
    const proves = () =>
      world.restoreEvents().some((event) => event.type === 'restore.step-begun' && event.phase === 'prove-serving');
    world.look(() => (proves() ? undefined : { ...SILENT, detail: 'not yet' }));
    await world.work();
    const { downtimeMs, phases } = world.report();
    const [stop, serving] = ['stop-apiservers', 'prove-serving'].map((wanted) =>
      phases.find(({ name }) => name === wanted),
    );
    expect(downtimeMs).toBe(Date.parse(serving?.endedAt ?? '') - Date.parse(stop?.startedAt ?? ''));
  });

  test('stops the leader when every follower has stopped', async () => {
    const world = await restoreWorld();
    await world.work();
    const told = world.restoreEvents().flatMap((event) => {
      const isStop = 'phase' in event && event.phase === 'stop-etcd';
      return isStop ? [`${event.type.slice('restore.step-'.length)} ${event.node}`] : [];
    });
    expect(told.slice(0, 4).sort()).toEqual(['begun cp2', 'begun cp3', 'ended cp2', 'ended cp3']);
    expect(told.slice(4)).toEqual(['begun cp1', 'ended cp1']);
  });

  test('tells each script before it runs, and what it printed after', async () => {
    const world = await restoreWorld();
    world.meddle((node, verb) => (node === 'cp1' && verb === 'check do' ? { output: 'x'.repeat(300_000) } : undefined));
    await world.work();
    const begun = world
      .restoreEvents()
      .find((event) => event.type === 'restore.step-begun' && event.step === 'check.cp1');
    expect(begun).toMatchObject({
      run: 'check.cp1',
      doing: 'do',
      script: world.plan.phases[0]?.steps[0]?.action['script' as never],
    });
    const ended = world
      .restoreEvents()
      .find((event) => event.type === 'restore.step-ended' && event.step === 'check.cp1');
    expect(ended).toMatchObject({ outcome: 'done', code: 0 });
    expect(ended?.type === 'restore.step-ended' ? ended.output.length : 0).toBe(256 * 1024);
  });

  test('measures the downtime from the first stop until an API is seen to serve, which is before all is proven', async () => {
    const world = await restoreWorld();
    await world.work();
    const { downtimeMs, recoveryMs, verified, phases } = world.report();
    const stopped = phases.find(({ name }) => name === 'stop-apiservers');
    const begin = (wanted: PhaseName): number =>
      Date.parse(phases.find(({ name }) => name === wanted)?.startedAt ?? '') - Date.parse(stopped?.startedAt ?? '');
    expect(downtimeMs).toBeGreaterThan(begin('start-apiservers'));
    expect(downtimeMs).toBeLessThanOrEqual(begin('prove-serving'));
    expect(recoveryMs).toBeGreaterThan(downtimeMs ?? Infinity);
    expect(verified.join('\n')).toMatch(
      /All 3 members started, with the predicted id: cp1 [0-9a-f]+.*\n.*one cluster id.*\nAll have revision 1200 and the same hash deadbeef/,
    );
    expect(verified).toContain('kube-apiserver on cp2 is ready (ok).');
    expect(verified).toContain('All 3 nodes are ready.');
  });

  test('of a single member without an API is down until etcd is healthy', async () => {
    const world = await restoreWorld({ nodes: ['cp1'], withApi: false });
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(world.report().downtimeMs).toBeGreaterThan(0);
    expect(world.report().phases.map(({ name }) => name)).not.toContain('stop-apiservers');
  });

  test('does not do again what is done already', async () => {
    const world = await restoreWorld();
    const machine = world.machines.get('cp2');
    if (machine !== undefined) machine.api = false;
    await world.work();
    expect(world.restoreEvents()).toContainEqual(
      expect.objectContaining({ type: 'restore.step-ended', step: 'stop-apiservers.cp2', outcome: 'was-done' }),
    );
    expect(world.runner.begun).not.toContain('cp2 r1/stop-apiservers.cp2');
  });
});

describe('a restore that can not begin yet', () => {
  test('says once that the cluster is busy, and begins when it is not', async () => {
    const world = await restoreWorld();
    const backup = {
      id: 'b1',
      kind: 'backup',
      cluster: world.spec.name,
      startedAt: '2026-11-21T06:00:00.000Z',
    } as const;
    const held = await world.lease.acquire(backup);
    expect(await world.work({}, {}, 3)).toMatchObject({ kind: 'later' });
    const waits = world.restoreEvents().filter(({ type }) => type === 'restore.waits');
    expect(waits).toMatchObject([{ operation: 'r1', problem: { code: 'cluster.busy' } }]);
    expect(world.runner.begun).toEqual([]);
    if (!('heldBy' in held)) await held.release();
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });

  test('says why no plan can be made, and begins when one can', async () => {
    const world = await restoreWorld();
    const store = world.stores[0];
    world.etcd.set({ openError: LOST });
    expect(await world.work({}, {}, 3)).toMatchObject({ kind: 'later' });
    expect(world.restoreEvents()).toMatchObject([{ type: 'restore.waits', problem: { code: 'ssh.lost' } }]);
    expect(await world.request()).toMatchObject({ state: 'approved' });
    world.etcd.set({ openError: undefined } as never);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(store.calls.length).toBeGreaterThan(0);
  });

  test('is let go when its time is up', async () => {
    const world = await restoreWorld();
    world.etcd.set({ openError: LOST });
    expect(await world.work({}, {}, 1000)).toEqual({ kind: 'done' });
    expect(world.runner.begun).toEqual([]);
  });

  test('is void when the plan has changed, and nothing is run', async () => {
    const world = await restoreWorld();
    const other = { ...world.spec, restore: { ...world.spec.restore, kubelet: 'kubelet' as const } };
    expect(await world.work({ clusters: new Map([[other.name, other]]) })).toEqual({ kind: 'done' });
    expect(await world.request()).toMatchObject({ state: 'void' });
    expect(world.runner.begun).toEqual([]);
  });

  test('does nothing once it has ended, or was never asked for', async () => {
    const world = await restoreWorld();
    await world.work();
    const { length } = world.events;
    expect(await world.work()).toEqual({ kind: 'done' });
    const unknown = { ...world.requests, read: async () => undefined };
    expect(await world.work({ requests: unknown })).toEqual({ kind: 'done' });
    expect(world.events).toHaveLength(length);
  });

  test('fails clearly when its cluster is gone from the configuration while it runs', async () => {
    const world = await restoreWorld();
    world.meddle(when('cp1', 'swap do', () => world.lease.lose(world.spec.name)));
    await world.work({}, {}, 1);
    world.lease.lose(world.spec.name);
    expect(await world.work({ clusters: new Map() })).toEqual({ kind: 'done' });
    expect(await world.request()).toMatchObject({
      state: 'failed',
      ended: { reason: expect.stringContaining('no cluster prod-eu') as string },
    });
  });
});

describe('a worker that has to stop', () => {
  test('because its lease is lost does and journals nothing more, and undoes nothing', async () => {
    const world = await restoreWorld();
    world.meddle(when('cp1', 'swap do', () => world.lease.lose(world.spec.name)));
    expect(await world.work({}, {}, 1)).toMatchObject({ kind: 'later' });
    const entries = await world.journal.read('r1');
    expect(entries.at(-1)).toMatchObject({ event: { type: 'step.begun' } });
    expect(turns(world)).toEqual([]);
    expect(world.worked.filter((work) => work.includes('undo'))).toEqual([]);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });

  test('because the process stops throws, and another goes on', async () => {
    const world = await restoreWorld();
    const stopping = new AbortController();
    world.meddle(when('cp1', 'stop-etcd do', () => stopping.abort(new Error('told to stop'))));
    await expect(world.work({}, { signal: stopping.signal })).rejects.toThrow('told to stop');
    expect(await world.request()).toMatchObject({ state: 'running' });
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(new Set(world.runner.begun).size).toBe(world.runner.begun.length);
  });

  test('because nothing can be kept for the audit begins no step that is not in it', async () => {
    const world = await restoreWorld();
    let isFull = false;
    const publish: RestoreWorld['deps']['publish'] = async (event) => {
      if (event.type === 'restore.step-begun' && event.phase === 'stop-etcd') isFull = true;
      if (isFull) throw new KeyturnError('audit.failed', 'The disk is full.', { hint: 'Make room.' });
      await world.deps.publish(event);
    };
    expect(await world.work({ publish }, {}, 3)).toMatchObject({ kind: 'later' });
    expect(world.worked.filter((work) => work.includes('stop-etcd'))).toEqual([]);
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });

  test('leaves it to the next one, which waits until the lease has run out and says nothing of it', async () => {
    const world = await restoreWorld();
    await world.lease.acquire({
      id: 'r1',
      kind: 'restore',
      cluster: world.spec.name,
      startedAt: '2026-11-21T06:00:00.000Z',
    });
    expect(await world.work({}, {}, 2)).toMatchObject({ kind: 'later' });
    expect(world.events).toEqual([]);
  });
});

describe('the end of a restore', () => {
  test('is told with its report, sealed, and then written into the request', async () => {
    const world = await restoreWorld();
    const order: string[] = [];
    await world.work({
      publish: async (event) => {
        if (event.type === 'restore.ended') order.push('told');
        await world.deps.publish(event);
      },
      seal: async () => void order.push('sealed'),
      announce: async ({ state }) => void order.push(state),
    });
    expect(order).toEqual(['running', 'told', 'sealed', 'succeeded']);
    expect(await world.requests.untold()).toEqual([]);
  });

  test('does not depend on the seal', async () => {
    const world = await restoreWorld();
    await world.work({ seal: () => Promise.reject(new Error('the store is away')) });
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });
});
