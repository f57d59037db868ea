/** What people read when something is wrong: each fault is made for real, and the message says what, where and what next. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Message } from '../../deploy/local/workspace/state.ts';
import { etcdctlSudoers } from '../../src/adapters/etcd/sudoers.ts';
import { startTestS3, type TestS3 } from '../adapters/stores/swift.ts';
import { clusterSection, eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { control, type Control, type NodeControl } from '../support/control.ts';
import { becomeVoter, PKI, rejoinAsLearner } from '../support/learner.ts';
import { asRootOn, localCluster, type LocalClusterEnv, type LocalNodeEnv } from '../support/local-env.ts';

const YEAR_MS = 365 * 24 * 3_600_000;
const OTHER_KEY = `SHA256:${'A'.repeat(43)}`;
const TRUE_NODES = ['cp1', 'cp2', 'cp3'] as const;

let world: World;
let parts: Control;
let full: TestS3;
let bot: Bot;
let newer: LocalClusterEnv;

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  newer = localCluster(world.env, '3.5');
  full = await startTestS3({ quota: 4_096 });
  const disk = join(world.dir, 'disk');
  await mkdir(disk);
  // A disk that the bot alone sees, and that is gone with it.
  const smallDisk = ['sh', '-c', 'mount -t tmpfs -o size=8k tmpfs "$0" && exec "$@"', disk];
  bot = await world.startBot({ clusters: clusters(), more: { stores: await stores(disk) } }, [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    ...smallDisk,
  ]);
});

afterAll(async () => {
  await world.close();
  await full.remove();
});

/** One bot, many clusters: the same machines, each time with one thing wrong in the configuration. */
function clusters(): object[] {
  // Stores are full at a size that a compressed snapshot would not have.
  const once = { attempts: 1, stores: ['s3'], compression: 'none' };
  const named = (name: string, backup: object = {}, change: (node: Node) => object = (node) => node): object => {
    const section = clusterSection(world.env, 'newer', { ...once, ...backup }) as { nodes: Node[] };
    return { ...section, name, nodes: section.nodes.map(change) };
  };
  const only = (name: string, cluster: string, node: string): object => {
    const section = clusterSection(world.env, cluster, once) as { nodes: Node[] };
    return { ...section, name, nodes: section.nodes.filter((each) => each.name === node) };
  };
  return [
    clusterSection(world.env, 'newer', once),
    clusterSection(world.env, 'older', once),
    named('changed-key', {}, (node) => ({ ...node, ssh: { hostKey: OTHER_KEY } })),
    named('unknown-key', {}, (node) => ({ ...node, ssh: {} })),
    named('wrong-user', {}, (node) => ({ ...node, ssh: { ...node.ssh, user: 'nobody' } })),
    named('wrong-secret', { stores: ['wrong-secret'] }),
    named('no-bucket', { stores: ['no-bucket'] }),
    named('full-s3', { stores: ['full'] }),
    named('full-disk', { stores: ['disk'] }),
    named('one-of-two', { stores: ['s3', 'full'] }),
    only('only-cp1', 'newer', 'cp1'),
    only('switched-off', 'older', 'cp3'),
  ];
}

interface Node {
  readonly name: string;
  readonly ssh: object;
}

async function stores(disk: string): Promise<object> {
  const config = parse(await readFile(await world.writeConfig(), 'utf8')) as { stores: { s3: object } };
  const whole = config.stores.s3;
  const secret = async (name: string, value: string): Promise<{ file: string }> => {
    await writeFile(join(world.dir, name), value);
    return { file: join(world.dir, name) };
  };
  const { endpoint, bucket, credentials } = full.options;
  return {
    s3: whole,
    'wrong-secret': { ...whole, secretAccessKey: await secret('wrong', 'not-the-secret') },
    'no-bucket': { ...whole, bucket: 'nowhere' },
    full: {
      ...whole,
      endpoint,
      bucket,
      accessKeyId: await secret('full-access', credentials?.accessKeyId ?? ''),
      secretAccessKey: await secret('full-secret', credentials?.secretAccessKey ?? ''),
    },
    disk: { type: 'folder', path: disk },
  };
}

const ENDINGS = ['verified', '· failed'];

/** Asks for a backup; the text of its message in the end. */
async function backup(cluster: string): Promise<string> {
  const before = world.workspace.messages('etcd-backups').length;
  await world.workspace.runCommand('ada', 'etcd-backups', `/etcd backup ${cluster}`);
  const message = await eventually(
    `the end of the backup of ${cluster}`,
    () => ended(world.workspace.messages('etcd-backups').slice(before), cluster),
    60_000,
  ).catch(async (error: unknown) => {
    console.log((await bot.log()).split('\n').slice(-20).join('\n'));
    throw error;
  });
  return message.text;
}

function ended(messages: readonly Message[], cluster: string): Message | undefined {
  return messages.find(
    ({ ephemeralFor, text }) =>
      ephemeralFor === undefined && text.includes(`*${cluster}*`) && ENDINGS.some((ending) => text.includes(ending)),
  );
}

/** Asks for a backup that fails; its two sentences. */
async function failure(cluster: string): Promise<{ readonly why: string; readonly next: string }> {
  const text = await backup(cluster);
  expect(text).toContain(`❌ *${cluster}* · backup · failed`);
  return { why: /\*Why:\* (.+)/.exec(text)?.[1] ?? '', next: /\*What to do:\* (.+)/.exec(text)?.[1] ?? '' };
}

/** What the one who typed the command is told. */
async function answer(user: string, command: string): Promise<string> {
  const before = world.workspace.messages('etcd-backups').length;
  await world.workspace.runCommand(user, 'etcd-backups', command);
  const own = await eventually(`an answer to ${command}`, () =>
    world.workspace
      .messages('etcd-backups')
      .slice(before)
      .find(({ ephemeralFor }) => ephemeralFor === world.workspace.ids.users[user]),
  );
  // All that is to be read, not the notification alone.
  return JSON.stringify([own.text, own.blocks]);
}

function node(cluster: LocalClusterEnv, name: string): LocalNodeEnv {
  const found = cluster.nodes.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no node ${name}`);
  return found;
}

async function onEach(names: readonly string[], argv: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => ok(parts.node('newer', name), argv)));
}

async function ok(on: NodeControl, argv: readonly string[]): Promise<void> {
  const { code, stderr } = await on.exec(argv);
  if (code !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
}

describe('the nodes', () => {
  test('a changed host key is refused, with both fingerprints and where to look', async () => {
    const { why, next } = await failure('changed-key');
    expect(why).toMatch(/cp\d \(\S+:22\) shows another host key than configured/);
    expect(why).toContain(`expected ${OTHER_KEY}`);
    expect(newer.nodes.some(({ hostKey }) => why.includes(`presented: ssh-ed25519 ${hostKey}`))).toBe(true);
    expect(next).toContain('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub');
    expect(next).toContain('change hostKey of this machine');
  });

  test('an unknown host key is refused, with the fingerprint to compare and to set', async () => {
    const { why, next } = await failure('unknown-key');
    expect(why).toMatch(/The host key of cp1 \(\S+\) is not known yet: expected key: none configured/);
    expect(newer.nodes.some(({ hostKey }) => why.includes(hostKey))).toBe(true);
    expect(next).toContain('set hostKey of this machine');
  });

  test('a refused login names user, key and host', async () => {
    try {
      const { why, next } = await failure('wrong-user');
      expect(why).toMatch(/cp\d \(\S+:22\) refused user nobody with the key \S+/);
      expect(next).toMatch(/authorized_keys on cp\d/);
    } finally {
      // sshd remembers failed logins, and hangs up on us for a while.
      await onEach(TRUE_NODES, ['systemctl', 'restart', 'ssh']);
    }
  });

  test('refused sudo: the line that is missing', async () => {
    const rules = '/etc/sudoers.d/keyturn';
    await onEach(TRUE_NODES, ['mv', rules, '/root/keyturn-sudoers']);
    try {
      const { why, next } = await failure('newer');
      expect(why).toMatch(/sudo on cp\d did not let keyturn run a command as root/);
      expect(next).toMatch(
        /Add this line to \/etc\/sudoers\.d\/keyturn on cp\d.*: keyturn ALL=\(root\) NOPASSWD: \/\S+cat/,
      );
    } finally {
      await onEach(TRUE_NODES, ['mv', '/root/keyturn-sudoers', rules]);
    }
  });

  test('a node without power: which one, and that it cannot be reached; the others are read', async () => {
    const off = parts.node('older', 'cp3');
    await off.stop();
    await off.linkDown();
    try {
      const [{ why, next }, whole] = await Promise.all([failure('switched-off'), backup('older')]);
      expect(why).toMatch(
        /cp3 \(\S+:22\) can't be reached by SSH: (there is no route to the host|no answer within 15 s)/,
      );
      expect(next).toContain('that sshd runs on cp3');
      expect(whole).toContain('verified');
    } finally {
      await off.linkUp();
      await off.start();
      await parts.cluster('older').waitHealthy();
    }
  });

  test('where sshd forwards nothing the backup is read by etcdctl, and says so', async () => {
    const settings = '/etc/ssh/sshd_config.d/no-forwarding.conf';
    const tls = { caFile: `${PKI}/ca.crt`, certFile: `${PKI}/server.crt`, keyFile: `${PKI}/server.key` };
    const access = { endpoint: { host: '127.0.0.1', port: 2379, secure: true }, tls };
    const reload = ['systemctl', 'reload', 'ssh'];
    for (const name of TRUE_NODES) {
      await parts.node('newer', name).write('/etc/sudoers.d/keyturn-etcdctl', etcdctlSudoers('keyturn', access), 0o440);
      await parts.node('newer', name).write(settings, 'AllowTcpForwarding no\n', 0o644);
    }
    await onEach(TRUE_NODES, reload);
    try {
      const text = await backup('newer');
      expect(text).toContain('verified');
      const message = ended([...world.workspace.messages('etcd-backups')].reverse(), 'newer');
      expect(JSON.stringify(message?.blocks)).toMatch(/etcdctl snapshot save.*does not allow forwarding/);
      await expectAccepted(/\d{8}T\d{6}Z-\d+/.exec(JSON.stringify(message?.blocks))?.[0] ?? '');
    } finally {
      await onEach(TRUE_NODES, ['rm', '-f', settings, '/etc/sudoers.d/keyturn-etcdctl']);
      await onEach(TRUE_NODES, reload);
    }
  });
});

/** etcd's own tool takes the stored object. */
async function expectAccepted(id: string): Promise<void> {
  const object = await world.store.get(`newer/${id}.db`);
  const cp1 = node(newer, 'cp1');
  await asRootOn(cp1, ['sh', '-c', 'cat > /root/check.db'], object);
  const status = await asRootOn(cp1, ['etcdutl', 'snapshot', 'status', '/root/check.db', '-w', 'json']);
  await asRootOn(cp1, ['rm', '/root/check.db']);
  expect((JSON.parse(status) as { totalSize: number }).totalSize).toBe(object.length - 32);
}

describe('the stores', () => {
  test('a wrong secret: which store, and which setting to check', async () => {
    const { why, next } = await failure('wrong-secret');
    expect(why).toContain('Store wrong-secret could not');
    expect(why).toContain('the secret key is wrong (SignatureDoesNotMatch, HTTP 403)');
    expect(next).toContain('secretAccessKey');
  });

  test('a bucket that is not there: create it, or correct it', async () => {
    const { why, next } = await failure('no-bucket');
    expect(why).toContain('Store no-bucket could not');
    expect(next).toContain('Create bucket nowhere');
  });

  test('a full S3 store: make room, or raise the quota', async () => {
    const { why, next } = await failure('full-s3');
    expect(why).toMatch(/Store full could not store .*: it is full \(/);
    expect(next).toContain('Make room in store full, or raise the quota of bucket etcd-backup');
  });

  test('a full disk: which folder needs room', async () => {
    const { why, next } = await failure('full-disk');
    expect(why).toMatch(/Store disk could not .*: the disk is full \(ENOSPC\)/);
    expect(next).toContain(`Make room on the disk of ${join(world.dir, 'disk')}`);
  });

  test('a store that fails beside a good one: the backup is there, and the message says which copy is missing', async () => {
    const text = await backup('one-of-two');
    expect(text).toMatch(/⚠️ \*one-of-two\*.*verified.*\*in 1 of 2 stores\*/);
    expect(text).toMatch(/Not in `full`: Store full could not store.*Make room in store full/);
  });
});

describe('etcd', () => {
  afterEach(async () => {
    await onEach(TRUE_NODES, ['systemctl', 'start', 'etcd']);
    await parts.cluster('newer').waitHealthy();
  });

  test('stopped everywhere: which unit, on which node', async () => {
    await onEach(TRUE_NODES, ['systemctl', 'stop', 'etcd']);
    const { why, next } = await failure('newer');
    expect(why).toBe('etcd is not running on cp1 (systemd unit etcd.service). It is the same on cp2, cp3.');
    expect(next).toMatch(/systemctl status etcd\.service.* on cp\d/);
  });

  test('without a leader: so, and which members are down', async () => {
    await onEach(['cp2', 'cp3'], ['systemctl', 'stop', 'etcd']);
    await leaderless();
    const { why, next } = await failure('newer');
    expect(why).toContain('The etcd of newer has no leader');
    for (const name of ['cp2', 'cp3']) expect(why).toContain(`etcd is not running on ${name} (systemd unit`);
    expect(next).toContain('until 2 of 3 run');
    const status = await answer('linus', '/etcd status newer');
    expect(status).toContain("no leader: the cluster can't serve");
  });

  /** The one that is left has noticed that it is alone. */
  async function leaderless(): Promise<void> {
    const certificates = [`--cacert=${PKI}/ca.crt`, `--cert=${PKI}/server.crt`, `--key=${PKI}/server.key`];
    const ask = ['etcdctl', '--endpoints=https://127.0.0.1:2379', ...certificates, 'endpoint', 'status', '-w', 'json'];
    await eventually('an etcd without a leader', async () => {
      const { stdout } = await parts.node('newer', 'cp1').exec(ask);
      return stdout.includes('no leader') ? true : undefined;
    });
  }

  test('an expired certificate: which file, where, and since when', async () => {
    await parts.cluster('newer').reissue(['server'], new Date('2021-02-03T04:05:06Z'));
    try {
      const { why, next } = await failure('newer');
      expect(why).toMatch(/certificate \/etc\/kubernetes\/pki\/etcd\/server\.crt on cp\d expired on 2021-02-03/);
      expect(next).toContain('kubeadm certs renew all');
    } finally {
      await parts.cluster('newer').reissue(['server'], new Date(Date.now() + YEAR_MS));
    }
  });

  test('a learner is never read: with no other member there is a failure that says so', async () => {
    // The first one: it is asked before the others.
    const [learner, voter] = [node(newer, 'cp1'), node(newer, 'cp2')];
    await rejoinAsLearner(learner, voter);
    try {
      const { why, next } = await failure('only-cp1');
      expect(why).toContain('only a learner answers (on cp1), and a learner is never read');
      expect(next).toContain('Bring back the voting members');
      const text = await backup('newer');
      expect(text).toContain('verified');
      const message = ended([...world.workspace.messages('etcd-backups')].reverse(), 'newer');
      expect(JSON.stringify(message?.blocks)).toMatch(/read from `cp[23]`/);
    } finally {
      await becomeVoter(learner, voter);
    }
  });
});

describe('the command', () => {
  test('an unknown cluster: the nearest one, ready to be typed', async () => {
    expect(await answer('ada', '/etcd backup newr')).toMatch(/There is no cluster .*newr.*\/etcd backup newer/);
    expect(await answer('ada', '/etcd backup moon')).toMatch(/There is no cluster .*moon.*Use one of: newer, older/);
  });

  test('without the right: for whom it is, and whom to ask', async () => {
    const told = await answer('noor', '/etcd backup newer');
    expect(told).toContain('it is for operators only');
    expect(told).toContain('people.operate');
    expect(told).toContain(`<!subteam^${world.workspace.ids.groups['etcd-admins'] ?? ''}>`);
  });

  test('with Redis away: that nothing was started, and what to look at', async () => {
    await parts.redis.stop();
    try {
      expect(await answer('ada', '/etcd backup newer')).toMatch(
        /Nothing can be started now\. Redis at .* can't be used: there is no such socket.*See that Redis runs/,
      );
    } finally {
      await parts.redis.restart();
    }
  });
});
