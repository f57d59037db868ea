/** Owns the keys that a local cluster starts with: enough, and of the shape, that a snapshot looks like one of Kubernetes. */
import type { LocalCluster } from './nodes/nodes.ts';

type Etcd = Pick<LocalCluster, 'etcdctl'>;

const KEYS_A_TRANSACTION = 100;

/** Writes `count` keys of about `bytes` each under /registry/configmaps/demo. */
export async function seedKeys(cluster: Etcd, count: number, bytes = 1_000): Promise<void> {
  await putAll(
    cluster,
    Array.from({ length: count }, (_, n) => {
      const name = `settings-${String(n).padStart(6, '0')}`;
      const value = `kind=ConfigMap name=${name} data=`;
      return [`/registry/configmaps/demo/${name}`, value.padEnd(bytes, 'abcdefghijklmnop')];
    }),
  );
}

/** What kube-apiserver lists of such a cluster, as JSON: its nodes, their pods in kube-system, and an application. */
export async function seedKubernetes(cluster: Etcd & Pick<LocalCluster, 'nodes'>): Promise<void> {
  const nodes = cluster.nodes.map(({ name }) => name);
  const components = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];
  const systemPods = nodes.flatMap((node) => components.map((name) => ({ name: `${name}-${node}`, node })));
  const webPods = ['a', 'b', 'c'].map((letter, n) => ({ name: `web-${letter}`, node: nodes[n % nodes.length] ?? '' }));
  await putAll(cluster, [
    ...['default', 'kube-system', 'shop'].map((name) => object(`namespaces/${name}`, 'Namespace', { name })),
    ...nodes.map((name) => object(`minions/${name}`, 'Node', { name }, { status: { conditions: READY } })),
    ...systemPods.map((pod) => podObject('kube-system', pod)),
    ...webPods.map((pod) => podObject('shop', pod)),
    object('deployments/shop/web', 'Deployment', { name: 'web', namespace: 'shop' }, { spec: { replicas: 3 } }),
    object('secrets/shop/web', 'Secret', { name: 'web', namespace: 'shop' }, { type: 'Opaque' }),
  ]);
}

const READY = [{ type: 'Ready', status: 'True' }];

function podObject(namespace: string, { name, node }: { readonly name: string; readonly node: string }): Entry {
  const status = { phase: 'Running', conditions: READY, containerStatuses: [{ name, ready: true, restartCount: 0 }] };
  return object(`pods/${namespace}/${name}`, 'Pod', { name, namespace }, { spec: { nodeName: node }, status });
}

type Entry = readonly [key: string, value: string];

function object(path: string, kind: string, metadata: object, more: object = {}): Entry {
  return [`/registry/${path}`, JSON.stringify({ kind, metadata, ...more })];
}

async function putAll(cluster: Etcd, entries: readonly Entry[]): Promise<void> {
  for (let at = 0; at < entries.length; at += KEYS_A_TRANSACTION) {
    const puts = entries
      .slice(at, at + KEYS_A_TRANSACTION)
      .map(([key, value]) => `put ${key} ${JSON.stringify(value)}`);
    // etcdctl reads compares, success and failure requests, each list ended by an empty line.
    await cluster.etcdctl(['txn'], { input: `\n${puts.join('\n')}\n\n\n` });
  }
}
