/** Owns what a cluster, a node and a member are: what is configured, and what is found out by looking. */
import type { RestorePolicy } from './restore-policy.ts';
import type { RetentionSpec } from './retention.ts';
import type { Encoding } from './snapshot.ts';

/** How to log in to a node or jump host; secrets are file paths or agent sockets, never values. */
export interface SshLogin {
  readonly user: string;
  /** Default 22. */
  readonly port: number;
  /** OpenSSH fingerprints, `SHA256:…` without padding; a host that shows another key is refused. */
  readonly hostKeys: readonly string[];
  readonly auth:
    | { readonly kind: 'key'; readonly keyFile: string; readonly passphraseFile?: string }
    | { readonly kind: 'agent'; readonly socket: string }
    | { readonly kind: 'password'; readonly passwordFile: string };
  /** Name of the jump host in the configuration's `bastions`. */
  readonly via?: string;
}

/** A machine reached by SSH; `name` is unique within its cluster. */
export interface NodeSpec {
  readonly name: string;
  readonly address: string;
  readonly ssh: SshLogin;
  /** How root's files are read: `sudo -n`, or not at all when the login is root. Default 'sudo'. */
  readonly become: 'sudo' | 'none';
}

export interface BackupPolicy {
  /** Five-field cron expression; undefined: on demand only. */
  readonly schedule: string | undefined;
  /** IANA time zone of `schedule`. */
  readonly timezone: string;
  /** Names of stores, at least one. */
  readonly stores: readonly string[];
  /** How much may be lost, in milliseconds; undefined: not watched. */
  readonly rpoMs: number | undefined;
  /** Total time limit of one attempt, in milliseconds. */
  readonly timeoutMs: number;
  /** An attempt fails when no byte arrives for so long, in milliseconds. */
  readonly stallTimeoutMs: number;
  /** Bytes a second read from etcd; undefined: as fast as it goes. */
  readonly rateLimit: number | undefined;
  /** Of new snapshots. */
  readonly compression: Exclude<Encoding['compression'], 'gzip'>;
  /** Attempts in all, at least 1. */
  readonly attempts: number;
}

/** A cluster as configured. Nothing here can be read from its nodes. */
export interface ClusterSpec {
  readonly name: string;
  readonly nodes: readonly NodeSpec[];
  readonly backup: BackupPolicy;
  readonly retention: RetentionSpec;
  readonly restore: RestorePolicy;
}

/** How a component is kept running on a node. */
export type Supervisor =
  | { readonly kind: 'systemd'; readonly unit: string }
  | { readonly kind: 'static-pod'; readonly manifest: string }
  | { readonly kind: 'unknown' };

/** etcd on one node, read off the running process (or, when stopped, off its manifest or unit). Paths are the node's. */
export interface EtcdOnNode {
  readonly node: string;
  readonly pid: number | undefined;
  readonly supervisor: Supervisor;
  /** `--name`. */
  readonly memberName: string;
  readonly dataDir: string;
  readonly walDir: string | undefined;
  /** As etcd listens; the first that is loopback or the node's own is used through the tunnel. */
  readonly listenClientUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  readonly tls: { readonly caFile: string; readonly certFile: string; readonly keyFile: string } | undefined;
  /** `--quota-backend-bytes`; etcd's default of 2 GiB when unset. */
  readonly quotaBytes: number;
}

export interface MemberStatus {
  /** uint64. */
  readonly id: bigint;
  readonly name: string;
  /** Name of the configured node it runs on, when known. */
  readonly node: string | undefined;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
  readonly isLeader: boolean;
  /** Undefined when the member answered; else why it did not. */
  readonly problem: { readonly code: string; readonly message: string; readonly hint: string } | undefined;
  /** The rest is meaningful only without a problem. Sizes in bytes. */
  readonly version: string;
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  readonly quota: number;
  readonly revision: bigint;
  readonly raftTerm: bigint;
  readonly raftIndex: bigint;
  readonly raftAppliedIndex: bigint;
  /** Alarms and errors that etcd reports of itself, e.g. `NOSPACE`. */
  readonly alarms: readonly string[];
}

export interface ClusterStatus {
  readonly clusterId: bigint;
  /** Undefined: no leader, the cluster can't serve. */
  readonly leader: bigint | undefined;
  readonly members: readonly MemberStatus[];
}

/** Above this many entries behind the leader a member is not read from. */
const MAX_RAFT_LAG = 5000n;

/** How far a member is behind the furthest one, in raft entries. */
export function raftLag(status: ClusterStatus, member: MemberStatus): bigint {
  const newest = status.members.reduce(
    (max, m) => (m.problem === undefined && m.raftIndex > max ? m.raftIndex : max),
    0n,
  );
  return newest > member.raftAppliedIndex ? newest - member.raftAppliedIndex : 0n;
}

/**
 * The member a snapshot is read from: it answers, is no learner, has a leader, keeps up; a follower where there is one,
 * and the least lagging of those. Undefined when none fits.
 */
export function pickMember(status: ClusterStatus): MemberStatus | undefined {
  const fit = status.members.filter(
    (m) => m.problem === undefined && !m.isLearner && raftLag(status, m) <= MAX_RAFT_LAG,
  );
  const rank = (m: MemberStatus): [number, bigint, string] => [m.isLeader ? 1 : 0, raftLag(status, m), m.name];
  return fit.sort((a, b) => compare(rank(a), rank(b)))[0];
}

function compare(a: readonly [number, bigint, string], b: readonly [number, bigint, string]): number {
  if (a[0] !== b[0]) return a[0] - b[0];
  if (a[1] !== b[1]) return a[1] < b[1] ? -1 : 1;
  return a[2] < b[2] ? -1 : a[2] > b[2] ? 1 : 0;
}
