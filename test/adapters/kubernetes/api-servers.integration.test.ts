import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startNodes, type LocalCluster, type LocalNodes } from '../../../deploy/local/nodes/nodes.ts';
import { apiServers } from '../../../src/adapters/kubernetes/api-servers.ts';
import { detachedSteps } from '../../../src/adapters/ssh/detached.ts';
import type { ApiServerLook } from '../../../src/ports.ts';
import { entered } from '../../support/node-connection.ts';
import { nodeSpec } from '../../support/specs.ts';

let work: string;
let nodes: LocalNodes;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'keyturn-api-'));
  nodes = await startNodes({
    instanceDir: join(work, 'nodes'),
    clusters: [
      { name: 'kubeadm', etcdVersion: '3.5', layout: 'kubeadm', nodes: ['cp1'] },
      { name: 'e', etcdVersion: '3.5', layout: 'e', nodes: ['cp1'] },
    ],
  });
}, 180_000);

afterAll(async () => {
  await nodes.stop();
  await rm(work, { recursive: true });
});

function look(cluster: LocalCluster): Promise<ApiServerLook> {
  const node = cluster.node('cp1');
  const connection = entered(node, nodeSpec('cp1', { address: node.address }));
  const steps = detachedSteps().on(connection, { cluster: cluster.name, request: 'r-1', token: 1 });
  const { signal } = new AbortController();
  return apiServers().look(connection, {
    port: 6443,
    ask: (script, options) => steps.ask(script, options),
    signal,
  });
}

const ready = { ready: true, detail: '/readyz says ok.' };

test('with the node’s own kubeconfig nodes and pods are counted', async () => {
  const cluster = nodes.cluster('kubeadm');
  const objects = {
    'minions/cp1': { status: { conditions: [{ type: 'Ready', status: 'True' }] } },
    'pods/kube-system/a': {
      spec: { containers: [{}] },
      status: { phase: 'Running', containerStatuses: [{ ready: true }] },
    },
    'pods/kube-system/b': { spec: { containers: [{}] }, status: { phase: 'Pending' } },
    'pods/default/c': { spec: { containers: [{}] }, status: { phase: 'Pending' } },
  };
  for (const [key, value] of Object.entries(objects)) {
    await cluster.etcdctl(['put', `/registry/${key}`, JSON.stringify(value)]);
  }
  await expect
    .poll(() => look(cluster), { timeout: 20_000 })
    .toEqual({
      ...ready,
      nodes: { ready: 1, total: 1 },
      systemPods: { ready: 1, total: 2 },
    });
});

test('without one only /readyz is asked', async () => {
  const asked = { ...ready, nodes: undefined, systemPods: undefined };
  await expect.poll(() => look(nodes.cluster('e')), { timeout: 20_000 }).toEqual(asked);
});

test('a server that has lost its etcd is not ready, and one that is stopped does not answer', async () => {
  const cluster = nodes.cluster('e');
  const node = cluster.node('cp1');
  await node.exec(['systemctl', 'stop', 'etcd']);
  const told = await look(cluster);
  expect(told).toMatchObject({ ready: false, nodes: undefined });
  expect(told.detail).toMatch(/^\/readyz says 500: \[-\]etcd failed/);
  await node.exec(['systemctl', 'stop', 'kube-apiserver']);
  expect(await look(cluster)).toMatchObject({ ready: false, detail: 'Nothing answers on port 6443.' });
});
