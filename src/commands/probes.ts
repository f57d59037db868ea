/** Owns what `keyturn check` asks of nodes and of their etcd: can backups be made there, and restores carried out? */
import type { ClusterSpec, ClusterStatus, NodeSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import type { RoleHolders } from '../domain/permission.ts';
import type { EtcdClient, NodeShell, StepRunner } from '../ports.ts';
import type { Found, Probe } from './check-connections.ts';

export interface NodeProbeDeps {
  readonly shell: NodeShell;
  readonly etcd: EtcdClient;
  readonly steps: StepRunner;
  readonly people: RoleHolders;
}

/**
 * A node is ready for backups when Keyturn may read there what it has to as root, and for restores when it may run steps. Not
 * to be ready for restores is a failure where somebody may ask for and approve them: they would fail when they are needed most.
 */
export function nodeProbes(deps: NodeProbeDeps, cluster: ClusterSpec): Probe[] {
  return cluster.nodes.map((node) => ({
    name: `node ${cluster.name}/${node.name}`,
    run: (signal) => lookAtNode(deps, cluster, node, signal),
  }));
}

/** Members, versions and leader, as told by the nodes. Throws etcd.*, ssh.*, node.*. */
export function etcdProbe({ etcd }: Pick<NodeProbeDeps, 'etcd'>, cluster: ClusterSpec): Probe {
  return {
    name: `etcd ${cluster.name}`,
    run: async (signal) => describeEtcd(await statusOf(etcd, cluster, signal)),
  };
}

async function lookAtNode(
  deps: NodeProbeDeps,
  cluster: ClusterSpec,
  node: NodeSpec,
  signal: AbortSignal,
): Promise<Found> {
  const refused = await stepsRefused(deps, cluster, node, signal);
  const unread = await readingRefused(deps, cluster, node, signal);
  if (unread !== undefined) throw unread;
  const found = `logged in as ${node.ssh.user} at ${node.address}`;
  if (refused === undefined) return { found: `${found}, ready for backups and restores`, warning: undefined };
  if (deps.people.request.length > 0 && deps.people.approve.length > 0) throw refused;
  return { found: `${found}, ready for backups only`, warning: `${refused.message} ${refused.hint}` };
}

/** Logs in and runs the most harmless step there is. Why it was not let, undefined when it was; throws ssh.*. */
async function stepsRefused(
  { shell, steps }: NodeProbeDeps,
  cluster: ClusterSpec,
  node: NodeSpec,
  signal: AbortSignal,
): Promise<KeyturnError | undefined> {
  const connection = await shell.connect(node, signal);
  try {
    // Asking keeps no record, so the names don't matter.
    const runner = steps.on(connection, { cluster: cluster.name, request: 'check', token: 0 });
    return await denied(runner.ask('exit 0', { timeoutMs: 10_000, signal }));
  } finally {
    await connection.close();
  }
}

/** Why etcd's files could not be read as root; whether etcd is well is another question. */
async function readingRefused(
  { etcd }: NodeProbeDeps,
  cluster: ClusterSpec,
  node: NodeSpec,
  signal: AbortSignal,
): Promise<KeyturnError | undefined> {
  try {
    return await denied(statusOf(etcd, { ...cluster, nodes: [node] }, signal));
  } catch (error) {
    if (error instanceof KeyturnError) return undefined;
    throw error;
  }
}

async function denied(work: Promise<unknown>): Promise<KeyturnError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof KeyturnError && error.code === 'node.sudo-denied') return error;
    throw error;
  }
}

async function statusOf(etcd: EtcdClient, cluster: ClusterSpec, signal: AbortSignal): Promise<ClusterStatus> {
  const session = await etcd.open(cluster, signal);
  try {
    return await session.status();
  } finally {
    await session.close();
  }
}

function describeEtcd({ members, leader }: ClusterStatus): string {
  const well = members.filter((member) => member.problem === undefined);
  const versions = [...new Set(well.map((member) => member.version))].join(', ');
  const leading = members.find((member) => member.id === leader)?.name ?? 'none';
  if (leader === undefined || well.length < members.length)
    throw new KeyturnError(
      leader === undefined ? 'etcd.no-leader' : 'etcd.unreachable',
      `${well.length} of ${members.length} members answer, leader ${leading}.`,
      {
        hint:
          members.map((member) => member.problem?.message).find((message) => message !== undefined) ??
          'Look at its logs.',
      },
    );
  return `etcd ${versions}, ${members.length} members, leader ${leading}`;
}
