/** Whole restores by the job itself, with its real adapters, on nodes with a real kubelet, containerd and kube-apiserver. */
import { describe, expect } from 'vitest';
import { manifest } from '../../deploy/local/nodes/manifest.ts';
import type { LocalCluster, LocalNode } from '../../deploy/local/nodes/nodes.ts';
import { SHELL_IMAGE } from '../../deploy/local/parts/kubernetes.ts';
import { wholeRestore, type RestoreCase } from '../support/whole-restore.ts';

const kubelet = 'real';

/** Every layout that has static pods. */
const CASES: readonly (RestoreCase & { readonly what: string })[] = [
  {
    what: 'kubeadm with 3.5, whose nodes have etcd’s tools in the container only',
    cluster: { etcdVersion: '3.5', layout: 'kubeadm', kubelet },
    around: withoutTools,
  },
  { what: 'kubeadm with 3.4', cluster: { etcdVersion: '3.4', layout: 'kubeadm', kubelet } },
  { what: 'procedure A with 3.5', cluster: { etcdVersion: '3.5', layout: 'a', kubelet } },
  {
    what: 'procedure B with 3.5, the others join',
    cluster: { etcdVersion: '3.5', layout: 'b', kubelet },
    mode: 'one-member',
  },
  {
    what: 'procedure C with 3.5, with a container that is deaf to SIGTERM',
    cluster: { etcdVersion: '3.5', layout: 'c', kubelet },
    policy: { kubelet: 'kubelet-and-containers', manifests: 'folder' },
    around: withDeafContainer,
  },
];

describe.each(CASES)('a restore with a real kubelet: $what', wholeRestore);

/** As kubeadm leaves a node: they come with etcd's image. */
async function withoutTools({ nodes }: LocalCluster): Promise<() => Promise<void>> {
  const everywhere = (text: string) => Promise.all(nodes.map((node) => printed(node, text)));
  await everywhere('mkdir /root/tools; mv /usr/bin/etcd /usr/bin/etcdctl /usr/bin/etcdutl /opt/etcd-3.4 /root/tools');
  return async () => {
    await everywhere('cd /root/tools; mv etcd-3.4 /opt; mv etcd* /usr/bin');
  };
}

/** The first process of a container is, unless it has asked for the signal. */
async function withDeafContainer({ nodes, layout }: LocalCluster): Promise<() => Promise<void>> {
  const pod = manifest('deaf', ['sleep', '86399']).replace('local/deaf:latest', SHELL_IMAGE);
  const find = `pgrep -f '^sleep 86399$' || :`;
  for (const node of nodes) {
    // A kubelet takes every file in its folder, half-written ones too.
    await node.write('/root/deaf.yaml', pod, 0o600);
    await printed(node, `mv /root/deaf.yaml ${layout.manifestsDir}/`);
  }
  for (const node of nodes) await expect.poll(() => printed(node, find), { timeout: 60_000 }).toMatch(/^\d+$/);
  const before = await Promise.all(nodes.map((node) => printed(node, find)));
  return async () => {
    for (const [i, node] of nodes.entries()) {
      const isIt = `grep -s -q 86399 /proc/${before[i] ?? ''}/cmdline && echo runs || echo gone`;
      expect(await printed(node, isIt)).toBe('gone');
    }
  };
}

async function printed(node: LocalNode, text: string): Promise<string> {
  const { code, stdout, stderr } = await node.exec(['sh', '-c', text]);
  if (code !== 0) throw new Error(`${text}: ${stderr}`);
  return stdout.trim();
}
