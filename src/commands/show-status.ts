/** Owns the live look at one cluster: its members, what is wrong with them, and its last backups. */
import { raftLag } from '../domain/cluster.ts';
import type { ClusterSpec, ClusterStatus, MemberStatus } from '../domain/cluster.ts';
import { KeyturnError, toProblem } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { Freshness } from '../domain/schedule.ts';
import type { StoredSnapshot } from '../domain/snapshot.ts';
import type { EtcdSession } from '../ports.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, requirePermission, withPatience } from './deps.ts';
import type { Running } from './running.ts';
import { lookAtStores, stateOf } from './look-at-stores.ts';
import { lookAtQueue, nextRun } from './show-clusters.ts';

export interface MemberLine {
  readonly member: MemberStatus;
  /** Entries behind the furthest member. */
  readonly lag: bigint;
}

/** What the nodes said, or why they could not be asked. */
export type LiveLook =
  | {
      readonly kind: 'live';
      readonly clusterId: bigint;
      readonly hasLeader: boolean;
      readonly members: readonly MemberLine[];
      /** Nodes that could not be reached or run no etcd. */
      readonly missing: EtcdSession['missing'];
    }
  | { readonly kind: 'blind'; readonly problem: Problem };

export interface StatusReport {
  readonly at: string;
  readonly cluster: string;
  readonly live: LiveLook;
  readonly state: Freshness | 'unknown';
  readonly rpoMs: number | undefined;
  readonly nextRunAt: string | undefined;
  readonly running: Running | undefined;
  /** The newest few, newest first. */
  readonly last: readonly StoredSnapshot[];
  readonly problems: readonly string[];
}

type Deps = Pick<
  CommandDeps,
  'clusters' | 'people' | 'command' | 'etcd' | 'catalogue' | 'queue' | 'lease' | 'calendar' | 'clock' | 'log' | 'nonce'
>;

const NODES_PATIENCE_MS = 25_000;
const BACKUPS_SHOWN = 3;

/** Throws permission.denied, cluster.unknown. What can't be reached is told in the report, so there is an answer in time. */
export async function showStatus(
  deps: Deps,
  actor: Person,
  cluster: string,
  look: (spec: ClusterSpec) => Promise<StatusReport>,
): Promise<StatusReport> {
  requirePermission(deps, actor, 'status');
  return look(findCluster(deps, cluster));
}

/** The report; logs in to the nodes, so let callers share it. */
export async function lookAtStatus(deps: Deps, spec: ClusterSpec): Promise<StatusReport> {
  const [live, stored, queue] = await Promise.all([
    lookAtNodes(deps, spec),
    lookAtStores(deps, spec, { last: BACKUPS_SHOWN }),
    lookAtQueue(deps, spec),
  ]);
  const now = deps.clock.now();
  return {
    at: now.toISOString(),
    cluster: spec.name,
    live,
    state: stateOf(stored, spec, now),
    rpoMs: spec.backup.rpoMs,
    nextRunAt: nextRun(deps, spec, now)?.toISOString(),
    running: queue.running,
    last: stored.last,
    problems: [...stored.problems.map((p) => `${p.store}: ${p.message}`), ...queue.problems],
  };
}

/** Asks the nodes, for so long; the connections are closed however it ends. */
async function lookAtNodes(deps: Deps, spec: ClusterSpec): Promise<LiveLook> {
  const late = (): KeyturnError =>
    new KeyturnError(
      'etcd.unreachable',
      `The nodes of ${spec.name} did not answer within ${NODES_PATIENCE_MS / 1000} s.`,
      {
        hint: 'Check that the nodes are up and can be reached by SSH; "keyturn check" tries each of them.',
      },
    );
  try {
    return await withPatience(deps.clock, NODES_PATIENCE_MS, (signal) => askNodes(deps, spec, signal), late);
  } catch (error) {
    const logId = deps.nonce();
    deps.log.warn({ cluster: spec.name, logId, err: error }, 'The cluster could not be looked at');
    return { kind: 'blind', problem: toProblem(error, logId) };
  }
}

async function askNodes(deps: Deps, spec: ClusterSpec, signal: AbortSignal): Promise<LiveLook> {
  const session = await deps.etcd.open(spec, signal);
  try {
    return toLook(await session.status(), session.missing);
  } finally {
    await session.close();
  }
}

function toLook(status: ClusterStatus, missing: EtcdSession['missing']): LiveLook {
  return {
    kind: 'live',
    clusterId: status.clusterId,
    hasLeader: status.leader !== undefined,
    members: status.members.map((member) => ({ member, lag: raftLag(status, member) })),
    missing,
  };
}
