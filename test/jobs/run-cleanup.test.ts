/** The removal of what ended restores left on the nodes. */
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { cleanupScript, forgetStepsScript } from '../../src/domain/restore/cleanup.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { runCleanup } from '../../src/jobs/run-cleanup.ts';
import { restoreWorld, type RestoreWorld } from './restore-world.ts';
import { jobContext } from './world.ts';

const LOST = new KeyturnError('ssh.lost', 'The connection broke.', { hint: 'Look at the network.' });

/** A restore that has succeeded, and a newer one that has too. */
async function twoRestores(): Promise<RestoreWorld & { readonly newer: RestoreWorld['requests'] }> {
  const world = await restoreWorld();
  await world.work();
  const newest: RestoreRequest = { ...(await world.request()), id: 'r2' };
  const newer = { ...world.requests, byCluster: async () => [newest, await world.request()] };
  return { ...world, newer };
}

function cleaned(world: RestoreWorld) {
  return world.restoreEvents().filter((event) => event.type === 'restore.cleaned');
}

describe('a clean-up', () => {
  test('removes on every node what the restore left, forgets its steps, and tells who wanted it', async () => {
    const world = await twoRestores();
    const scripts: string[] = [];
    const steps: RestoreWorld['deps']['steps'] = {
      on: (...args) => {
        const real = world.runner.on(...args);
        return {
          ...real,
          start: async (step, script, options) => {
            scripts.push(script);
            return real.start(step, script, options);
          },
          ask: async (script, options) => {
            scripts.push(script);
            return real.ask(script, options);
          },
        };
      },
    };
    const result = await runCleanup(world.cleanupJob, jobContext(), { ...world.deps, steps, requests: world.newer });
    expect(result).toEqual({ kind: 'done' });
    expect(scripts).toEqual(
      ['cp1', 'cp2', 'cp3'].flatMap((node) => [cleanupScript(world.plan, node), forgetStepsScript('r1')]),
    );
    expect(cleaned(world)).toMatchObject([{ operation: 'r1', by: 'U0OPS', failed: [] }]);
    expect(await world.lease.current(world.spec.name)).toBe(undefined);
  });

  test('never removes the newest restore that succeeded, nor one that has not ended', async () => {
    const world = await restoreWorld();
    for (let time = 0; time < 2; time += 1) {
      const { length } = world.runner.begun;
      await runCleanup(world.cleanupJob, jobContext(), world.deps);
      expect(world.runner.begun).toHaveLength(length);
      expect(cleaned(world).at(-1)).toMatchObject({
        removed: [],
        failed: [{ node: 'cp1', problem: { code: 'request.not-now' } }, { node: 'cp2' }, { node: 'cp3' }],
      });
      await world.work();
    }
  });

  test('waits while the cluster is busy', async () => {
    const world = await twoRestores();
    await world.lease.acquire({
      id: 'b1',
      kind: 'backup',
      cluster: world.spec.name,
      startedAt: '2026-11-21T06:00:00.000Z',
    });
    expect(await runCleanup(world.cleanupJob, jobContext(), world.deps)).toMatchObject({ kind: 'later' });
  });

  test('goes on with the others when a node can not be reached, and says which is left', async () => {
    const world = await twoRestores();
    world.runner.cut('cp2', LOST);
    await runCleanup(world.cleanupJob, jobContext(), { ...world.deps, requests: world.newer });
    expect(cleaned(world)).toMatchObject([
      { removed: [{ node: 'cp1' }, { node: 'cp3' }], failed: [{ node: 'cp2', problem: { code: 'ssh.lost' } }] },
    ]);
  });

  test('says what the script said where it failed, and keeps the record of the steps there', async () => {
    const world = await twoRestores();
    const script = cleanupScript(world.plan, 'cp1');
    const steps: RestoreWorld['deps']['steps'] = {
      on: (connection, restore) => {
        const real = world.runner.on(connection, restore);
        return {
          ...real,
          start: async (step, text, options) => {
            const report = await real.start(step, text, options);
            const { state } = report;
            if (text !== script || connection.node.name !== 'cp1' || state.kind !== 'done') return report;
            return { ...report, state: { ...state, code: 1 } };
          },
          ask: async (...args) => {
            expect(connection.node.name).not.toBe('cp1');
            return real.ask(...args);
          },
        };
      },
    };
    await runCleanup(world.cleanupJob, jobContext(), { ...world.deps, steps, requests: world.newer });
    expect(cleaned(world)).toMatchObject([{ failed: [{ node: 'cp1', problem: { code: 'node.command-failed' } }] }]);
  });
});
