/** Owns how a test makes a learner of a member, and a voter again, on the local nodes. */
import { expect } from 'vitest';
import { asRootOn } from './local-env.ts';
import type { LocalNodeEnv } from './local-env.ts';

/** Where the local nodes have etcd's certificates. */
export const PKI = '/etc/kubernetes/pki/etcd';
const CERTIFICATES = [`--cacert=${PKI}/ca.crt`, `--cert=${PKI}/server.crt`, `--key=${PKI}/server.key`];

/** Runs etcdctl on the node, for its own etcd; throws when it fails. */
export function etcdctl(node: LocalNodeEnv, args: readonly string[], input = ''): Promise<string> {
  return asRootOn(node, ['etcdctl', '--endpoints=https://127.0.0.1:2379', ...CERTIFICATES, ...args], input);
}

/** Resolves when every member is healthy, as `by` sees it. */
export async function healthy(by: LocalNodeEnv): Promise<void> {
  const ask = (): Promise<boolean> =>
    etcdctl(by, ['endpoint', 'health', '--cluster']).then(
      () => true,
      () => false,
    );
  await expect.poll(ask, { timeout: 20_000 }).toBe(true);
}

/** Takes the node's member out and lets it come back empty, as a learner, by a unit of its own; `by` is asked to. */
export async function rejoinAsLearner(node: LocalNodeEnv, by: LocalNodeEnv): Promise<void> {
  const found = (await etcdctl(by, ['member', 'list'])).split('\n').find((line) => line.includes(` ${node.name},`));
  await asRootOn(node, ['sh', '-c', 'systemctl stop etcd && rm -rf /var/lib/etcd/member']);
  const peer = `https://${node.address}:2380`;
  // etcd changes its members only after the rest has been whole for 5 s.
  const insist = async (args: readonly string[]): Promise<string> => {
    let printed = '';
    const attempt = async (): Promise<string> => (printed = await etcdctl(by, args).catch(() => ''));
    await expect.poll(attempt, { timeout: 20_000, interval: 1_000 }).not.toBe('');
    return printed;
  };
  await insist(['member', 'remove', found?.split(',')[0] ?? '']);
  const added = await insist(['member', 'add', node.name, '--learner', `--peer-urls=${peer}`]);
  const pairs = [`--cert-file=${PKI}/server.crt`, `--key-file=${PKI}/server.key`];
  const peerPairs = [`--peer-cert-file=${PKI}/peer.crt`, `--peer-key-file=${PKI}/peer.key`];
  const flags = [
    ...[`--name=${node.name}`, '--data-dir=/var/lib/etcd', '--initial-cluster-state=existing'],
    `--initial-cluster=${/ETCD_INITIAL_CLUSTER="([^"]+)"/.exec(added)?.[1] ?? ''}`,
    ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
    `--listen-client-urls=https://127.0.0.1:2379,https://${node.address}:2379`,
    `--advertise-client-urls=https://${node.address}:2379`,
    ...[`--trusted-ca-file=${PKI}/ca.crt`, '--client-cert-auth=true', ...pairs],
    ...[`--peer-trusted-ca-file=${PKI}/ca.crt`, '--peer-client-cert-auth=true', ...peerPairs],
  ];
  await asRootOn(node, ['systemd-run', '--unit=learner', '/usr/bin/etcd', ...flags]);
  const health = ['endpoint', 'status', `--endpoints=https://${node.address}:2379`];
  const answers = (): Promise<boolean> =>
    etcdctl(by, health).then(
      () => true,
      () => false,
    );
  await expect.poll(answers, { timeout: 20_000 }).toBe(true);
}

/** Makes it a voter again, under its usual unit. */
export async function becomeVoter(node: LocalNodeEnv, by: LocalNodeEnv): Promise<void> {
  const id = (await etcdctl(by, ['member', 'list'])).split('\n').find((line) => line.includes(node.address));
  const promote = (): Promise<boolean> =>
    etcdctl(by, ['member', 'promote', id?.split(',')[0] ?? '']).then(
      () => true,
      () => false,
    );
  await expect.poll(promote, { timeout: 20_000 }).toBe(true);
  await asRootOn(node, ['sh', '-c', 'systemctl stop learner; systemctl start etcd']);
  await healthy(by);
}
