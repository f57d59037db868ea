/** Owns the proof of a whole restore: what was there is back, what came later is gone, and nothing was lost aside. */
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import type { ClusterOptions, LocalCluster } from '../../deploy/local/nodes/nodes.ts';
import type { RestorePolicy } from '../../src/domain/restore-policy.ts';
import type { RestoreReport } from '../../src/domain/restore-report.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import type { SnapshotRecord } from '../../src/domain/snapshot.ts';
import { restoreStage, type RestoreStage } from './restore-stage.ts';

export interface RestoreCase {
  readonly cluster: Omit<ClusterOptions, 'name' | 'nodes'>;
  readonly policy?: Partial<RestorePolicy>;
  readonly mode?: 'one-member';
  /** The snapshot is compressed and encrypted. */
  readonly isEncoded?: boolean;
  /** What is done to the nodes before the restore is asked for; answers what is done when it has ended. */
  readonly around?: (cluster: LocalCluster) => Promise<() => Promise<void>>;
}

export const NODES = ['cp1', 'cp2', 'cp3'];

/** Tests within a `describe` of their own, on a cluster of their own. */
export function wholeRestore({ cluster: options, policy, mode, isEncoded = false, around }: RestoreCase): void {
  let stage: RestoreStage;
  let oldRevision = 0;

  beforeAll(async () => {
    stage = await restoreStage({ ...options, name: 'prod', nodes: NODES }, policy, { isEncoded });
  });
  afterAll(() => stage.stop());

  const etcdctl = async (...args: string[]): Promise<string> => (await stage.cluster.etcdctl(args)).trim();

  test('brings every key back and none of the later ones, with every member healthy', async () => {
    onTestFailed(async () => console.error(JSON.stringify(await stage.events(), null, 1).slice(-8_000)));
    for (let i = 0; i < 20; i += 1) await etcdctl('put', `/test/kept-${i}`, `before ${i}`);
    const { object } = await stage.hand<SnapshotRecord>('backup');
    expect(object.key.endsWith('.db.zst.age')).toBe(isEncoded);
    await etcdctl('del', '/test/kept-1');
    await etcdctl('put', '/test/kept-2', 'changed');
    await etcdctl('put', '/test/later', 'after');
    const got = JSON.parse(await etcdctl('get', '/test/later', '-w', 'json')) as { header: { revision: number } };
    oldRevision = got.header.revision;
    const after = await around?.(stage.cluster);
    const asked = await stage.hand<RestoreRequest>('ask', { mode: mode ?? 'all-members' });
    expect(asked.state).toBe('approved');

    const ended = await stage.hand<RestoreRequest>('work');
    expect(ended).toMatchObject({ state: 'succeeded' });
    await after?.();
    await stage.cluster.waitHealthy(120_000);
    await stage.cluster.waitServing(120_000);
    expect(await etcdctl('get', '/test/kept-1', '--print-value-only')).toBe('before 1');
    expect(await etcdctl('get', '/test/kept-2', '--print-value-only')).toBe('before 2');
    expect(await etcdctl('get', '/test/later', '--print-value-only')).toBe('');
    expect((await etcdctl('get', '/test/kept-', '--prefix', '--keys-only')).split('\n').filter(Boolean)).toHaveLength(
      20,
    );
    await predictedIds(ended);
    await oldDataAside(ended);
  });

  test('makes whoever watched from before list anew, where the version can', async () => {
    const [node] = stage.cluster.nodes;
    const argv = ['timeout', '5', ...stage.cluster.etcdctlArgv(), 'watch', '/test', '--prefix', `--rev=${oldRevision}`];
    const watched = await node?.exec(argv);
    const bumps = options.etcdVersion === '3.5';
    expect(`${watched?.stdout ?? ''}${watched?.stderr ?? ''}`.includes('compacted')).toBe(bumps);
  });

  async function report(): Promise<RestoreReport> {
    const told = (await stage.events()).find((event) => event.type === 'restore.ended');
    if (told?.type !== 'restore.ended') throw new Error('No report was told.');
    return told.report;
  }

  async function predictedIds({ plan }: RestoreRequest): Promise<void> {
    const list = await etcdctl('member', 'list');
    for (const { name, predictedId } of plan.members) {
      expect(list).toMatch(new RegExp(`, started, ${name}, `));
      if (predictedId !== undefined) expect(list).toContain(`${BigInt(predictedId).toString(16)}, started, ${name},`);
    }
    expect(await report()).toMatchObject({ outcome: 'restored' });
  }

  async function oldDataAside({ plan }: RestoreRequest): Promise<void> {
    for (const { node, oldData } of plan.members) {
      for (const path of oldData) {
        const found = await stage.cluster.node(node).exec(['ls', path]);
        expect(found).toMatchObject({ code: 0 });
        expect(found.stdout).toContain('member');
      }
    }
  }
}
