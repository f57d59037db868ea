import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { etcdClient } from '../../../src/adapters/etcd/client.ts';
import { etcdctlSudoers } from '../../../src/adapters/etcd/sudoers.ts';
import { detachedSteps } from '../../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../../src/adapters/ssh/shell.ts';
import { pickMember } from '../../../src/domain/cluster.ts';
import type { ClusterSpec, ClusterStatus, MemberStatus, NodeSpec } from '../../../src/domain/cluster.ts';
import type { EtcdSession } from '../../../src/ports.ts';
import { etcdClientContract, expectWholeSnapshot, readAll } from '../../contracts/etcd-client.ts';
import { becomeVoter, etcdctl, healthy, PKI, rejoinAsLearner } from '../../support/learner.ts';
import { startLink } from '../../support/link.ts';
import { asRootOn, clusterOf, localCluster, localEnv, specOf, writeOn } from '../../support/local-env.ts';
import type { LocalNodeEnv } from '../../support/local-env.ts';

const env = localEnv();
const newer = localCluster(env, '3.5');
const older = localCluster(env, '3.4');
const [cp1, cp2, cp3] = newer.nodes as [LocalNodeEnv, LocalNodeEnv, LocalNodeEnv];
const shell = sshShell({ bastions: [], connectTimeoutMs: 5_000, keepaliveMs: 1_000 });
const client = etcdClient(shell, { steps: detachedSteps() });
const reading = (
  change: Partial<Parameters<EtcdSession['openSnapshot']>[1]> = {},
): typeof change & {
  signal: AbortSignal;
  stallTimeoutMs: number;
  rateLimit: number | undefined;
} => ({ signal: new AbortController().signal, stallTimeoutMs: 10_000, rateLimit: undefined, ...change });

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyturn-etcd-'));
  // Enough that a snapshot takes many messages.
  for (const node of [cp1, older.nodes[0] as LocalNodeEnv]) {
    const value = 'x'.repeat(100_000);
    for (let i = 0; i < 40; i += 1) await etcdctl(node, ['put', `/test/${i}`], value);
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe.each([newer, older])('etcdClient on real etcd $etcdVersion', (cluster) => {
  etcdClientContract(async () => ({
    client,
    cluster: clusterOf(env, cluster),
    unreachable: { client, cluster: clusterOf(env, cluster, { port: 1 }) },
  }));

  test('a snapshot is accepted by etcd, with every key', async () => {
    await withSession(clusterOf(env, cluster), async (session) => {
      const member = fit(await session.status());
      const { keys } = await session.countKeys(member);
      expect(member.version).toMatch(new RegExp(`^${cluster.etcdVersion}\\.`));
      const stream = await session.openSnapshot(member, reading());
      expect(stream).toMatchObject({ source: 'stream', fallbackReason: undefined });
      const snapshot = await readAll(stream);
      expectWholeSnapshot(snapshot);
      const counted = await snapshotStatus(cluster.nodes[0] as LocalNodeEnv, snapshot);
      // It counts every revision of a key, live or not.
      expect(counted.totalKey).toBeGreaterThanOrEqual(Number(keys));
    });
  });

  test('a follower is read, where there is one', async () => {
    await withSession(clusterOf(env, cluster), async (session) => {
      expect(fit(await session.status()).isLeader).toBe(cluster.nodes.length === 1);
    });
  });
});

describe('what runs on a node', () => {
  test('is read off the process: systemd, flags', async () => {
    await withSession(clusterOf(env, newer), async (session) => {
      expect(session.found[0]).toMatchObject({
        node: 'cp1',
        memberName: 'cp1',
        dataDir: '/var/lib/etcd',
        supervisor: { kind: 'systemd', unit: 'etcd.service' },
        listenClientUrls: ['https://127.0.0.1:2379', `https://${cp1.address}:2379`],
        tls: { caFile: `${PKI}/ca.crt`, certFile: `${PKI}/server.crt`, keyFile: `${PKI}/server.key` },
      });
    });
  });

  test('is read off its environment too, as root', async () => {
    await withSession(clusterOf(env, older), async (session) => {
      expect(session.found[0]).toMatchObject({ memberName: 'cp1', dataDir: '/var/lib/etcd' });
    });
  });

  test('is told for root as for a login with sudo', async () => {
    const authorized = '/root/.ssh/authorized_keys';
    const copy = `mkdir -pm 700 /root/.ssh && cp /home/${env.ssh.user}/.ssh/authorized_keys ${authorized}`;
    await asRootOn(cp1, ['sh', '-c', `${copy} && chown root: ${authorized}`]);
    const spec: NodeSpec = { ...specOf(env, cp1, { user: 'root' }), become: 'none' };
    await withSession({ ...clusterOf(env, newer), nodes: [spec] }, async (session) => {
      expect((await session.status()).members.find(({ name }) => name === 'cp1')?.problem).toBeUndefined();
    });
    await asRootOn(cp1, ['rm', authorized]);
  });

  test('is told where there is none', async () => {
    const bastion = newer.bastion as LocalNodeEnv;
    const opened = client.open({ ...clusterOf(env, newer), nodes: [specOf(env, bastion)] });
    await expect(opened).rejects.toMatchObject({ code: 'node.etcd-not-found' });
  });
});

describe('the right to run steps', () => {
  const rules = `/etc/sudoers.d/${env.ssh.user}-steps`;

  test('is all that facts need besides; without it they are missing, and backups go on', async () => {
    const line = await asRootOn(cp1, ['cat', rules]);
    await asRootOn(cp1, ['rm', rules]);
    try {
      await withSession(clusterOf(env, newer), async (session) => {
        const { nodes, missing } = await session.facts();
        expect(nodes.map(({ node }) => node)).toEqual(['cp2', 'cp3']);
        expect(missing).toMatchObject([{ node: 'cp1', hint: expect.stringContaining('read\\ -r\\ n') as string }]);
        const member = memberOn(await session.status(), 'cp1');
        expectWholeSnapshot(await readAll(await session.openSnapshot(member, reading())));
      });
    } finally {
      await writeOn(cp1, rules, line, '440');
    }
  });
});

describe('a cluster that is not whole', () => {
  test('tells of a node that is away, and of the member on it', async () => {
    const nodes = [specOf(env, cp1), specOf(env, cp2), specOf(env, cp3, { port: 1 })];
    await withSession({ ...clusterOf(env, newer), nodes }, async (session) => {
      expect(session.missing).toMatchObject([{ node: 'cp3', message: expect.stringContaining('refused') as string }]);
      const { members } = await session.status();
      expect(members.find(({ name }) => name === 'cp3')).toMatchObject({
        node: 'cp3',
        problem: { code: 'ssh.unreachable' },
      });
      expect(members.filter(({ problem }) => problem === undefined)).toHaveLength(2);
    });
  });

  test('tells of a member that is stopped; the other two go on', async () => {
    await asRootOn(cp3, ['systemctl', 'stop', 'etcd']);
    try {
      await withSession(clusterOf(env, newer), async (session) => {
        const { leader, members } = await session.status();
        expect(leader).toBeDefined();
        expect(members.find(({ name }) => name === 'cp3')).toMatchObject({
          node: 'cp3',
          problem: { code: 'etcd.unreachable', hint: 'Run "systemctl status etcd.service" on cp3.' },
        });
        expect(session.found.find(({ node }) => node === 'cp3')).toMatchObject({ pid: undefined, memberName: 'cp3' });
        expectWholeSnapshot(await readAll(await session.openSnapshot(fit(await session.status()), reading())));
      });
    } finally {
      await asRootOn(cp3, ['systemctl', 'start', 'etcd']);
    }
  });

  test('has no leader when two of three are stopped, and says so at once', async () => {
    await asRootOn(cp2, ['systemctl', 'stop', 'etcd']);
    // Sent on its way down, it would wait for a leader that can't be found any more.
    await asRootOn(cp3, ['systemctl', 'kill', '--signal=KILL', 'etcd']);
    await asRootOn(cp3, ['systemctl', 'stop', 'etcd']);
    try {
      await withSession(clusterOf(env, newer), async (session) => {
        await expect.poll(async () => (await session.status()).leader, { timeout: 10_000 }).toBeUndefined();
        const status = await session.status();
        const [alone] = status.members.filter(({ version }) => version !== '');
        expect(alone).toMatchObject({ name: 'cp1', problem: { code: 'etcd.no-leader' } });
        expect(pickMember(status)).toBeUndefined();
        if (alone === undefined) throw new Error('cp1 does not answer');
        await expect(session.countKeys(alone)).rejects.toMatchObject({ code: 'etcd.no-leader' });
      });
    } finally {
      // Side by side: neither becomes ready without the other.
      await Promise.all([cp2, cp3].map((node) => asRootOn(node, ['systemctl', 'start', 'etcd'])));
    }
  });

  test('a learner is told as such, and never picked', async () => {
    try {
      await rejoinAsLearner(cp3, cp1);
      await withSession(clusterOf(env, newer), async (session) => {
        const status = await session.status();
        const learners = status.members.filter(({ isLearner }) => isLearner);
        expect(learners).toMatchObject([{ name: 'cp3', node: 'cp3', problem: undefined }]);
        expect(pickMember({ ...status, members: learners })).toBeUndefined();
        expect(fit(status).isLearner).toBe(false);
      });
    } finally {
      await becomeVoter(cp3, cp1);
    }
  });
});

describe('certificates', () => {
  const swap = async (file: string, pem: string, check: () => Promise<void>): Promise<void> => {
    const original = await asRootOn(cp1, ['cat', `${PKI}/${file}`]);
    const owner = await asRootOn(cp1, ['stat', '-c', '%a', `${PKI}/${file}`]);
    await writeOn(cp1, `${PKI}/${file}`, pem, owner.trim());
    try {
      await check();
    } finally {
      await writeOn(cp1, `${PKI}/${file}`, original, owner.trim());
    }
  };
  const selfSigned = (...options: string[]): Promise<string> => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null'];
    return asRootOn(cp1, ['openssl', 'req', '-x509', ...key, '-subj', '/CN=other', ...options]);
  };
  const problemOfCp1 = async (): Promise<MemberStatus['problem']> => {
    let problem: MemberStatus['problem'];
    await withSession(clusterOf(env, newer), async (session) => {
      problem = (await session.status()).members.find(({ name }) => name === 'cp1')?.problem;
    });
    return problem;
  };

  test('an expired one is told with its file and the day', async () => {
    const expired = await selfSigned('-not_before', '20200101000000Z', '-not_after', '20210203040506Z');
    await swap('server.crt', expired, async () => {
      const problem = await problemOfCp1();
      expect(problem).toMatchObject({ code: 'etcd.tls' });
      expect(problem?.message).toContain(`${PKI}/server.crt on cp1 expired on 2021-02-03T04:05:06.000Z`);
    });
  });

  test('a CA that is not that of etcd is told with its file', async () => {
    const other = await selfSigned('-days', '2');
    await swap('ca.crt', other, async () => {
      const problem = await problemOfCp1();
      expect(problem).toMatchObject({ code: 'etcd.tls' });
      expect(problem?.message).toContain(`${PKI}/ca.crt`);
    });
  });

  test('a key that only root may read is asked for as root, and no error ever shows it', async () => {
    await swap('server.key', 'planted-secret\n', async () => {
      const problem = await problemOfCp1();
      expect(problem).toBeDefined();
      expect(JSON.stringify(problem)).not.toContain('planted-secret');
    });
  });
});

describe('a snapshot that breaks off', () => {
  const slow = { rateLimit: 500_000 };

  test.each([
    ['is cut', 'cut', 'ssh.lost'],
    ['falls silent', 'silence', 'ssh.lost'],
  ] as const)('because the link %s ends with an error', async (_, how, code) => {
    const link = await startLink({ host: cp2.address, port: 22 });
    const spec = { ...specOf(env, cp2, { port: link.port }), address: '127.0.0.1' };
    await withSession({ ...clusterOf(env, newer), nodes: [spec] }, async (session) => {
      const stream = await session.openSnapshot(memberOn(await session.status(), 'cp2'), reading(slow));
      const read = readAll(stream);
      setTimeout(() => link[how](), 300);
      await expect(read).rejects.toMatchObject({ code });
    });
    await link.close();
  });

  test('because etcd stands still ends after the stall timeout', async () => {
    await withSession(clusterOf(env, newer), async (session) => {
      const member = fit(await session.status());
      const node = newer.nodes.find(({ name }) => name === member.node) as LocalNodeEnv;
      const stream = await session.openSnapshot(member, reading({ ...slow, stallTimeoutMs: 1_000 }));
      const read = readAll(stream);
      setTimeout(() => void asRootOn(node, ['systemctl', 'kill', '--signal=STOP', 'etcd']), 300);
      try {
        await expect(read).rejects.toMatchObject({ code: 'etcd.stalled' });
      } finally {
        await asRootOn(node, ['systemctl', 'kill', '--signal=CONT', 'etcd']);
      }
    });
  });

  test('because etcd dies ends as broken', async () => {
    await withSession(clusterOf(env, newer), async (session) => {
      const member = fit(await session.status());
      const node = newer.nodes.find(({ name }) => name === member.node) as LocalNodeEnv;
      const read = readAll(await session.openSnapshot(member, reading(slow)));
      setTimeout(() => void asRootOn(node, ['systemctl', 'kill', '--signal=KILL', 'etcd']), 300);
      await expect(read).rejects.toMatchObject({ code: 'etcd.stream-broken' });
    });
    await healthy(cp1);
  });
});

describe.each([newer, older])('without forwarding, etcd $etcdVersion', (cluster) => {
  const node = cluster.nodes[0] as LocalNodeEnv;
  const port = 2203;
  const sudoers = '/etc/sudoers.d/keyturn-etcdctl';
  const tls = { caFile: `${PKI}/ca.crt`, certFile: `${PKI}/server.crt`, keyFile: `${PKI}/server.key` };
  const access = { endpoint: { host: '127.0.0.1', port: 2379, secure: true }, tls };
  const spec: ClusterSpec = { ...clusterOf(env, cluster), nodes: [specOf(env, node, { port })] };

  beforeAll(async () => {
    const options = ['AllowTcpForwarding=no', 'UsePAM=yes', `Port=${port}`, 'HostKey=/etc/ssh/ssh_host_ed25519_key'];
    const settings = [...options, 'PidFile=/run/sshd-no-forward.pid'].flatMap((option) => ['-o', option]);
    await asRootOn(node, ['/usr/sbin/sshd', '-f', '/dev/null', ...settings]);
    await writeOn(node, sudoers, etcdctlSudoers(env.ssh.user, access), '440');
    await asRootOn(node, ['visudo', '-c', '-f', sudoers]);
  });
  afterAll(async () => {
    await asRootOn(node, ['sh', '-c', 'kill "$(cat /run/sshd-no-forward.pid)"']);
    await asRootOn(node, ['rm', '-f', sudoers]);
  });

  test('a snapshot comes through a FIFO: whole, accepted by etcd, with the reason, and nothing is left', async () => {
    await withSession(spec, async (session) => {
      const member = memberOn(await session.status(), node.name);
      const { keys } = await session.countKeys(member);
      const stream = await session.openSnapshot(member, reading());
      expect(stream.source).toBe('etcdctl');
      expect(stream.fallbackReason).toContain('does not allow forwarding');
      const snapshot = await readAll(stream);
      expectWholeSnapshot(snapshot);
      expect((await snapshotStatus(node, snapshot)).totalKey).toBeGreaterThanOrEqual(Number(keys));
    });
    await expect.poll(() => leftovers(node)).toBe('');
  });

  test('status and keys are the same either way', async () => {
    const direct: ClusterSpec = { ...spec, nodes: [specOf(env, node)] };
    const seen: unknown[] = [];
    for (const way of [direct, spec]) {
      await withSession(way, async (session) => {
        const status = await session.status();
        const { id, name, version, dbSize, isLeader, isLearner, peerUrls, clientUrls } = memberOn(status, node.name);
        const { keys } = await session.countKeys(memberOn(status, node.name));
        const { clusterId, leader } = status;
        seen.push({ clusterId, leader, id, name, version, dbSize, isLeader, isLearner, peerUrls, clientUrls, keys });
      });
    }
    expect(seen[1]).toEqual(seen[0]);
  });

  test('a hash is the same either way, with no more right than restores need anyhow', async () => {
    const direct: ClusterSpec = { ...spec, nodes: [specOf(env, node)] };
    const hashes: number[] = [];
    for (const way of [direct, spec]) {
      await withSession(way, async (session) => {
        const member = memberOn(await session.status(), node.name);
        hashes.push(await session.hashAt(member, member.revision));
        await expect(session.hashAt(member, member.revision + 1_000_000n)).rejects.toMatchObject({
          code: 'etcd.unreachable',
          message: expect.stringContaining('future revision') as string,
        });
      });
    }
    expect(hashes[1]).toBe(hashes[0]);
  });

  test('a rate limit holds it back, and one that is closed early leaves nothing', async () => {
    await withSession(spec, async (session) => {
      const member = memberOn(await session.status(), node.name);
      const stream = await session.openSnapshot(member, reading({ rateLimit: 500_000 }));
      setTimeout(() => stream.close(), 500);
      await expect(readAll(stream)).rejects.toMatchObject({ code: 'etcd.stream-broken' });
    });
    await expect.poll(() => leftovers(node), { timeout: 5_000 }).toBe('');
  });

  test('a save that fails is an error, and leaves nothing', async () => {
    await withSession(spec, async (session) => {
      const member = memberOn(await session.status(), node.name);
      await asRootOn(node, ['systemctl', 'stop', 'etcd']);
      try {
        const read = session.openSnapshot(member, reading({ stallTimeoutMs: 2_000 })).then(readAll);
        await expect(read).rejects.toMatchObject({ code: expect.stringMatching(/^etcd\./) as string });
      } finally {
        await asRootOn(node, ['systemctl', 'start', 'etcd']);
      }
    });
    await expect.poll(() => leftovers(node), { timeout: 5_000 }).toBe('');
  });

  test('a sudoers line that is missing is told so that it fits every time', async () => {
    const all = etcdctlSudoers(env.ssh.user, access).split('\n');
    const save = all.find((line) => line.includes('snapshot save')) ?? '';
    await writeOn(node, sudoers, `${all.filter((line) => line !== save).join('\n')}\n`, '440');
    try {
      await withSession(spec, async (session) => {
        const read = session.openSnapshot(memberOn(await session.status(), node.name), reading()).then(readAll);
        await expect(read).rejects.toMatchObject({
          code: 'node.sudo-denied',
          hint: expect.stringContaining(save) as string,
        });
      });
    } finally {
      await writeOn(node, sudoers, all.join('\n'), '440');
    }
  });
});

async function withSession(cluster: ClusterSpec, use: (session: EtcdSession) => Promise<void>): Promise<void> {
  const session = await client.open(cluster);
  try {
    await use(session);
  } finally {
    await session.close();
  }
}

function fit(status: ClusterStatus): MemberStatus {
  const member = pickMember(status);
  if (member === undefined) throw new Error('No member is fit to be read.');
  return member;
}

function memberOn(status: ClusterStatus, node: string): MemberStatus {
  const member = status.members.find((candidate) => candidate.node === node);
  if (member === undefined) throw new Error(`No member is on ${node}.`);
  return member;
}

/** What etcd's own tool says of a snapshot; throws when it does not accept it. */
async function snapshotStatus(node: LocalNodeEnv, snapshot: Buffer): Promise<{ totalKey: number; revision: number }> {
  const file = join(folder, 'check.db');
  await writeFile(file, snapshot);
  const path = '/root/check.db';
  await asRootOn(node, ['sh', '-c', 'base64 -d > "$1"', 'sh', path], snapshot.toString('base64'));
  const printed = await asRootOn(node, ['etcdctl', 'snapshot', 'status', path, '--write-out=json']);
  await asRootOn(node, ['rm', '-f', path]);
  return JSON.parse(printed) as { totalKey: number; revision: number };
}

function leftovers(node: LocalNodeEnv): Promise<string> {
  return asRootOn(node, [
    'sh',
    '-c',
    'ls -d /tmp/keyturn-* 2>/dev/null; pgrep -af "[s]napshot save|[x].db.part"; true',
  ]);
}
