/** A restore that is undone, rolled back or waited for, and what it leaves to people. */
import { describe, expect, test } from 'vitest';
import { cancel } from '../../src/domain/restore-execution.ts';
import { changeRequest } from '../../src/restore/change-request.ts';
import { bob } from '../support/requests.ts';
import { data, deciding, decideOn, failing, LOST, turns, when } from './restore-meddling.ts';
import { restoreWorld, type Meddle, type RestoreWorld } from './restore-world.ts';

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
      expect(world.report().reason).toMatch(/" failed. It failed on cp2 \(exit code 3\): no good\. Look at/);
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

  test('leaves down what was down before', async () => {
    const world = await restoreWorld();
    const machine = world.machines.get('cp2');
    if (machine !== undefined) machine.api = false;
    world.meddle(failing('cp3', 'prove-stopped do'));
    await world.work();
    expect(data(world)).toEqual(['old', 'old api down', 'old']);
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
  test('is downtime until the old cluster serves, though the restored one had served', async () => {
    const world = await restoreWorld();
    world.meddle(failing('cp2', 'restart-caches do', 1));
    await world.work();
    const { downtimeMs, phases, endedAt } = world.report();
    const caches = phases.find(({ name }) => name === 'restart-caches');
    const stopped = phases.find(({ name }) => name === 'stop-apiservers');
    const since = (at: string | undefined): number => Date.parse(at ?? '') - Date.parse(stopped?.startedAt ?? '');
    expect(downtimeMs).toBeGreaterThan(since(caches?.startedAt));
    expect(downtimeMs).toBeLessThanOrEqual(since(endedAt));
  });

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
    expect(waited?.reason).toMatch(/"Start etcd" failed. It failed on cp2.*Retry .*roll-back .*give-up/s);
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

  test('is undone before the leader stops, when its followers have', async () => {
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
    expect(world.worked).not.toContain('cp1 stop-etcd do');
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
