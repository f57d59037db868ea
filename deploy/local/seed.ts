/** Owns the keys that a local cluster starts with: enough, and of the shape, that a snapshot looks like one of Kubernetes. */
import type { LocalCluster } from './nodes/nodes.ts';

const KEYS_A_TRANSACTION = 100;

/** Writes `count` keys of about `bytes` each under /registry/configmaps/demo. */
export async function seedKeys(cluster: Pick<LocalCluster, 'etcdctl'>, count: number, bytes = 1_000): Promise<void> {
  for (let at = 0; at < count; at += KEYS_A_TRANSACTION) {
    const puts = Array.from({ length: Math.min(KEYS_A_TRANSACTION, count - at) }, (_, i) => put(at + i, bytes));
    // etcdctl reads compares, success and failure requests, each list ended by an empty line.
    await cluster.etcdctl(['txn'], { input: `\n${puts.join('\n')}\n\n\n` });
  }
}

function put(n: number, bytes: number): string {
  const name = `settings-${String(n).padStart(6, '0')}`;
  const value = `kind=ConfigMap name=${name} data=`;
  return `put /registry/configmaps/demo/${name} "${value.padEnd(bytes, 'abcdefghijklmnop')}"`;
}
