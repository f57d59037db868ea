/** Owns what a healthy cluster is: after a restore, and after one was taken back. Words are full sentences. */
import type { ClusterStatus, MemberStatus } from './cluster.ts';
import type { Plan, PlannedMember } from './plan.ts';

/** What keeps the cluster from being well, by node; empty: nothing. */
export type Unwell = ReadonlyMap<string, string>;

export interface Verdict {
  readonly verified: readonly string[];
  readonly warnings: readonly string[];
}

/** Every planned member started with its id, no other is there, none is a learner, all in one new cluster that has a leader. */
export function whyNotRestored(plan: Plan, status: ClusterStatus): Unwell {
  const unwell = new Map<string, string>();
  const wholeCluster = wholeClusterProblem(plan, status);
  for (const member of plan.members) {
    const why = wholeCluster ?? memberProblem(member, memberOf(status, member));
    if (why !== undefined) unwell.set(member.node, why);
  }
  return unwell;
}

function wholeClusterProblem(plan: Plan, { members, clusterId, leader }: ClusterStatus): string | undefined {
  if (plan.clusterId !== undefined && String(clusterId) === plan.clusterId) {
    return 'Members still run with the old cluster id.';
  }
  if (members.length !== plan.members.length) {
    return `The cluster has ${members.length} members, ${plan.members.length} are planned.`;
  }
  return leader === undefined ? 'The cluster has no leader.' : undefined;
}

function memberProblem({ name, predictedId }: PlannedMember, found: MemberStatus | undefined): string | undefined {
  if (found === undefined) return `${name} is not in the list of members.`;
  if (predictedId !== undefined && String(found.id) !== predictedId) {
    return `${name} has the id ${hex(found.id)}, planned was ${hex(BigInt(predictedId))}.`;
  }
  if (found.problem !== undefined) return found.problem.message;
  return found.isLearner ? `${name} is still a learner.` : undefined;
}

/** By its peer URLs: a member that has not started yet has no name. */
function memberOf({ members }: ClusterStatus, { name, peerUrls }: PlannedMember): MemberStatus | undefined {
  const key = [...peerUrls].sort().join();
  return members.find((member) => [...member.peerUrls].sort().join() === key || member.name === name);
}

/** The revision at which all members can be asked for their hash. */
export function commonRevision({ members }: ClusterStatus): bigint {
  return members.reduce((min, { revision }) => (revision < min ? revision : min), members[0]?.revision ?? 0n);
}

/** `hashes` by member id, all at `commonRevision`. */
export function whyNotSame(
  { members }: Plan,
  status: ClusterStatus,
  hashes: ReadonlyMap<bigint, number> | undefined,
): Unwell {
  const common = commonRevision(status);
  const newest = status.members.reduce((max, { revision }) => (revision > max ? revision : max), common);
  const first = hashes === undefined ? undefined : [...hashes.values()][0];
  const unwell = new Map<string, string>();
  for (const planned of members) {
    const found = memberOf(status, planned);
    if (found === undefined) continue;
    if (found.revision !== newest) {
      unwell.set(planned.node, `${planned.name} is at revision ${found.revision}, others at ${newest}.`);
    } else if (hashes !== undefined && hashes.get(found.id) !== first) {
      unwell.set(
        planned.node,
        `${planned.name} has other data than the others: its hash at revision ${common} differs.`,
      );
    }
  }
  return unwell;
}

/** What was seen, once neither question above finds anything. */
export function restoredVerdict(plan: Plan, status: ClusterStatus, hash: number): Verdict {
  const leader = status.members.find(({ id }) => id === status.leader);
  const ids = plan.members.map((planned) => `${planned.name} ${hex(memberOf(status, planned)?.id ?? 0n)}`);
  const predicted = plan.members.filter(({ predictedId }) => predictedId !== undefined).length;
  const one = plan.members.length === 1;
  return {
    verified: [
      `${one ? 'The member' : `All ${plan.members.length} members`} started${predicted === plan.members.length ? ', with the predicted id' : ''}: ${ids.join(', ')}.`,
      `There is one cluster id, ${hex(status.clusterId)}${plan.clusterId === undefined ? '' : ', and it is not the old one'}; ${leader?.name ?? 'one member'} leads.`,
      `${one ? 'It has' : 'All have'} revision ${commonRevision(status)} and the ${one ? '' : 'same '}hash ${hash.toString(16)}.`,
    ],
    warnings: alarmWarnings(status),
  };
}

/** Whether the cluster of before the restore is there again; undefined: it is. Members may be down, as long as one leads. */
export function whyNotOld(plan: Plan, { clusterId, members, leader }: ClusterStatus): string | undefined {
  if (plan.clusterId !== undefined && String(clusterId) !== plan.clusterId) {
    return `The cluster id is ${hex(clusterId)}, that of the old cluster is ${hex(BigInt(plan.clusterId))}.`;
  }
  const ids = members.map(({ id }) => String(id)).sort();
  if (ids.join() !== plan.memberIds.join()) return 'The members are not those of the old cluster.';
  return leader === undefined ? 'The old cluster has no leader.' : undefined;
}

export function oldVerdict(status: ClusterStatus): Verdict {
  const well = status.members.filter(({ problem }) => problem === undefined);
  const silent = status.members.filter(({ problem }) => problem !== undefined);
  return {
    verified: [
      `The old cluster ${hex(status.clusterId)} serves again: ${well.length} of ${status.members.length} members answer, and one leads.`,
    ],
    warnings: [
      ...silent.map(({ name, problem }) => `Member ${name} does not serve: ${problem?.message ?? ''}`.trim()),
      ...alarmWarnings(status),
    ],
  };
}

function alarmWarnings({ members }: ClusterStatus): readonly string[] {
  return members.flatMap(({ name, alarms }) =>
    alarms.length === 0 ? [] : [`etcd on ${name} reports: ${alarms.join(', ')}.`],
  );
}

function hex(id: bigint): string {
  return id.toString(16);
}
