/** Owns the look into one etcd cluster: every node is asked what runs there, every member by its own node's tunnel. */
import type { ClusterSpec, ClusterStatus, EtcdOnNode, MemberStatus, NodeSpec } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { alarmsOf, hostOf, localEndpoint } from '../../domain/etcd-commands.ts';
import type { MemberAnswer, StatusAnswer } from '../../domain/etcd-commands.ts';
import type { NodeFacts } from '../../domain/restore/facts.ts';
import type { EtcdClient, EtcdSession, NodeConnection, NodeShell, NodeSteps, StepRunner } from '../../ports.ts';
import { readCredentials } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { findEtcd } from './discovery.ts';
import type { FoundEtcd } from './discovery.ts';
import { etcdctlMember } from './etcdctl-member.ts';
import { askOn, asRoot, readFacts } from './facts.ts';
import { grpcMember } from './grpc-member.ts';
import type { Member } from './member.ts';

export interface EtcdClientOptions {
  /** For what restores need to know: facts, and a hash where there is no tunnel. Backups do without the right to it. */
  readonly steps: StepRunner;
  /** For the expiry of certificates; default: the system's clock. */
  readonly now?: () => Date;
}

export function etcdClient(shell: NodeShell, { steps, now = () => new Date() }: EtcdClientOptions): EtcdClient {
  return {
    async open(cluster, signal) {
      const ask: Asking = (connection) => askOn(steps, connection, cluster);
      const looks = await Promise.all(cluster.nodes.map((node) => look(shell, ask, node, now(), signal)));
      const found = looks.filter((seen): seen is SeenNode => 'etcd' in seen);
      const missing = looks.filter((seen): seen is MissingNode => 'error' in seen);
      try {
        signal?.throwIfAborted();
        if (found.length === 0) throw nothingFound(cluster, missing);
      } catch (error) {
        await Promise.all(found.map((node) => node.connection.close()));
        throw error;
      }
      return session(cluster, found, missing);
    },
  };
}

type Asking = (connection: NodeConnection) => NodeSteps['ask'];

/** A node with an etcd. `member` throws when nothing can be asked of it. */
interface SeenNode {
  readonly node: NodeSpec;
  readonly connection: NodeConnection;
  readonly ask: NodeSteps['ask'];
  readonly etcd: EtcdOnNode;
  readonly member: Member;
}

interface MissingNode {
  readonly node: NodeSpec;
  readonly error: KeyturnError;
}

async function look(
  shell: NodeShell,
  asking: Asking,
  node: NodeSpec,
  now: Date,
  signal: AbortSignal | undefined,
): Promise<SeenNode | MissingNode> {
  let connection: NodeConnection | undefined;
  try {
    connection = await shell.connect(node, signal);
    const ask = asking(connection);
    const found = await findEtcdSomehow(connection, ask, signal);
    const credentials = await orError(readCredentials(connection, found.etcd, found.asksForCertificate, now, signal));
    const { etcd } = found;
    const tls = credentials instanceof KeyturnError ? etcd.tls : credentials?.files;
    return { node, connection, ask, etcd: { ...etcd, tls }, member: memberOn(connection, ask, found, credentials) };
  } catch (error) {
    await connection?.close();
    if (error instanceof KeyturnError) return { node, error };
    throw error;
  }
}

/** A stopped etcd may be told of only by files that root alone sees; the error is that of the login. */
async function findEtcdSomehow(
  connection: NodeConnection,
  ask: NodeSteps['ask'],
  signal: AbortSignal | undefined,
): Promise<FoundEtcd> {
  try {
    return await findEtcd(connection, signal);
  } catch (error) {
    if (!(error instanceof KeyturnError) || !error.code.startsWith('node.')) throw error;
    return findEtcd(asRoot(connection, ask), signal).catch(() => {
      throw error;
    });
  }
}

async function orError<T>(promise: Promise<T>): Promise<T | KeyturnError> {
  return promise.catch(ifKnown((error) => error));
}

/** Handles what people can be told of; anything else is thrown on. */
function ifKnown<T>(handle: (error: KeyturnError) => T): (error: unknown) => T {
  return (error) => {
    if (error instanceof KeyturnError) return handle(error);
    throw error;
  };
}

/** Through the tunnel; by etcdctl from the moment on that sshd refuses one. */
function memberOn(
  connection: NodeConnection,
  askAsRoot: NodeSteps['ask'],
  { etcd }: FoundEtcd,
  credentials: Credentials | KeyturnError | undefined,
): Member {
  const problem = credentials instanceof KeyturnError ? credentials : undefined;
  const endpoint = localEndpoint(etcd.listenClientUrls);
  if (etcd.pid === undefined) return unusable(stopped(etcd));
  if (problem !== undefined) return unusable(problem);
  if (endpoint === undefined) return unusable(noEndpoint(etcd));
  const usable = credentials instanceof KeyturnError ? undefined : credentials;
  const place = { name: etcd.node, endpoint: `${endpoint.host}:${endpoint.port}`, tls: usable?.files };
  const access = { endpoint, tls: usable?.files };

  let member = grpcMember(connection, endpoint, usable, place);
  const ask = async <T>(question: (member: Member) => Promise<T>): Promise<T> => {
    const asked = member;
    try {
      return await question(asked);
    } catch (error) {
      if (!(error instanceof KeyturnError) || error.code !== 'ssh.forward-refused') throw error;
      // Several questions may be refused side by side; one of them changes the way for all.
      if (member === asked) {
        asked.close();
        member = etcdctlMember(connection, access, place, error.message, askAsRoot);
      }
      return question(member);
    }
  };
  return {
    status: () => ask((m) => m.status()),
    memberList: () => ask((m) => m.memberList()),
    countKeys: () => ask((m) => m.countKeys()),
    hashAt: (revision, options) => ask((m) => m.hashAt(revision, options)),
    openSnapshot: (options) => ask((m) => m.openSnapshot(options)),
    close: () => member.close(),
  };
}

function unusable(error: KeyturnError): Member {
  const fail = (): Promise<never> => Promise.reject(error);
  return { status: fail, memberList: fail, countKeys: fail, hashAt: fail, openSnapshot: fail, close: () => undefined };
}

/** etcd reads some 200 MB a second for a hash; a busy one on a slow disk far less. Milliseconds. */
function hashTimeout({ dbSize }: MemberStatus): number {
  return 60_000 + Math.ceil(dbSize / 20_000);
}

function session(cluster: ClusterSpec, found: readonly SeenNode[], missing: readonly MissingNode[]): EtcdSession {
  const memberOf = ({ id, name, node, problem }: MemberStatus): Member => {
    const seen = found.find((candidate) => candidate.node.name === node);
    if (seen !== undefined) return seen.member;
    const text = problem ?? {
      message: `Member ${name} (${id.toString(16)}) is on no node that was reached.`,
      hint: '',
    };
    throw new KeyturnError('etcd.unreachable', text.message, { hint: text.hint || 'Check the cluster’s nodes.' });
  };
  let closing: Promise<unknown> | undefined;
  return {
    found: found.map(({ etcd }) => etcd),
    missing: missing.map(asMissing),
    status: () => clusterStatus(found, missing),
    facts: (signal) => clusterFacts(cluster, found, missing, signal),
    hashAt: async (member, revision, signal) =>
      memberOf(member).hashAt(revision, { timeoutMs: hashTimeout(member), signal }),
    countKeys: async (member) => memberOf(member).countKeys(),
    openSnapshot: async (member, options) => memberOf(member).openSnapshot(options),
    async close() {
      for (const { member } of found) member.close();
      await (closing ??= Promise.all(found.map(({ connection }) => connection.close())));
    },
  };
}

function asMissing({ node, error }: MissingNode): EtcdSession['missing'][number] {
  return { node: node.name, message: error.message, hint: error.hint };
}

async function clusterFacts(
  spec: ClusterSpec,
  found: readonly SeenNode[],
  missing: readonly MissingNode[],
  signal: AbortSignal | undefined,
): ReturnType<EtcdSession['facts']> {
  const status = await clusterStatus(found, missing).catch(ifKnown(() => undefined));
  const looks = await Promise.all(
    found.map(async ({ node, connection, ask, etcd: { tls }, member }) => {
      const answer = await member.status().catch(ifKnown(() => undefined));
      const known = { connection, ask, tls, answer };
      return readFacts(known, { spec, status }, signal).catch(ifKnown((error): MissingNode => ({ node, error })));
    }),
  );
  // Even where the reason to stop is one that people can be told of.
  signal?.throwIfAborted();
  return {
    nodes: looks.filter((each): each is NodeFacts => !('error' in each)),
    missing: [...missing, ...looks.filter((each): each is MissingNode => 'error' in each)].map(asMissing),
  };
}

/** A node's own answer, or why there is none. */
type Answer = SeenNode & { readonly status: StatusAnswer | KeyturnError };
type Spoken = SeenNode & { readonly status: StatusAnswer };

/** Throws the first node's error when no member answers, etcd.no-member when only learners do. */
async function clusterStatus(found: readonly SeenNode[], missing: readonly MissingNode[]): Promise<ClusterStatus> {
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

/** A node that was reached tells more than one that was not. */
function nothingFound(cluster: ClusterSpec, missing: readonly MissingNode[]): KeyturnError {
  const reached = missing.filter(({ error }) => !error.code.startsWith('ssh.'));
  const others = missing.filter((node) => !reached.includes(node));
  return withOthers([...reached, ...others]) ?? nobody(cluster.name);
}

/** The first node's error; of the others only who they are, so that nobody repairs one and wonders about the rest. */
function withOthers([first, ...others]: readonly MissingNode[]): KeyturnError | undefined {
  if (first === undefined || others.length === 0) return first?.error;
  const names = others.map(({ node }) => node.name).join(', ');
  const alike = others.every(({ error }) => error.code === first.error.code);
  const more = alike ? `It is the same on ${names}.` : `Of ${names} none can be read either.`;
  const { code, message, hint } = first.error;
  return new KeyturnError(code, `${message} ${more}`, { hint, cause: first.error });
}

function nobody(cluster = 'The cluster'): KeyturnError {
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

function stopped({ node, supervisor }: EtcdOnNode): KeyturnError {
  const what =
    supervisor.kind === 'systemd'
      ? ` (systemd unit ${supervisor.unit})`
      : supervisor.kind === 'static-pod'
        ? ' (a static pod)'
        : '';
  return new KeyturnError('etcd.unreachable', `etcd is not running on ${node}${what}.`, {
    hint:
      supervisor.kind === 'systemd'
        ? `Run "systemctl status ${supervisor.unit}" on ${node}.`
        : `Look at the kubelet's log on ${node}.`,
  });
}

function noEndpoint({ node, listenClientUrls }: EtcdOnNode): KeyturnError {
  return new KeyturnError(
    'etcd.unreachable',
    `etcd on ${node} listens on no TCP address: ${listenClientUrls.join(', ')}.`,
    {
      hint: 'Let etcd listen on https://127.0.0.1:2379 too (--listen-client-urls).',
    },
  );
}
