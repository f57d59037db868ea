/** Owns what a cluster says of itself: the answers of its members, put together, and why some are missing. */
import type { ClusterStatus, EtcdOnNode, MemberStatus, NodeSpec } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { alarmsOf, hostOf } from '../../domain/etcd-commands.ts';
import type { MemberAnswer, StatusAnswer } from '../../domain/etcd-commands.ts';
import type { NodeConnection, NodeSteps } from '../../ports.ts';
import type { Member } from './member.ts';

/** A node with an etcd. `member` throws when nothing can be asked of it. */
export interface SeenNode {
  readonly node: NodeSpec;
  readonly connection: NodeConnection;
  readonly ask: NodeSteps['ask'];
  readonly etcd: EtcdOnNode;
  readonly member: Member;
}

export interface MissingNode {
  readonly node: NodeSpec;
  readonly error: KeyturnError;
}

/** A node's own answer, or why there is none. */
type Answer = SeenNode & { readonly status: StatusAnswer | KeyturnError };
type Spoken = SeenNode & { readonly status: StatusAnswer };

/** Throws the first node's error when no member answers, etcd.no-member when only learners do. */
export async function clusterStatus(
  found: readonly SeenNode[],
  missing: readonly MissingNode[],
): Promise<ClusterStatus> {
  const answers = await Promise.all(
    found.map(async (seen): Promise<Answer> => ({ ...seen, status: await orError(seen.member.status()) })),
  );
  const speaking = answers.filter((answer): answer is Spoken => !(answer.status instanceof KeyturnError));
  if (speaking.length === 0) {
    throw (
      withOthers(
        answers.flatMap(({ node, status }) => (status instanceof KeyturnError ? { node, error: status } : [])),
      ) ?? nobody()
    );
  }
  // A learner refuses to name the members. One that has a leader knows them as they are now.
  const voters = speaking.filter(({ status }) => !status.isLearner);
  const speaker = voters.find(({ status }) => status.leader !== 0n) ?? voters[0];
  if (speaker === undefined) throw learnersOnly(speaking, answers, missing);
  const members = await speaker.member.memberList();
  return {
    clusterId: speaker.status.clusterId,
    leader: leaderOf(answers),
    members: members.map((member) => memberStatus(member, answers, missing)),
  };
}

/** The one that most recently elected members speak of; one cut off may still believe in an older one. */
function leaderOf(answers: readonly Answer[]): bigint | undefined {
  let newest: StatusAnswer | undefined;
  for (const { status } of answers) {
    if (status instanceof KeyturnError || status.leader === 0n) continue;
    if (newest === undefined || status.raftTerm > newest.raftTerm) newest = status;
  }
  return newest?.leader;
}

function memberStatus(member: MemberAnswer, answers: readonly Answer[], missing: readonly MissingNode[]): MemberStatus {
  const own = answers.find(({ status }) => !(status instanceof KeyturnError) && status.memberId === member.id);
  if (own === undefined || own.status instanceof KeyturnError) return silentMember(member, answers, missing);
  const { status, etcd, node } = own;
  return {
    ...member,
    node: node.name,
    isLearner: status.isLearner,
    isLeader: status.leader === member.id,
    problem: status.leader === 0n ? leaderless(member.name, node.name) : undefined,
    version: status.version,
    dbSize: status.dbSize,
    dbSizeInUse: status.dbSizeInUse,
    quota: etcd.quotaBytes,
    revision: status.revision,
    raftTerm: status.raftTerm,
    raftIndex: status.raftIndex,
    raftAppliedIndex: status.raftAppliedIndex,
    alarms: alarmsOf(member.id, status.errors),
  };
}

/** It answers, but can't be read from: cut off from the others, or just back and not taken in yet. */
function leaderless(member: string, node: string): NonNullable<MemberStatus['problem']> {
  return {
    code: 'etcd.no-leader',
    message: `${member} has no leader.`,
    hint: `Look at the network between ${node} and the other members, and at etcd's log there.`,
  };
}

/** A member that did not speak for itself: the reason is that of the node that it can only be on. */
function silentMember(member: MemberAnswer, answers: readonly Answer[], missing: readonly MissingNode[]): MemberStatus {
  const hosts = [...member.clientUrls, ...member.peerUrls].map(hostOf);
  const silent = answers.find(
    ({ etcd, node, status }) =>
      status instanceof KeyturnError && (etcd.memberName === member.name || hosts.includes(node.address)),
  );
  const gone = missing.find(({ node }) => hosts.includes(node.address));
  const error =
    silent?.status instanceof KeyturnError
      ? silent.status
      : (gone?.error ?? nowhere(member.name || member.id.toString(16)));
  return {
    ...member,
    node: silent?.node.name ?? gone?.node.name,
    isLeader: false,
    problem: { code: error.code, message: error.message, hint: error.hint },
    version: '',
    dbSize: 0,
    dbSizeInUse: 0,
    quota: 0,
    revision: 0n,
    raftTerm: 0n,
    raftIndex: 0n,
    raftAppliedIndex: 0n,
    alarms: [],
  };
}

export async function orError<T>(promise: Promise<T>): Promise<T | KeyturnError> {
  return promise.catch(ifKnown((error) => error));
}

/** Handles what people can be told of; anything else is thrown on. */
export function ifKnown<T>(handle: (error: KeyturnError) => T): (error: unknown) => T {
  return (error) => {
    if (error instanceof KeyturnError) return handle(error);
    throw error;
  };
}

/** The first node's error; of the others only who they are, so that nobody repairs one and wonders about the rest. */
export function withOthers([first, ...others]: readonly MissingNode[]): KeyturnError | undefined {
  if (first === undefined || others.length === 0) return first?.error;
  const names = others.map(({ node }) => node.name).join(', ');
  const alike = others.every(({ error }) => error.code === first.error.code);
  const more = alike ? `It is the same on ${names}.` : `Of ${names} none can be read either.`;
  const { code, message, hint } = first.error;
  return new KeyturnError(code, `${message} ${more}`, { hint, cause: first.error });
}

export function nobody(cluster = 'The cluster'): KeyturnError {
  return new KeyturnError('node.etcd-not-found', `${cluster} has no nodes.`, { hint: 'Add nodes to the cluster.' });
}

function learnersOnly(
  learners: readonly Spoken[],
  answers: readonly Answer[],
  missing: readonly MissingNode[],
): KeyturnError {
  const names = learners.map(({ node }) => node.name).join(', ');
  const errors = [...answers.map(({ status }) => status), ...missing.map(({ error }) => error)];
  const others = errors.flatMap((error) => (error instanceof KeyturnError ? [error.message] : []));
  return new KeyturnError(
    'etcd.no-member',
    [`Of etcd only a learner answers (on ${names}), and a learner is never read.`, ...others].join(' '),
    {
      hint: "Bring back the voting members, or add their nodes to this cluster in Keyturn's configuration.",
    },
  );
}

function nowhere(member: string): KeyturnError {
  return new KeyturnError('etcd.unreachable', `Member ${member} is on no node of the configuration.`, {
    hint: "Add its node to the cluster's nodes, or remove the member from etcd if it is gone for good.",
  });
}
