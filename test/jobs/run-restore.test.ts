/** A restore as it is carried out, undone, rolled back, waited for and gone on with. */
import { describe, expect, test } from 'vitest';
import { cancel, decide } from '../../src/domain/restore-execution.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { Decision } from '../../src/domain/restore-request.ts';
import { changeRequest } from '../../src/restore/change-request.ts';
import { alice, bob } from '../support/requests.ts';
import { restoreWorld, type Meddle, type RestoreWorld } from './restore-world.ts';

const LOST = new KeyturnError('ssh.lost', 'The connection broke.', { hint: 'Look at the network.' });

function data(world: RestoreWorld): readonly string[] {
  return [...world.machines.values()].map(
    (machine) => `${machine.data}${machine.etcd ? '' : ' etcd down'}${machine.api ? '' : ' api down'}`,
  );
}

/** A script on a node fails, without having done anything, the first `times` times. */
function failing(node: string, verb: Parameters<Meddle>[1], times = Infinity): Meddle {
  let left = times;
  return (on, what) => {
    if (on !== node || what !== verb || left <= 0) return undefined;
    left -= 1;
    return { code: 3, output: 'it is\nno good\n' };
  };
}

/** Once, when a script is begun on a node. */
function when(node: string, verb: Parameters<Meddle>[1], act: () => void): Meddle {
  let isDone = false;
  return (on, what) => {
    if (on === node && what === verb && !isDone) {
      isDone = true;
      act();
    }
    return undefined;
  };
}

async function decideOn(world: RestoreWorld, what: Decision): Promise<void> {
  await changeRequest(world.deps, 'r1', async (request, now) =>
    decide(request, { person: alice, permitted: false, what, now }),
  );
}

/** Someone decides as soon as it waits, in this order. */
function deciding(world: RestoreWorld, ...decisions: readonly Decision[]) {
  const left = [...decisions];
  const requests: RestoreWorld['requests'] = {
    ...world.requests,
    async read(id) {
      const request = await world.requests.read(id);
      const next = request?.waiting === undefined ? undefined : left.shift();
      if (next === undefined) return request;
      await decideOn(world, next);
      return world.requests.read(id);
    },
  };
  return { requests };
}

function turns(world: RestoreWorld): readonly string[] {
  return world.restoreEvents().flatMap((event) => (event.type === 'restore.turned' ? [event.to] : []));
}

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

  test('stops etcd on one node after the other, in the order of the plan', async () => {
    const world = await restoreWorld();
    await world.work();
    const told = world.restoreEvents().flatMap((event) => {
      const isStop = 'phase' in event && event.phase === 'stop-etcd';
      return isStop ? [`${event.type.slice('restore.step-'.length)} ${event.node}`] : [];
    });
    expect(told).toEqual(['cp2', 'cp3', 'cp1'].flatMap((node) => [`begun ${node}`, `ended ${node}`]));
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

  test('measures the downtime from the first stop until an API serves, and proves what it says', async () => {
    const world = await restoreWorld();
    await world.work();
    const { downtimeMs, recoveryMs, verified, phases } = world.report();
    const stop = phases.find(({ name }) => name === 'stop-apiservers');
    const serving = phases.find(({ name }) => name === 'prove-serving');
    expect(downtimeMs).toBe(Date.parse(serving?.endedAt ?? '') - Date.parse(stop?.startedAt ?? ''));
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

describe('a step that fails before the swap', () => {
  test.each(['check do', 'prepare do', 'stop-apiservers do', 'stop-etcd do', 'prove-stopped do'] as const)(
    'is undone on every node, whatever the policy: %s',
    async (verb) => {
      const world = await restoreWorld({ policy: { onFailure: 'ask' } });
      world.meddle(failing('cp2', verb, 1));
      await world.work();
      expect(await world.request()).toMatchObject({ state: 'rolled-back' });
      expect(data(world)).toEqual(['old', 'old', 'old']);
      expect(world.machines.get('cp1')).toMatchObject({ prepared: false });
      expect(turns(world)).toEqual(['undo']);
      expect(world.report()).toMatchObject({ outcome: 'undone', oldData: [] });
      expect(world.report().reason).toMatch(/" failed on cp2 \(exit code 3\): no good\. Look at/);
      expect(world.sins).toEqual([]);
    },
  );

  test('does not take back what was never begun', async () => {
    const world = await restoreWorld();
    world.meddle(failing('cp2', 'prepare do'));
    await world.work();
    expect(world.worked.filter((work) => work.includes('stop-'))).toEqual([]);
    expect(world.report().downtimeMs).toBe(undefined);
  });

  test('proves that the old cluster serves again where it was stopped', async () => {
    const world = await restoreWorld();
    world.meddle(failing('cp3', 'prove-stopped do'));
    await world.work();
    expect(world.report().verified.join('\n')).toMatch(
      /The old cluster 4d serves again: 3 of 3 members answer, and one leads\./,
    );
    expect(world.report().verified).toContain('kube-apiserver on cp1 is ready (ok).');
    expect(world.report().downtimeMs).toBeGreaterThan(0);
  });
});

describe('a step that fails after the swap', () => {
  test.each(['swap do', 'stop-etcd undo', 'stop-apiservers undo', 'restart-caches do'] as const)(
    'puts the old data back: %s',
    async (verb) => {
      const world = await restoreWorld();
      world.meddle(failing('cp2', verb, 1));
      await world.work();
      expect(await world.request()).toMatchObject({ state: 'rolled-back' });
      expect((await world.request()).history.map(({ action }) => action)).toContain('roll-back');
      expect(data(world)).toEqual(['old', 'old', 'old']);
      expect(turns(world)).toEqual(['roll-back']);
      expect(world.report()).toMatchObject({ outcome: 'rolled-back', oldData: [] });
      expect(world.sins).toEqual([]);
    },
  );

  test('waits for people where the policy says so, and tries again when they say it', async () => {
    const world = await restoreWorld({ policy: { onFailure: 'ask' } });
    world.meddle(failing('cp2', 'stop-etcd undo', 1));
    await world.work(deciding(world, 'retry'));
    expect(turns(world)).toEqual(['wait', 'forward']);
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(world.runner.begun.filter((step) => step.includes('start-etcd.cp2'))).toEqual([
      'cp2 r1/start-etcd.cp2',
      'cp2 r1/start-etcd.cp2.2',
    ]);
    const waited = (await world.request()).history.find(({ action }) => action === 'wait');
    expect(waited?.reason).toMatch(/"Start etcd" failed on cp2.*Retry .*roll-back .*give-up/s);
  });

  test('waits anew when it fails again, and is rolled back when they say it', async () => {
    const world = await restoreWorld({ policy: { onFailure: 'ask' } });
    world.meddle(failing('cp2', 'stop-etcd undo', 2));
    await world.work(deciding(world, 'retry', 'roll-back'));
    expect(turns(world)).toEqual(['wait', 'forward', 'wait', 'roll-back']);
    expect(await world.request()).toMatchObject({ state: 'rolled-back' });
    expect(data(world)).toEqual(['old', 'old', 'old']);
  });

  test('is left as it is when they give up, with what to do by hand', async () => {
    const world = await restoreWorld({ policy: { onFailure: 'ask' } });
    world.meddle(failing('cp2', 'stop-etcd undo'));
    await world.work(deciding(world, 'give-up'));
    expect(await world.request()).toMatchObject({ state: 'failed' });
    expect(world.report()).toMatchObject({ outcome: 'failed' });
    expect(world.report().reason).toMatch(/<@U0ALICE> gave it up\. Go on by hand: the runbook/);
    expect(world.report().oldData).toHaveLength(3);
  });

  test('waits through the death of its worker, and takes an old answer for no new one', async () => {
    const world = await restoreWorld({ policy: { onFailure: 'ask' } });
    world.meddle(failing('cp2', 'stop-etcd undo', 2));
    const stopped = new AbortController();
    const waits = (await world.request()).history.length;
    const counting: RestoreWorld['requests'] = {
      ...deciding(world, 'retry').requests,
    };
    let reads = 0;
    const dying: RestoreWorld['requests'] = {
      ...counting,
      async read(id) {
        const request = await counting.read(id);
        if ((request?.history.filter(({ action }) => action === 'wait').length ?? 0) === 2 && ++reads === 3)
          stopped.abort(new Error('stop'));
        return request;
      },
    };
    await expect(world.work({ requests: dying }, { signal: stopped.signal })).rejects.toThrow('stop');
    expect(await world.request()).toMatchObject({
      state: 'running',
      waiting: { options: ['retry', 'roll-back', 'give-up'] },
    });
    await decideOn(world, 'roll-back');
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'rolled-back' });
    expect((await world.request()).history.length).toBeGreaterThan(waits);
  });
});

describe('a restore that someone asks to stop', () => {
  async function stopAt(world: RestoreWorld, verb: Parameters<Meddle>[1]): Promise<void> {
    let asked: Promise<unknown> | undefined;
    world.meddle(
      when('cp1', verb, () => {
        asked = changeRequest(world.deps, 'r1', async (request, now) =>
          cancel(request, { person: bob, permitted: false, now }),
        );
      }),
    );
    await world.work();
    await asked;
  }

  test('is undone before the swap', async () => {
    const world = await restoreWorld();
    await stopAt(world, 'prepare do');
    expect(turns(world)).toEqual(['undo']);
    expect(world.report()).toMatchObject({ outcome: 'undone', reason: '<@U0BOB> asked to stop it.' });
    expect(world.worked.filter((work) => work.includes('stop-'))).toEqual([]);
  });

  test('is undone between two nodes that stop etcd one after the other', async () => {
    const world = await restoreWorld();
    let asked: Promise<unknown> | undefined;
    world.meddle(
      when('cp2', 'stop-etcd do', () => {
        asked = changeRequest(world.deps, 'r1', async (request, now) =>
          cancel(request, { person: bob, permitted: false, now }),
        );
      }),
    );
    await world.work();
    await asked;
    expect(world.report()).toMatchObject({ outcome: 'undone' });
    expect(world.worked).not.toContain('cp3 stop-etcd do');
    expect(data(world)).toEqual(['old', 'old', 'old']);
  });

  test('is rolled back after the swap', async () => {
    const world = await restoreWorld({ policy: { onFailure: 'ask' } });
    await stopAt(world, 'swap do');
    expect(turns(world)).toEqual(['roll-back']);
    expect(data(world)).toEqual(['old', 'old', 'old']);
  });

  test('goes on once kube-apiservers have started: clients may have written', async () => {
    const world = await restoreWorld();
    await stopAt(world, 'restart-caches do');
    expect(turns(world)).toEqual([]);
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
  });
});

describe('a node that is lost', () => {
  test('for a while keeps the restore waiting, and nothing is begun twice', async () => {
    const world = await restoreWorld();
    world.meddle(
      when('cp2', 'swap do', () => {
        world.runner.cut('cp2', LOST);
        void world.clock.sleep(30_000).then(() => world.runner.cut('cp2', undefined));
      }),
    );
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(world.runner.begun.filter((step) => step.includes('swap.cp2'))).toEqual(['cp2 r1/swap.cp2']);
  });

  test('and restarts in the middle of a step has it run again under another id, unless it is done', async () => {
    const world = await restoreWorld();
    let prepares = 0;
    world.meddle((node, verb) => {
      // Cut off before it has done anything, and after it has done all.
      if (node === 'cp1' && verb === 'prepare do' && ++prepares === 1) {
        setImmediate(() => world.runner.reboot('cp1'));
        return { takesMs: 60_000 };
      }
      if (node === 'cp2' && verb === 'swap do') setImmediate(() => world.runner.reboot('cp2'));
      return undefined;
    });
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });
    expect(world.runner.begun.filter((step) => step.includes('prepare.cp1'))).toEqual([
      'cp1 r1/prepare.cp1',
      'cp1 r1/prepare.cp1.2',
    ]);
    expect(world.runner.begun.filter((step) => step.includes('swap.cp2'))).toEqual(['cp2 r1/swap.cp2']);
    expect(world.restoreEvents()).toContainEqual(
      expect.objectContaining({ type: 'restore.step-ended', run: 'prepare.cp1', outcome: 'vanished' }),
    );
  });

  test('and restarts three times in one step fails it', async () => {
    const world = await restoreWorld();
    world.meddle((node, verb) => {
      if (node !== 'cp1' || verb !== 'prepare do') return undefined;
      setImmediate(() => world.runner.reboot('cp1'));
      return { takesMs: 60_000 };
    });
    await world.work();
    expect(world.report()).toMatchObject({ outcome: 'undone' });
    expect(world.report().reason).toMatch(/cut off 3 times/);
    expect(world.runner.begun.filter((step) => step.includes('prepare.cp1.'))).toHaveLength(2 + 1);
  });

  test('for good before the swap is undone by the others, and the report says what is left to do there', async () => {
    const world = await restoreWorld();
    world.meddle(when('cp3', 'stop-etcd do', () => world.runner.cut('cp3', LOST)));
    await world.work();
    expect(world.report()).toMatchObject({ outcome: 'undone' });
    expect(data(world).slice(0, 2)).toEqual(['old', 'old']);
    expect(world.report().warnings.join('\n')).toMatch(
      /cp3 was not taken back: .*run there the script "Undo" of stop-etcd\.cp3, then stop-apiservers\.cp3/,
    );
  });

  test('for good after the swap is rolled back by the others: they are a majority, and it can not be one', async () => {
    const world = await restoreWorld();
    world.meddle(when('cp3', 'stop-etcd undo', () => world.runner.cut('cp3', LOST)));
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'rolled-back' });
    expect(data(world).slice(0, 2)).toEqual(['old', 'old']);
    expect(world.report().warnings.join('\n')).toMatch(
      /"Undo" of start-etcd\.cp3, then swap\.cp3, then stop-etcd\.cp3/,
    );
    expect(world.report().oldData).toEqual([{ node: 'cp3', paths: ['/var/lib/etcd.keyturn-r1'] }]);
  });

  test('along with another one makes a roll-back wait for people, before any old etcd is started', async () => {
    const world = await restoreWorld();
    world.meddle(
      when('cp3', 'stop-etcd undo', () => {
        for (const node of ['cp2', 'cp3']) world.runner.cut(node, LOST);
      }),
    );
    const asking = deciding(world);
    const mended: RestoreWorld['requests'] = {
      ...asking.requests,
      async read(id) {
        const request = await world.requests.read(id);
        if (request?.waiting === undefined) return request;
        expect(request.waiting.options).toEqual(['retry', 'give-up']);
        expect(request.waiting.reason).toMatch(
          /can't be taken back by itself.*on cp2 start-etcd\.cp2, then swap\.cp2/s,
        );
        expect(world.machines.get('cp1')).toMatchObject({ etcd: false });
        for (const node of ['cp2', 'cp3']) world.runner.cut(node, undefined);
        await decideOn(world, 'retry');
        return world.requests.read(id);
      },
    };
    await world.work({ requests: mended });
    expect(turns(world)).toEqual(['roll-back', 'wait', 'roll-back']);
    expect(await world.request()).toMatchObject({ state: 'rolled-back' });
    expect(data(world)).toEqual(['old', 'old', 'old']);
    expect(world.sins).toEqual([]);
  });

  test('as the only restored member of one-member mode is never left behind', async () => {
    const world = await restoreWorld({ mode: 'one-member' });
    world.meddle(when('cp1', 'stop-etcd undo', () => world.runner.cut('cp1', LOST)));
    await world.work(deciding(world, 'give-up'));
    expect(await world.request()).toMatchObject({ state: 'failed' });
    expect(world.worked.filter((work) => work === 'cp2 stop-etcd undo')).toEqual([]);
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
    const { key, size } = world.plan.snapshot;
    await world.stores[0].put(key, Buffer.alloc(size));
    await world.work();
    expect(await world.request()).toMatchObject({ state: 'succeeded' });

    const spoilt = await restoreWorld();
    for (const store of spoilt.stores) await store.put(key, Buffer.alloc(size));
    await spoilt.work();
    expect(spoilt.report()).toMatchObject({ outcome: 'undone', downtimeMs: undefined });
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
            for await (const _first of await bytes()) break;
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
    [
      'a member has other data',
      (world: RestoreWorld) => world.etcd.set({ hashOf: ({ name }) => (name === 'cp2' ? 1 : 2) }),
    ],
  ])('does not hold when %s, and the restore is rolled back', async (_what, change) => {
    const world = await restoreWorld();
    const restore = change(world);
    await world.work(restore ?? {});
    expect(world.report()).toMatchObject({ outcome: 'rolled-back' });
    expect(world.report().reason).toMatch(/Prove that etcd is healthy.*cp2/);
  });

  test('names alarms as warnings', async () => {
    const world = await restoreWorld();
    await world.work(spoil(world, { alarms: ['NOSPACE'] }));
    expect(world.report()).toMatchObject({ outcome: 'restored', warnings: ['etcd on cp2 reports: NOSPACE.'] });
  });

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
