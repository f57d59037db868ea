/** Owns the look into one etcd cluster: every node is asked what runs there, every member by its own node's tunnel. */
import type { ClusterSpec, EtcdOnNode, MemberStatus, NodeSpec } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { localEndpoint } from '../../domain/etcd-commands.ts';
import type { NodeFacts } from '../../domain/restore/facts.ts';
import type { EtcdClient, EtcdSession, NodeConnection, NodeShell, NodeSteps, StepRunner } from '../../ports.ts';
import { clusterStatus, ifKnown, nobody, orError, withOthers } from './cluster-status.ts';
import type { MissingNode, SeenNode } from './cluster-status.ts';
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

/** A node that was reached tells more than one that was not. */
function nothingFound(cluster: ClusterSpec, missing: readonly MissingNode[]): KeyturnError {
  const reached = missing.filter(({ error }) => !error.code.startsWith('ssh.'));
  const others = missing.filter((node) => !reached.includes(node));
  return withOthers([...reached, ...others]) ?? nobody(cluster.name);
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
