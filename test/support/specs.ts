/** Clusters and nodes as a configuration would name them, for tests that care about little of it. */
import type { ClusterSpec, NodeSpec } from '../../src/domain/cluster.ts';

export function nodeSpec(name: string, change: Partial<NodeSpec> = {}): NodeSpec {
  return {
    name,
    address: '192.0.2.1',
    become: 'sudo',
    ssh: { user: 'keyturn', port: 22, hostKeys: ['SHA256:unused'], auth: { kind: 'agent', socket: '/nowhere' } },
    ...change,
  };
}

export function clusterSpec(nodes: readonly NodeSpec[]): ClusterSpec {
  return {
    name: 'test',
    nodes,
    backup: {
      schedule: undefined,
      timezone: 'UTC',
      stores: ['local'],
      rpoMs: undefined,
      timeoutMs: 60_000,
      stallTimeoutMs: 10_000,
      rateLimit: undefined,
      attempts: 1,
    },
  };
}
