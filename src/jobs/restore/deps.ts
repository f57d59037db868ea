/** Owns what carrying out a restore needs of the world. */
import type { ClusterSpec } from '../../domain/cluster.ts';
import type { RestoreRequest } from '../../domain/restore-request.ts';
import type {
  ApiServers,
  Clock,
  ClusterLease,
  EtcdClient,
  Log,
  NodeShell,
  PeopleDirectory,
  Publish,
  RestoreJournal,
  RestoreRequests,
  SnapshotCatalogue,
  SnapshotCoder,
  SnapshotStore,
  StepRunner,
} from '../../ports.ts';

export interface RestoreDeps {
  readonly clusters: ReadonlyMap<string, ClusterSpec>;
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly catalogue: SnapshotCatalogue;
  readonly coder: SnapshotCoder;
  readonly etcd: EtcdClient;
  readonly shell: NodeShell;
  readonly steps: StepRunner;
  readonly journal: RestoreJournal;
  readonly lease: ClusterLease;
  readonly requests: RestoreRequests;
  readonly apiServers: ApiServers;
  readonly directory: PeopleDirectory;
  readonly publish: Publish;
  /** Tells that the request changed; the last entry of its history says how. */
  readonly announce: (request: RestoreRequest) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  /** A node that was not reached for so long in a row is given up. Milliseconds; default: see `Nodes`. */
  readonly patienceMs?: number | undefined;
  /** Puts what was recorded so far into the store; a failure is a warning. */
  readonly seal?: (() => Promise<void>) | undefined;
}
