/** Owns nodes to plan restores for: what discovery would have read, with every part open to change. */
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import type { NodeFacts, RestoreInput } from '../../src/domain/restore/facts.ts';
import type { Supervisor } from '../../src/domain/cluster.ts';

const GIB = 1024 ** 3;

export function unit(name: string): Supervisor {
  return { kind: 'systemd', unit: `${name}.service` };
}

export function pod(name: string): Supervisor {
  return { kind: 'static-pod', manifest: `/etc/kubernetes/manifests/${name}.yaml` };
}

/** kubeadm's layout: etcd 3.5 and everything else are static pods. */
export function nodeFacts(number: number, change: Partial<NodeFacts> = {}): NodeFacts {
  const address = `10.0.0.${10 + number}`;
  return {
    node: `cp${number}`,
    etcd: {
      node: `cp${number}`,
      pid: 100 + number,
      supervisor: pod('etcd'),
      memberName: `cp${number}`,
      dataDir: '/var/lib/etcd',
      walDir: undefined,
      listenClientUrls: ['https://127.0.0.1:2379', `https://${address}:2379`],
      advertiseClientUrls: [`https://${address}:2379`],
      tls: {
        caFile: '/etc/kubernetes/pki/etcd/ca.crt',
        certFile: '/etc/kubernetes/pki/etcd/server.crt',
        keyFile: '/etc/kubernetes/pki/etcd/server.key',
      },
      quotaBytes: 2 * GIB,
    },
    etcdVersion: '3.5.16',
    peerUrls: [`https://${address}:2380`],
    argv: ['/usr/local/bin/etcd', `--name=cp${number}`, '--initial-cluster-state=new'],
    hasConfigFile: false,
    dataDir: {
      path: '/var/lib/etcd',
      uid: 0,
      gid: 0,
      isMountPoint: false,
      mountsInside: [],
      freeBytes: 20 * GIB,
    },
    walDir: undefined,
    apiServer: { supervisor: pod('kube-apiserver'), port: 6443 },
    scheduler: pod('kube-scheduler'),
    controllerManager: pod('kube-controller-manager'),
    kubelet: { unit: 'kubelet.service', stop: 'no', manifests: 'one-by-one' },
    runtime: { cli: 'crictl', path: '/usr/bin/crictl' },
    tools: [
      { name: 'etcdutl', version: '3.5.16', path: '/usr/local/bin/etcdutl', from: 'node', sha256: 'a'.repeat(64) },
      { name: 'etcdctl', version: '3.5.16', path: '/usr/local/bin/etcdctl', from: 'node', sha256: 'b'.repeat(64) },
    ],
    ...change,
  };
}

/** A healthy cluster of these nodes, the second one leads. */
export function restoreInput(change: Partial<RestoreInput> = {}): RestoreInput {
  const nodes = change.nodes ?? [1, 2, 3].map((number) => nodeFacts(number));
  const snapshot = snapshotRecord({ cluster: 'prod', clusterId: '77', etcdVersion: '3.5.16', revisionBefore: '1000' });
  return {
    request: 'r1',
    cluster: 'prod',
    mode: 'all-members',
    snapshot,
    foreignSnapshotConfirmed: false,
    nodes,
    missing: [],
    status: {
      clusterId: 77n,
      leader: 2n,
      members: nodes.map((facts, i) => ({
        id: BigInt(i + 1),
        name: facts.etcd.memberName,
        node: facts.node,
        peerUrls: facts.peerUrls,
        clientUrls: facts.etcd.advertiseClientUrls,
        isLearner: false,
        isLeader: i === 1,
        problem: undefined,
        version: facts.etcdVersion,
        dbSize: 1,
        dbSizeInUse: 1,
        quota: 1,
        revision: 1200n,
        raftTerm: 1n,
        raftIndex: 1n,
        raftAppliedIndex: 1n,
        alarms: [],
      })),
    },
    stopLast: undefined,
    token: 'keyturn-r1',
    liveRevision: 1200n,
    configVersion: 'c1',
    ...change,
  };
}
