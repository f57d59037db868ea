/** Owns what a restore must know of each node before it can be planned: read off the live node, nothing configured. */
import type { ClusterStatus, EtcdOnNode, Supervisor } from '../cluster.ts';
import type { KubeletStop, ManifestsMoved, RestoreMode } from '../restore-policy.ts';
import type { SnapshotRecord } from '../snapshot.ts';

/** A directory of etcd. Everything is as root on the node sees it, not as a container does. */
export interface DirectoryFacts {
  /**
   * Absolute, symbolic links resolved, and a container's mount translated to the host's path: what may be renamed. It
   * may differ from the path in etcd's flags.
   */
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly isMountPoint: boolean;
  /** Mount points strictly below it, absolute. */
  readonly mountsInside: readonly string[];
  /** Bytes that root may still write to its filesystem. */
  readonly freeBytes: number;
}

/** A program of etcd that is to be had on a node. */
export interface EtcdTool {
  readonly name: 'etcdctl' | 'etcdutl';
  /** As it says itself: `3.5.16`. */
  readonly version: string;
  /** Absolute: on the node, or within the container in which etcd runs. */
  readonly path: string;
  /** 'container': it is copied out of the running etcd's container before use (it must not need that container's libraries). */
  readonly from: 'node' | 'container';
  /** Lower-case hex of the program's bytes. */
  readonly sha256: string;
}

/** How containers are seen on a node that has a kubelet. */
export interface ContainerRuntime {
  readonly cli: 'crictl' | 'ctr' | 'docker';
  /** Absolute path of that program. */
  readonly path: string;
}

export interface ApiServerFacts {
  readonly supervisor: Supervisor;
  /** `--secure-port`, 6443 by default. */
  readonly port: number;
}

export interface KubeletFacts {
  /** The systemd unit. */
  readonly unit: string;
  readonly stop: KubeletStop;
  readonly manifests: ManifestsMoved;
}

export interface NodeFacts {
  readonly node: string;
  readonly etcd: EtcdOnNode;
  /** `3.5.16`, of the running server; of the program that would be started where it does not run. */
  readonly etcdVersion: string;
  /** `--initial-advertise-peer-urls`; of a live member, its peer URLs in the member list. */
  readonly peerUrls: readonly string[];
  /** etcd's whole command line as it runs; argv[0] is the program's absolute path. Needed where a member is added. */
  readonly argv: readonly string[];
  /** Whether a configuration file is used: etcd then reads no flag and no variable. */
  readonly hasConfigFile: boolean;
  readonly dataDir: DirectoryFacts;
  /** Undefined without `--wal-dir`, and where it lies within the data directory and is no mount point. */
  readonly walDir: DirectoryFacts | undefined;
  /** Undefined: no kube-apiserver on this node. */
  readonly apiServer: ApiServerFacts | undefined;
  /** Undefined: none on this node. */
  readonly scheduler: Supervisor | undefined;
  readonly controllerManager: Supervisor | undefined;
  readonly kubelet: KubeletFacts | undefined;
  /** Undefined: containers can't be looked at; processes and ports are. */
  readonly runtime: ContainerRuntime | undefined;
  readonly tools: readonly EtcdTool[];
}

export interface RestoreInput {
  /** Names directories on the nodes: letters, digits, `.`, `_`, `-`; 1 to 64 of them. */
  readonly request: string;
  readonly cluster: string;
  readonly mode: RestoreMode;
  readonly snapshot: SnapshotRecord;
  /** Somebody said a second time that a snapshot of another cluster is meant. */
  readonly foreignSnapshotConfirmed: boolean;
  /** In the order of the configuration; in one-member mode the first gets the snapshot. */
  readonly nodes: readonly NodeFacts[];
  /** Configured nodes that could not be looked at, with why. */
  readonly missing: readonly { readonly node: string; readonly message: string; readonly hint: string }[];
  /** Undefined: no member answers. */
  readonly status: ClusterStatus | undefined;
  /** The node whose etcd is stopped last. Undefined: the leader's. When a plan is made again it is the first plan's, so that a new leader alone makes no new plan. */
  readonly stopLast: string | undefined;
  /** `--initial-cluster-token`: fresh for every restore. */
  readonly token: string;
  /** Newest revision that any member has served; undefined when none answers. */
  readonly liveRevision: bigint | undefined;
  readonly configVersion: string;
}
