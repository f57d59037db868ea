/** Cluster leases in memory, with a way to lose one. */
import { KeyturnError } from '../../src/domain/error.ts';
import type { ClusterLease, Operation } from '../../src/ports.ts';

export interface FakeClusterLease extends ClusterLease {
  /** The lease of this cluster runs out, as if it could not be renewed; `next` has it then. */
  lose(cluster: string, next?: Operation): void;
}

export function fakeClusterLease(): FakeClusterLease {
  const holders = new Map<string, { readonly operation: Operation; readonly lost: AbortController }>();
  let tokens = 0;
  return {
    async acquire(operation) {
      const holder = holders.get(operation.cluster);
      if (holder !== undefined) return { heldBy: holder.operation };
      const mine = { operation, lost: new AbortController() };
      holders.set(operation.cluster, mine);
      return {
        token: ++tokens,
        lost: mine.lost.signal,
        async release() {
          if (holders.get(operation.cluster) === mine) holders.delete(operation.cluster);
        },
      };
    },
    async current(cluster) {
      return holders.get(cluster)?.operation;
    },
    lose(cluster, next) {
      holders
        .get(cluster)
        ?.lost.abort(new KeyturnError('lease.lost', `The lease of ${cluster} was lost.`, { hint: 'Stop at once.' }));
      holders.delete(cluster);
      if (next !== undefined) holders.set(cluster, { operation: next, lost: new AbortController() });
    },
  };
}
