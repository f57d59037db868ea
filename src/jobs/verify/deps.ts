/** Owns what the reading and making anew of stored copies needs of the world. */
import type { ClusterSpec } from '../../domain/cluster.ts';
import type {
  Clock,
  ClusterLease,
  JobQueue,
  Log,
  Publish,
  RestoreRequests,
  ScrubMemory,
  SnapshotCatalogue,
  SnapshotCoder,
  SnapshotStore,
} from '../../ports.ts';
import type { RetentionOf } from '../../retention/look.ts';

export interface CopyDeps {
  readonly clusters: ReadonlyMap<string, ClusterSpec>;
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly catalogue: SnapshotCatalogue;
  readonly coder: SnapshotCoder;
  readonly queue: Pick<JobQueue, 'add'>;
  readonly lease: ClusterLease;
  readonly requests: Pick<RestoreRequests, 'byCluster'>;
  readonly scrubMemory: ScrubMemory;
  readonly retentionOf: RetentionOf;
  /** `rateLimit` in bytes a second: for all that is read to look at it, whoever wants to know. */
  readonly scrub: { readonly enabled: boolean; readonly everyMs: number; readonly rateLimit: number };
  /** Keyturn's own version, for the manifests of snapshots that it finds. */
  readonly version: string;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly log: Log;
}
