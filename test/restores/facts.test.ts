import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startNodes, type LocalCluster, type LocalNode, type LocalNodes } from '../../deploy/local/nodes/nodes.ts';
import { etcdClient } from '../../src/adapters/etcd/client.ts';
import { detachedSteps } from '../../src/adapters/ssh/detached.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import type { NodeFacts } from '../../src/domain/restore/facts.ts';
import { makeRestorePlan } from '../../src/domain/restore-plan.ts';
import { restoreInput } from '../domain/restore-facts.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { enteringShell } from '../support/node-connection.ts';
import { clusterSpec, nodeSpec } from '../support/specs.ts';

let work: string;
let nodes: LocalNodes;

/** What a layout leaves open, other than kubeadm has it. */
const own = {
  dataDir: '/srv/etcd/data',
  walDir: '/srv/wal/etcd',
  mounts: ['/srv/wal'],
  user: 'etcd',
  manifestsDir: '/etc/kubelet.d',
} as const;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'keyturn-facts-'));
  const one = { nodes: ['cp1'] } as const;
  nodes = await startNodes({
    instanceDir: join(work, 'nodes'),
    clusters: [
      { name: 'kubeadm', etcdVersion: '3.5', layout: 'kubeadm', ...one },
      { name: 'a', etcdVersion: '3.4', layout: 'a', ...one },
      { name: 'c', etcdVersion: '3.5', layout: 'c', ...one },
      { name: 'e', etcdVersion: '3.4', layout: 'e', ...one },
      { name: 'own', etcdVersion: '3.5', layout: 'kubeadm', ...one, ...own },
    ],
  });
}, 180_000);

afterAll(async () => {
  await nodes.stop();
  await rm(work, { recursive: true });
});

const manifest = (name: string, folder = '/etc/kubernetes/manifests'): object => ({
  kind: 'static-pod',
  manifest: `${folder}/${name}.yaml`,
});
const unit = (name: string): object => ({ kind: 'systemd', unit: `${name}.service` });
const expected: Readonly<Record<string, object>> = {
  kubeadm: {
    etcdVersion: '3.5.16',
    etcd: { supervisor: manifest('etcd') },
    apiServer: { supervisor: manifest('kube-apiserver'), port: 6443 },
    scheduler: manifest('kube-scheduler'),
    controllerManager: manifest('kube-controller-manager'),
    runtime: { cli: 'crictl', path: '/usr/local/bin/crictl' },
    dataDir: { path: '/var/lib/etcd', uid: 0, isMountPoint: false, mountsInside: [] },
    walDir: undefined,
  },
  a: {
    etcdVersion: '3.4.23',
    etcd: { supervisor: unit('etcd') },
    apiServer: { supervisor: manifest('kube-apiserver') },
    dataDir: { path: '/var/lib/etcd' },
  },
  c: {
    etcdVersion: '3.5.16',
    etcd: { supervisor: unit('etcd'), tls: { keyFile: '/etc/kubernetes/certs/server.key' } },
    apiServer: { supervisor: manifest('kube-apiserver') },
    dataDir: { path: '/var/lib/etcddisk', isMountPoint: true },
  },
  e: {
    etcdVersion: '3.4.23',
    etcd: { supervisor: unit('etcd') },
    apiServer: { supervisor: unit('kube-apiserver') },
    scheduler: unit('kube-scheduler'),
    controllerManager: unit('kube-controller-manager'),
    dataDir: { path: '/var/lib/etcd/default.etcd' },
  },
  own: {
    etcdVersion: '3.5.16',
    etcd: { supervisor: manifest('etcd', '/etc/kubelet.d') },
    apiServer: { supervisor: manifest('kube-apiserver', '/etc/kubelet.d') },
    dataDir: { path: '/srv/etcd/data' },
    walDir: { path: '/srv/wal/etcd', isMountPoint: false },
  },
};

describe.each(Object.keys(expected))('layout %s', (name) => {
  let cluster: LocalCluster;
  let node: LocalNode;
  beforeAll(() => {
    cluster = nodes.cluster(name);
    node = cluster.node('cp1');
  });

  test('is told as it is', async () => {
    const facts = await factsOf(cluster);
    expect(facts).toMatchObject({ node: 'cp1', kubelet: { unit: 'kubelet.service' }, ...expected[name] });
    expect(facts.etcd.pid).toBeGreaterThan(0);
    expect(facts.peerUrls).toEqual([`https://${node.address}:2380`]);
    const program = cluster.etcdVersion === '3.4' ? '/opt/etcd-3.4/etcd' : '/usr/bin/etcd';
    expect(facts.argv[0]).toBe(program);
    const { uid, gid } = facts.dataDir;
    expect(`${uid}:${gid}`).toBe((await printed(node, `stat -c %u:%g ${facts.dataDir.path}`)).trim());
    for (const { name: tool, version, path, sha256 } of facts.tools) {
      expect(await printed(node, `sha256sum ${path}`)).toContain(sha256);
      expect(await printed(node, `${path} version`)).toContain(`${tool} version: ${version}`);
    }
    expect(facts.tools.map((tool) => `${tool.name} ${tool.version}`)).toEqual(
      expect.arrayContaining(['etcdctl 3.4.23', 'etcdctl 3.5.16', 'etcdutl 3.5.16']),
    );
  });

  test('has a plan, and looked at again the same one', async () => {
    const plans = [await factsOf(cluster), await factsOf(cluster)].map((facts) => {
      const snapshot = snapshotRecord({ cluster: 'prod', clusterId: '77', etcdVersion: facts.etcdVersion });
      return makeRestorePlan(restoreInput({ nodes: [facts], snapshot }));
    });
    expect(plans[1]).toEqual(plans[0]);
    expect(plans[0]?.members[0]?.oldData[0]).toContain(cluster.dataDir);
  });

  test('is told the same while all of it is stopped, but for the process', async () => {
    const running = await factsOf(cluster);
    const units = ['kubelet', 'etcd', 'kube-apiserver'].map((each) => `systemctl stop ${each} 2>/dev/null`).join('; ');
    const programs =
      'for pid in $(pgrep -x etcd; pgrep -f "[/]kube-apiserver"); do kill $pid; done; while pgrep -x etcd; do sleep 0.1; done';
    await printed(node, `${units}; ${programs}; :`);
    try {
      const stopped = await factsOf(cluster);
      expect(stopped.etcd.pid).toBeUndefined();
      const { pid, ...rest } = running.etcd;
      expect(pid).toBeDefined();
      const program = stopped.etcd.supervisor.kind === 'static-pod' ? stopped.argv[0] : running.argv[0];
      expect(withoutRoom(stopped)).toEqual(
        withoutRoom({
          ...running,
          etcd: { ...rest, pid: undefined },
          argv: [program ?? '', ...running.argv.slice(1)],
          runtime: stopped.runtime,
        }),
      );
    } finally {
      await printed(node, 'systemctl start etcd kubelet kube-apiserver 2>/dev/null; :');
      await cluster.waitHealthy();
    }
  });
});

describe('an etcd in a container of its own', () => {
  /** A root and mounts of its own, as a container runtime makes them, with etcd's programs in it alone. */
  const RUN = `set -e
root=/run/box
unshare -m --propagation private sh -ec '
  mkdir -p $0/usr $0/var/lib/etcd $0/proc $0/dev $0/etc $0/opt/bin
  mount -t tmpfs tmpfs $0/opt
  mkdir -p $0/opt/bin
  cp /usr/bin/etcd /usr/bin/etcdutl $0/opt/bin/
  for folder in usr etc dev proc; do mount --rbind /$folder $0/$folder; done
  for link in bin lib lib64; do [ -e $0/$link ] || ln -s usr/$link $0/$link; done
  mount --bind /srv/real/etcd $0/var/lib/etcd
  exec chroot $0 /opt/bin/etcd "$@"
' $root "$@"`;

  test.each([
    ['by its manifest', [{ name: 'data', hostPath: { path: '/srv/link/etcd' } }]],
    ['by what is mounted, where the manifest does not say it', []],
  ])('has its directory told as the node sees it, %s, and its tools', async (_, volumes) => {
    const cluster = nodes.cluster('kubeadm');
    const node = cluster.node('cp1');
    const path = '/etc/kubernetes/manifests/etcd.yaml';
    const before = await printed(node, `cat ${path}`);
    const flags = [...before.matchAll(/^ *- (--.*)$/gm)].map(([, flag = '']) => flag);
    const container = {
      name: 'etcd',
      image: 'local/etcd',
      command: ['sh', '-c', RUN, 'sh', ...flags],
      volumeMounts: [{ name: 'data', mountPath: '/var/lib/etcd' }],
    };
    const pod = { metadata: { name: 'etcd' }, spec: { containers: [container], volumes } };
    await printed(
      node,
      `rm -rf /srv/real/etcd && mkdir -p /srv/real/etcd && ln -sfn real /srv/link && chown 7:8 /srv/real/etcd`,
    );
    await node.write('/etc/kubernetes/manifests/.other.yaml', JSON.stringify(pod), 0o600);
    await printed(
      node,
      `mv ${path} /root/ && mv /etc/kubernetes/manifests/.other.yaml /etc/kubernetes/manifests/other.yaml`,
    );
    try {
      await expect.poll(() => printed(node, 'pgrep -f "^/opt/bin/etcd" || :'), { timeout: 20_000 }).not.toBe('');
      await cluster.waitHealthy();
      const facts = await factsOf(cluster);
      expect(facts).toMatchObject({
        etcdVersion: '3.5.16',
        etcd: { dataDir: '/var/lib/etcd', supervisor: manifest('other') },
        dataDir: { path: '/srv/real/etcd', uid: 7, gid: 8, isMountPoint: false, mountsInside: [] },
      });
      const inside = facts.tools.filter(({ from }) => from === 'container');
      expect(inside.map(({ name, path: at }) => `${name} ${at}`)).toContain('etcdutl /opt/bin/etcdutl');
      // The directory that has the path of the container's is another one.
      expect(await printed(node, 'ls -d /var/lib/etcd/member')).toContain('member');
    } finally {
      await printed(
        node,
        `rm /etc/kubernetes/manifests/other.yaml; while pgrep -x etcd; do sleep 0.1; done; mv /root/etcd.yaml ${path}`,
      );
      await cluster.waitHealthy();
    }
  });
});

function specOf(cluster: LocalCluster): ClusterSpec {
  return { ...clusterSpec(cluster.nodes.map(({ name, address }) => nodeSpec(name, { address }))), name: cluster.name };
}

async function factsOf(cluster: LocalCluster): Promise<NodeFacts> {
  const client = etcdClient(enteringShell(cluster.nodes), { steps: detachedSteps() });
  const session = await client.open(specOf(cluster));
  try {
    const { nodes: told, missing } = await session.facts();
    expect(missing).toEqual([]);
    if (told[0] === undefined) throw new Error('Nothing was told.');
    return told[0];
  } finally {
    await session.close();
  }
}

function withoutRoom({ dataDir, walDir, ...facts }: NodeFacts): object {
  return { ...facts, dataDir: { ...dataDir, freeBytes: 0 }, walDir: walDir && { ...walDir, freeBytes: 0 } };
}

async function printed(node: LocalNode, script: string): Promise<string> {
  const { code, stdout, stderr } = await node.exec(['sh', '-c', script]);
  if (code !== 0) throw new Error(`${script}: ${stderr || stdout}`);
  return stdout;
}
