/**
 * Owns procedure E as people script it: from a machine that has the snapshot on its disk, in the written order. What takes
 * long (the copies, the restores, etcd's start, which waits for its peers) is done on all nodes side by side, which is the
 * faster way; what is short goes from node to node. No node is left before its part is done.
 */
import type { LocalNode } from '../../deploy/local/nodes/nodes.ts';
import { bySsh } from './programs.ts';
import type { RestoreStage } from './restore-stage.ts';

export interface ClassicTimes {
  /** Each line of the procedure with the milliseconds that it took, in order. */
  readonly lines: readonly { readonly what: string; readonly ms: number }[];
  readonly totalMs: number;
}

export const ASIDE = '/var/lib/etcd/default.etcd.old';
export const COPY = '/var/lib/etcd/snapshot.db';

/** To the end: every kube-apiserver is ready again. */
export async function procedureE({ nodes, cluster, snapshotFile }: RestoreStage): Promise<ClassicTimes> {
  const lines: { what: string; ms: number }[] = [];
  const run = async (node: LocalNode, script: string, input?: string): Promise<void> => {
    await bySsh(nodes, node, `set -e\n${script}`, input);
  };
  const line = async (what: string, act: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    await act();
    lines.push({ what, ms: performance.now() - started });
  };
  const inTurn = async (act: (node: LocalNode) => Promise<void>): Promise<void> => {
    for (const node of cluster.nodes) await act(node);
  };
  const together = (act: (node: LocalNode) => Promise<void>) => Promise.all(cluster.nodes.map(act));
  const stopped = (unit: string): string =>
    `systemctl stop ${unit}\nwhile pgrep -x ${unit} >/dev/null; do sleep 0.1; done`;
  const health = cluster.etcdctlArgv().concat('endpoint', 'health').join(' ');
  const { dataDir } = cluster;
  const members = cluster.nodes.map(({ name, address }) => `${name}=https://${address}:2380`).join(',');

  await line('stop kube-apiserver on all', () => inTurn((node) => run(node, stopped('kube-apiserver'))));
  await line('stop etcd on all', () => inTurn((node) => run(node, stopped('etcd'))));
  await line('mv the data aside', () => inTurn((node) => run(node, `mv ${dataDir} ${ASIDE}`)));
  await line('copy the snapshot to every node', () => together((node) => run(node, `cat > ${COPY}`, snapshotFile)));
  await line('restore on each', () =>
    together((node) =>
      run(
        node,
        `ETCDCTL_API=3 etcdctl snapshot restore ${COPY} --data-dir ${dataDir} --name ${node.name} --initial-cluster ${members} \\
  --initial-cluster-token ${cluster.name} --initial-advertise-peer-urls https://${node.address}:2380 2>/dev/null`,
      ),
    ),
  );
  await line('start etcd on all', () => together((node) => run(node, 'systemctl start etcd')));
  await line('health of all', () => inTurn((node) => run(node, `until ${health} >/dev/null 2>&1; do sleep 0.2; done`)));
  await line('start the apiservers', () => inTurn((node) => run(node, 'systemctl start kube-apiserver')));
  await line('component status', () => cluster.waitServing());
  return { lines, totalMs: lines.reduce((sum, { ms }) => sum + ms, 0) };
}
