/** Whole restores on real machines, for each layout and version of etcd, by the job itself with its real adapters. */
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import type { RestoreReport } from '../../src/domain/restore-report.ts';
import type { PhaseName } from '../../src/domain/plan.ts';
import { restoreStage, type Hand, type RestoreStage } from '../support/restore-stage.ts';
import { NODES, wholeRestore, type RestoreCase } from '../support/whole-restore.ts';

const CASES: readonly (RestoreCase & { readonly what: string })[] = [
  { what: 'etcd 3.5 alone under systemd', cluster: { etcdVersion: '3.5', layout: 'etcd' } },
  { what: 'etcd 3.4 alone under systemd', cluster: { etcdVersion: '3.4', layout: 'etcd' } },
  { what: 'kubeadm with 3.5', cluster: { etcdVersion: '3.5', layout: 'kubeadm' } },
  { what: 'kubeadm with 3.4', cluster: { etcdVersion: '3.4', layout: 'kubeadm' } },
  { what: 'procedure A with 3.4', cluster: { etcdVersion: '3.4', layout: 'a' } },
  { what: 'procedure A with 3.5', cluster: { etcdVersion: '3.5', layout: 'a' } },
  { what: 'procedure B with 3.4, the others join', cluster: { etcdVersion: '3.4', layout: 'b' }, mode: 'one-member' },
  { what: 'procedure B with 3.5, the others join', cluster: { etcdVersion: '3.5', layout: 'b' }, mode: 'one-member' },
  {
    what: 'procedure C with 3.4, behind a bastion',
    cluster: { etcdVersion: '3.4', layout: 'c' },
    policy: { kubelet: 'kubelet-and-containers', manifests: 'folder' },
  },
  {
    what: 'procedure C with 3.5, behind a bastion',
    cluster: { etcdVersion: '3.5', layout: 'c' },
    policy: { kubelet: 'kubelet-and-containers', manifests: 'folder' },
  },
  { what: 'procedure E with 3.4', cluster: { etcdVersion: '3.4', layout: 'e' } },
  {
    what: 'procedure E with 3.5, from an age file',
    cluster: { etcdVersion: '3.5', layout: 'e' },
    isEncoded: true,
  },
];

describe.each(CASES)('a restore: $what', wholeRestore);

describe('restores of one cluster, one after the other', () => {
  let stage: RestoreStage;

  beforeAll(async () => {
    stage = await restoreStage({ name: 'prod', etcdVersion: '3.5', layout: 'e', nodes: NODES });
    await stage.cluster.etcdctl(['put', '/test/kept', 'before']);
    await stage.hand('backup');
  });
  afterAll(() => stage.stop());

  /** Carried out while something happens as this phase begins. */
  async function restoreWhile(request: string, phase: PhaseName, happens: (worker: Hand) => Promise<unknown>) {
    onTestFailed(async () => console.error(JSON.stringify(await stage.events(), null, 1).slice(-8_000)));
    await stage.cluster.etcdctl(['put', '/test/later', request]);
    await stage.hand('ask', { request });
    const worker = stage.begin('work', { request, patienceMs: 8_000 });
    const ended = worker.answer.catch(() => undefined);
    await stage.begun(request, phase);
    await happens(worker);
    return ended;
  }

  async function reportOf(request: string): Promise<RestoreReport> {
    const told = (await stage.events()).findLast(
      (event) => event.type === 'restore.ended' && event.operation === request,
    );
    if (told?.type !== 'restore.ended') throw new Error('No report was told.');
    return told.report;
  }

  const get = async (key: string): Promise<string> =>
    (await stage.cluster.etcdctl(['get', key, '--print-value-only'])).trim();

  test.each([
    ['k1', 'prepare'],
    ['k2', 'stop-etcd'],
    ['k3', 'swap'],
    ['k4', 'start-etcd'],
  ] as const)(
    '%s: a worker killed in %s leaves a restore that the next one ends, and no step ran twice',
    async (request, phase) => {
      await restoreWhile(request, phase, async (worker) => worker.kill9());
      expect(await stage.hand('work', { request })).toMatchObject({ state: 'succeeded' });
      expect(await get('/test/kept')).toBe('before');
      expect(await get('/test/later')).toBe('');
      for (const node of stage.cluster.nodes) {
        const { stdout } = await node.exec(['ls', `/var/lib/keyturn/${request}`]);
        expect(stdout.split('\n').filter(Boolean)).not.toEqual([]);
        expect(stdout).not.toMatch(/\.\d+$/m);
      }
    },
  );

  test('what a restore left goes only once a newer one has succeeded', async () => {
    const left = async (request: string): Promise<string> => {
      const outputs = await Promise.all(
        stage.cluster.nodes.map((node) =>
          node.exec(['find', '/var/lib', '-maxdepth', '3', '-name', `*keyturn-${request}*`]),
        ),
      );
      return outputs.map(({ stdout }) => stdout).join('');
    };
    expect(await left('k1')).not.toBe('');
    await stage.hand('clean-up', { request: 'k1' });
    expect(await left('k1')).toBe('');
    const kept = await left('k4');
    await stage.hand('clean-up', { request: 'k4' });
    expect(await left('k4')).toBe(kept);
    const told = (await stage.events()).filter((event) => event.type === 'restore.cleaned');
    expect(told).toMatchObject([
      { operation: 'k1', failed: [], removed: NODES.map((node) => ({ node })) },
      { operation: 'k4', removed: [] },
    ]);
    const records = await stage.cluster.node('cp1').exec(['ls', '/var/lib/keyturn']);
    expect(records.stdout).not.toContain('k1');
  });

  test('a node that goes away before the swap has the others undo it, and the old cluster serves', async () => {
    const cp3 = stage.cluster.node('cp3');
    await restoreWhile('g1', 'stop-etcd', () => cp3.linkDown());
    const report = await reportOf('g1');
    await cp3.linkUp();
    expect(report).toMatchObject({ outcome: 'undone' });
    expect(report.warnings.join(' ')).toMatch(/cp3 was not taken back/);
    expect(await get('/test/later')).toBe('g1');
    // By hand, as the report says.
    for (const unit of ['etcd', 'kube-apiserver']) await cp3.exec(['systemctl', 'start', unit]);
    await stage.cluster.waitHealthy(120_000);
    await stage.cluster.waitServing(120_000);
  });

  test('a node that goes away after the swap has the others roll it back, and the old cluster serves', async () => {
    const cp3 = stage.cluster.node('cp3');
    await restoreWhile('g2', 'start-etcd', () => cp3.linkDown());
    const report = await reportOf('g2');
    expect(report).toMatchObject({ outcome: 'rolled-back' });
    expect(report.warnings.join(' ')).toMatch(
      /cp3 was not taken back.*"Undo" of start-etcd\.cp3, then swap\.cp3, then stop-etcd\.cp3/,
    );
    expect(report.verified.join(' ')).toMatch(/The old cluster .* serves again: 2 of 3 members answer/);
    await cp3.linkUp();
    expect((await stage.cluster.node('cp1').exec(['systemctl', 'is-active', 'etcd'])).stdout).toBe('active\n');
  });
});
