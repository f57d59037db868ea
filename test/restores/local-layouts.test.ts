import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { manifest } from '../../deploy/local/nodes/manifest.ts';
import { startNodes, type LocalCluster, type LocalNode, type LocalNodes } from '../../deploy/local/nodes/nodes.ts';
import { script } from '../../src/domain/restore/shell.ts';
import { kubeletContract } from '../contracts/kubelet.ts';

let work: string;
let nodes: LocalNodes;

const cp1 = { nodes: ['cp1'] } as const;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'keyturn-layouts-'));
  nodes = await startNodes({
    instanceDir: join(work, 'nodes'),
    clusters: [
      { name: 'kubeadm', etcdVersion: '3.5', layout: 'kubeadm', ...cp1 },
      { name: 'a', etcdVersion: '3.4', layout: 'a', ...cp1 },
      { name: 'b', etcdVersion: '3.5', layout: 'b', nodes: ['cp1', 'cp2', 'cp3'] },
      { name: 'c', etcdVersion: '3.5', layout: 'c', ...cp1 },
      { name: 'e', etcdVersion: '3.4', layout: 'e', ...cp1 },
      { name: 'own', etcdVersion: '3.4', layout: 'kubeadm', ...cp1, ...own },
    ],
  });
}, 180_000);

afterAll(async () => {
  await nodes.stop();
  await rm(work, { recursive: true });
});

/** Everything that a layout leaves open, other than a preset has it. */
const own = {
  dataDir: '/srv/etcd/data',
  walDir: '/srv/wal/etcd',
  mounts: ['/srv/wal'],
  user: 'etcd',
  manifestsDir: '/etc/kubelet.d',
} as const;

const STATIC_POD = /\/kubepods\/burstable\/pod[0-9a-f]{32}\/[0-9a-f]{64}$/;
const unit = (name: string): RegExp => new RegExp(`/system\\.slice/${name}\\.service$`);

describe.each([
  ['kubeadm', { etcd: STATIC_POD, apiServer: STATIC_POD, data: '/var/lib/etcd root' }],
  ['a', { etcd: unit('etcd'), apiServer: STATIC_POD, data: '/var/lib/etcd root' }],
  ['b', { etcd: STATIC_POD, apiServer: STATIC_POD, data: '/var/lib/etcd root' }],
  ['c', { etcd: unit('etcd'), apiServer: STATIC_POD, data: '/var/lib/etcddisk etcd' }],
  ['e', { etcd: unit('etcd'), apiServer: unit('kube-apiserver'), data: '/var/lib/etcd/default.etcd root' }],
  ['own', { etcd: STATIC_POD, apiServer: STATIC_POD, data: '/srv/etcd/data etcd' }],
])('layout %s', (name, expected) => {
  let cluster: LocalCluster;
  let node: LocalNode;
  beforeAll(() => {
    cluster = nodes.cluster(name);
    node = cluster.node('cp1');
  });

  test('etcd and kube-apiserver are kept by what the layout says, and the words of plans find them', async () => {
    const etcd = await printed(node, script(`data_dir=${cluster.dataDir}`, 'etcd_pids'));
    const apiServer = await printed(node, script('pids_of kube-apiserver'));
    expect(await cgroupOf(node, etcd)).toMatch(expected.etcd);
    expect(await cgroupOf(node, apiServer)).toMatch(expected.apiServer);
    for (const other of ['kube-scheduler', 'kube-controller-manager']) {
      expect(await printed(node, script(`pids_of ${other}`))).toMatch(/^\d+$/);
    }
  });

  test('the data belong to whom they should, and lie where they should', async () => {
    const [path = '', owner] = expected.data.split(' ');
    expect(cluster.dataDir).toBe(path);
    expect(await printed(node, `stat -c '%U %a' ${path}`)).toBe(`${owner} 700`);
    expect(await printed(node, `stat -c %U ${path}/member/snap/db`)).toBe(owner);
  });

  test('kube-apiserver is ready, and reads what etcd has', async () => {
    await cluster.etcdctl(['put', '/registry/configmaps/default/test', name]);
    for (const each of cluster.nodes) {
      expect(await cluster.api('/readyz', { node: each.name })).toEqual({ status: 200, body: 'ok' });
      const found = await cluster.api('/registry/configmaps/default/test', { node: each.name });
      expect(found).toEqual({ status: 200, body: name });
    }
    expect(await cluster.api('/registry/none')).toEqual({ status: 404, body: '' });
    expect(await cluster.api('/api/v1/nodes')).toMatchObject({ status: 403 });
  });
});

test('a data directory can be renamed, and one that is a mount point can not', async () => {
  const move = async ({ dataDir, nodes: [node] }: LocalCluster): Promise<string | undefined> =>
    (await node?.exec(['python3', '-c', 'import os, sys; os.rename(sys.argv[1], sys.argv[1] + ".x")', dataDir]))
      ?.stderr;
  for (const name of ['kubeadm', 'a', 'e', 'own']) {
    const cluster = nodes.cluster(name);
    expect(await move(cluster)).toBe('');
    await printed(cluster.node('cp1'), `mv ${cluster.dataDir}.x ${cluster.dataDir}`);
  }
  expect(await move(nodes.cluster('c'))).toContain('Device or resource busy');
});

test('kube-apiserver says that it is not ready while etcd has no majority, and is ready again after', async () => {
  const b = nodes.cluster('b');
  const gone = [b.node('cp2'), b.node('cp3')];
  for (const node of gone) await node.linkDown();
  expect(await b.api('/readyz')).toMatchObject({ status: 500 });
  for (const node of gone) await node.linkUp();
  await b.waitServing();
});

test('a machine that was powered off comes back with its static pods and its data', async () => {
  const kubeadm = nodes.cluster('kubeadm');
  await kubeadm.etcdctl(['put', 'before', 'power off']);
  await kubeadm.node('cp1').stop();
  await kubeadm.node('cp1').start();
  await kubeadm.waitServing();
  expect(await kubeadm.etcdctl(['get', '--print-value-only', 'before'])).toBe('power off\n');
});

test('a machine whose plug was pulled comes back with the data on its disks', async () => {
  const c = nodes.cluster('c');
  await c.etcdctl(['put', 'before', 'kill']);
  await c.node('cp1').kill();
  await c.node('cp1').start();
  await c.waitServing();
  expect(await c.etcdctl(['get', '--print-value-only', 'before'])).toBe('kill\n');
});

test("the admin's kubeconfig lists what etcd has of nodes", async () => {
  const a = nodes.cluster('a');
  const node = a.node('cp1');
  await a.etcdctl(['put', '/registry/minions/cp1', JSON.stringify({ kind: 'Node', metadata: { name: 'cp1' } })]);
  const config = parse(await printed(node, 'cat /etc/kubernetes/admin.conf')) as {
    users: [{ user: Record<string, string> }];
    clusters: [{ cluster: Record<string, string> }];
  };
  const pem = { ...config.users[0].user, ...config.clusters[0].cluster };
  for (const [name, text = ''] of Object.entries(pem)) {
    if (name.endsWith('-data')) await node.write(`/root/${name}`, Buffer.from(text, 'base64').toString(), 0o600);
  }
  const ask = `import ssl, sys, urllib.request
context = ssl.create_default_context(cafile="/root/certificate-authority-data")
context.load_cert_chain("/root/client-certificate-data", "/root/client-key-data")
print(urllib.request.urlopen(sys.argv[1] + "/api/v1/nodes", context=context).read().decode())`;
  const { stdout } = await node.exec(['python3', '-c', ask, pem['server'] ?? '']);
  expect(JSON.parse(stdout)).toMatchObject({ kind: 'NodeList', items: [{ metadata: { name: 'cp1' } }] });
});

test('where the layout has a bastion, it is a machine of its own that runs no etcd', async () => {
  const { bastion } = nodes.cluster('c');
  expect(bastion?.name).toBe('c-bastion');
  expect((await bastion?.exec(['sh', '-c', script('data_dir=/x', 'etcd_pids')]))?.stdout).toBe('');
});

test('crictl lists the containers of static pods by name, and stops them', async () => {
  const node = nodes.cluster('a').node('cp1');
  await printed(node, 'systemctl stop kubelet');
  try {
    const [scheduler, none] = [
      await printed(node, "crictl ps -q --name '^kube-scheduler$'"),
      await printed(node, 'crictl ps -q --name ^etcd$'),
    ];
    expect(scheduler).toMatch(/^[0-9a-f]{64}$/);
    expect(none).toBe('');
    expect((await printed(node, 'crictl ps -q')).split('\n')).toHaveLength(3);
    await printed(node, `crictl stop --timeout 30 ${scheduler}`);
    expect(await printed(node, script('pids_of kube-scheduler'))).toBe('');
    expect((await printed(node, 'crictl ps -q')).split('\n')).toHaveLength(2);
  } finally {
    await printed(node, 'systemctl start kubelet');
  }
});

describe("the kubelet's stand-in keeps to the contract of a kubelet", () => {
  kubeletContract(async () => {
    const node = nodes.cluster('own').node('cp1');
    return {
      exec: (argv) => node.exec(argv),
      unit: 'kubelet.service',
      manifestsDir: own.manifestsDir,
      manifest: (name, command, { graceSeconds = 30 } = {}) => {
        const pod = parse(manifest(name, command)) as { spec: object };
        return stringify({ ...pod, spec: { ...pod.spec, terminationGracePeriodSeconds: graceSeconds } });
      },
    };
  });
});

async function printed(node: LocalNode, text: string): Promise<string> {
  const { code, stdout, stderr } = await node.exec(['sh', '-c', text]);
  if (code !== 0) throw new Error(`${text}: ${stderr}`);
  return stdout.trim();
}

/** The path in the newest tree, which is the last line on version 1 and the only one on version 2. */
async function cgroupOf(node: LocalNode, pid: string): Promise<string> {
  return printed(node, `tail -n 1 /proc/${pid}/cgroup`);
}
