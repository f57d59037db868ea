/** Clusters and nodes as a configuration would name them, for tests that care about little of it. */
import type { ClusterSpec, NodeSpec } from '../../src/domain/cluster.ts';
import type { RetentionSpec } from '../../src/domain/retention.ts';
import type { RestorePolicy } from '../../src/domain/restore-policy.ts';

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
      compression: 'none',
      attempts: 1,
    },
    retention: retentionSpec(),
    restore: restorePolicy(),
  };
}

/** Keeps everything. */
export function retentionSpec(change: Partial<RetentionSpec> = {}): RetentionSpec {
  return { policy: {}, mostAtOnce: 0.5, strayGraceMs: 86_400_000, ...change };
}

export function restorePolicy(change: Partial<RestorePolicy> = {}): RestorePolicy {
  return {
    approvals: { threshold: 2, groups: ['S0APPROVE'], expiresMs: 1_800_000, stepUp: 'none', breakGlass: undefined },
    mode: 'all-members',
    onFailure: 'roll-back',
    kubelet: 'no',
    manifests: 'one-by-one',
    ...change,
  };
}
