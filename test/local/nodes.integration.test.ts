import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cloneDir } from '../../deploy/local/parts/host.ts';
import { startNodes, type LocalCluster, type LocalNode, type LocalNodes } from '../../deploy/local/nodes/nodes.ts';

let work: string;
let nodes: LocalNodes;
let newer: LocalCluster;
let older: LocalCluster;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'keyturn-nodes-'));
  nodes = await startNodes({
    instanceDir: join(work, 'main'),
    clusters: [
      { name: 'newer', etcdVersion: '3.5', nodes: ['cp1', 'cp2', 'cp3'] },
      { name: 'older', etcdVersion: '3.4', nodes: ['cp1'], settings: 'environment', bastion: true },
    ],
  });
  newer = nodes.cluster('newer');
  older = nodes.cluster('older');
}, 180_000);

afterAll(async () => {
  await nodes.stop();
  expect(await tracesOf(nodes.instanceDir)).toEqual([]);
  await rm(work, { recursive: true });
});

test('both versions of etcd run under systemd, and are healthy', async () => {
  for (const [cluster, version] of [
    [newer, /^3\.5\./],
    [older, /^3\.4\./],
  ] as const) {
    const status = JSON.parse(await cluster.etcdctl(['endpoint', 'status', '-w', 'json'])) as {
      Status: { version: string };
    }[];
    expect(status).toHaveLength(cluster.nodes.length);
    for (const { Status } of status) expect(Status.version).toMatch(version);
    for (const node of cluster.nodes) expect(await said(node, ['systemctl', 'is-active', 'etcd'])).toBe('active');
  }
});

test('etcd answers nobody without a client certificate', async () => {
  const knock = 'sleep 0.3 | openssl s_client -quiet -connect 127.0.0.1:2379 -CAfile "$0/ca.crt" 2>&1';
  for (const cluster of [newer, older]) {
    expect(await said(cluster.node('cp1'), ['sh', '-c', knock, cluster.tlsDir])).toMatch(
      /certificate required|bad certificate/,
    );
  }
});

test('the SSH user logs in with its key, and the node shows the key that was announced', async () => {
  const output = await ssh(newer.node('cp2'), ['id -un; hostname']);
  expect(output).toEqual({ code: 0, stdout: 'keyturn\ncp2' });
});

test('another host key than the announced one is refused', async () => {
  const output = await ssh(newer.node('cp2'), ['true'], { hostPublicKey: newer.node('cp1').hostPublicKey });
  expect(output.code).toBe(255);
});

test('a node is reached by way of the bastion', async () => {
  const { bastion } = older;
  if (bastion === undefined) throw new Error('no bastion');
  const viaBastion = ['-o', `ProxyCommand=${(await sshArgv(bastion, ['-W', '%h:%p'])).join(' ')}`];
  expect(await ssh(older.node('cp1'), ['hostname'], { options: viaBastion })).toEqual({ code: 0, stdout: 'cp1' });
  expect(await said(bastion, ['systemctl', 'show', '-P', 'ActiveState', 'etcd'])).toBe('inactive');
});

test("sudo lets the SSH user read etcd's certificates, and nothing else", async () => {
  const node = newer.node('cp1');
  const key = await ssh(node, [`sudo -n cat ${newer.tlsDir}/server.key`]);
  expect(key.stdout).toContain('PRIVATE KEY');
  for (const refused of [
    'cat /etc/shadow',
    `cat ${newer.tlsDir}/../../../shadow`,
    `cat ${newer.tlsDir}/server.key /etc/shadow`,
    'sh -c true',
  ]) {
    expect(await ssh(node, [`sudo -n ${refused}`])).toMatchObject({ code: 1, stdout: '' });
  }
});

test('a node that was powered off comes back with its data', async () => {
  const node = newer.node('cp3');
  await newer.etcdctl(['put', 'before', 'power off']);
  await node.stop();
  expect(node.isRunning()).toBe(false);
  await newer.etcdctl(['put', 'meanwhile', 'two of three']);
  await node.start();
  await newer.waitHealthy();
  expect(await newer.etcdctl(['get', '--print-value-only', 'before', 'n'], { node: 'cp3' })).toBe(
    'power off\ntwo of three\n',
  );
});

test('a node whose plug was pulled comes back with its data', async () => {
  await older.etcdctl(['put', 'before', 'kill']);
  await older.node('cp1').kill();
  await older.node('cp1').start();
  await older.waitHealthy();
  expect(await older.etcdctl(['get', '--print-value-only', 'before'])).toBe('kill\n');
});

test('a node without a link answers nobody until it is plugged in again', async () => {
  const node = newer.node('cp1');
  await node.linkDown();
  expect(await answers(node)).toBe(false);
  await node.linkUp();
  expect(await answers(node)).toBe(true);
});

test('packets to one port are dropped until the rule is flushed', async () => {
  const node = newer.node('cp1');
  await node.iptables(['-A', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'DROP']);
  expect(await answers(node)).toBe(false);
  await node.iptables(['-F']);
  expect(await answers(node)).toBe(true);
});

test('a small disk is full when it is full', async () => {
  const node = newer.node('cp2');
  await node.exec(['mkdir', '-p', '/mnt/small']);
  await node.smallDisk('/mnt/small', 1024 * 1024);
  const { code, stderr } = await node.exec(['dd', 'if=/dev/zero', 'of=/mnt/small/file', 'bs=1M', 'count=2']);
  expect(code).toBe(1);
  expect(stderr).toContain('No space left on device');
  await node.exec(['umount', '/mnt/small']);
});

test('an expired certificate is refused until a new one is there', async () => {
  const verify = 'openssl s_client -connect 127.0.0.1:2379 -CAfile "$0/ca.crt" -verify_return_error </dev/null 2>&1';
  const node = older.node('cp1');
  await older.reissue(['server'], new Date(Date.now() - 60_000));
  expect(await said(node, ['sh', '-c', verify, older.tlsDir])).toContain('certificate has expired');
  await older.reissue(['server'], new Date(Date.now() + 3_600_000));
  expect(await said(node, ['sh', '-c', verify, older.tlsDir])).toContain('Verify return code: 0 (ok)');
  await older.waitHealthy();
});

test('two instances run side by side, and one leaves nothing when it stops', async () => {
  const other = await startNodes({
    instanceDir: join(work, 'other'),
    clusters: [{ name: 'newer', etcdVersion: '3.5', nodes: ['cp1'] }],
  });
  try {
    const [ours, theirs] = [newer.node('cp1'), other.cluster('newer').node('cp1')];
    expect(theirs.address).toBe(ours.address);
    await newer.etcdctl(['put', 'whose', 'ours']);
    await other.cluster('newer').etcdctl(['put', 'whose', 'theirs']);
    expect(await newer.etcdctl(['get', '--print-value-only', 'whose'])).toBe('ours\n');
  } finally {
    await other.stop();
  }
  expect(await tracesOf(other.instanceDir)).toEqual([]);
  await newer.waitHealthy();
});

test('a folder that another run uses is refused', async () => {
  const again = startNodes({ instanceDir: nodes.instanceDir, clusters: [] });
  await expect(again).rejects.toThrow('Another run uses');
  expect(newer.node('cp1').isRunning()).toBe(true);
});

test('nothing is left a few seconds after the starter was killed with -9', async () => {
  const dir = join(work, 'killed');
  const starter = await startElsewhere(dir);
  expect(await tracesOf(dir)).not.toEqual([]);
  starter.kill('SIGKILL');
  await expect.poll(() => tracesOf(dir), { timeout: 5_000 }).toEqual([]);
});

test('a run whose supervisor was killed too leaves no process, and the next run clears up the rest', async () => {
  const dir = join(work, 'crashed');
  const starter = await startElsewhere(dir);
  for (const pid of await pidsThatName('supervise.sh', dir)) process.kill(pid, 'SIGKILL');
  starter.kill('SIGKILL');
  await expect.poll(() => pidsThatName(dir), { timeout: 5_000 }).toEqual([]);
  expect(await exists(dir)).toBe(true);
  const next = await startNodes({ instanceDir: dir, clusters: [] });
  await next.stop();
  expect(await tracesOf(dir)).toEqual([]);
});

test('nodes start from within the hub of other nodes, as `ip netns exec` leaves it', async () => {
  const dir = join(work, 'within');
  const within = nodes.imageProgram('usr/bin/ip', ['netns', 'exec', nodes.hub.netns]);
  const starter = await startElsewhere(dir, within);
  const ended = once(starter, 'exit');
  starter.kill('SIGTERM');
  await ended;
  expect(await tracesOf(dir)).toEqual([]);
});

/** One node, started by another process; resolves when it is up. */
async function startElsewhere(dir: string, within: readonly string[] = []): Promise<ChildProcess> {
  const cli = [process.execPath, '--import', 'tsx', 'deploy/local/nodes/cli.ts', 'up', '--dir', dir];
  const [program = '', ...args]: readonly string[] = [...within, ...cli, '--cluster', 'one:3.5:1'];
  const starter = spawn(program, args, { cwd: cloneDir, stdio: ['ignore', 'pipe', 'inherit'] });
  const up = once(starter.stdout, 'data').then(() => true);
  expect(await Promise.race([up, once(starter, 'exit').then(() => false)])).toBe(true);
  return starter;
}

/** Everything of an instance that can be seen on this machine: processes, mounts, names, cgroups, files. */
async function tracesOf(dir: string): Promise<string[]> {
  const found = (await pidsThatName(dir)).map((pid) => `process ${pid}`);
  if (await exists(dir)) found.push(dir);
  for (const pid of await allPids()) {
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '');
    if (mounts.includes(dir)) found.push(`mount seen by ${pid}`);
  }
  const { stdout } = await execa('sh', ['-c', 'printf %s "$0" | sha256sum | cut -c1-6', dir]);
  const name = `keyturn-${stdout}`;
  for (const place of ['/run/netns', '/sys/fs/cgroup', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified']) {
    if ((await readdir(place).catch((): string[] => [])).includes(name)) found.push(join(place, name));
  }
  return found;
}

/** Processes whose command line holds all `words`, this one and its own left out. */
async function pidsThatName(...words: readonly string[]): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await allPids()) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (words.every((word) => line.includes(word))) found.push(pid);
  }
  return found;
}

async function allPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

async function said(node: LocalNode, argv: readonly string[]): Promise<string> {
  return (await node.exec(argv)).stdout.trim();
}

/** Whether an SSH server greets us within a second. */
async function answers(node: LocalNode): Promise<boolean> {
  const greet = ['timeout', '1', 'bash', '-c', 'exec 3<>"/dev/tcp/$0/22"; head -c 4 <&3', node.address];
  const [program, ...args] = nodes.inHub(greet);
  return (await execa(program, args, { reject: false })).stdout === 'SSH-';
}

interface SshSettings {
  readonly hostPublicKey?: string;
  readonly options?: readonly string[];
}

async function ssh(
  node: LocalNode,
  command: readonly string[],
  settings: SshSettings = {},
): Promise<object & { code: number | undefined; stdout: string }> {
  const [program, ...args] = nodes.inHub(await sshArgv(node, settings.options ?? [], settings.hostPublicKey));
  const result = await execa(program, [...args, ...command], { reject: false, stdin: 'ignore' });
  return { code: result.exitCode, stdout: result.stdout };
}

/** OpenSSH's client from the image, with the node's key pinned. */
async function sshArgv(
  node: LocalNode,
  options: readonly string[],
  hostPublicKey = node.hostPublicKey,
): Promise<string[]> {
  const knownHosts = join(work, `known-hosts-${basename(node.address)}`);
  await writeFile(knownHosts, `${node.address} ${hostPublicKey}\n`);
  return nodes.imageProgram('usr/bin/ssh', [
    ...['-F', 'none', '-i', nodes.ssh.keyFile, '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR'],
    ...['-o', `UserKnownHostsFile=${knownHosts}`, '-o', 'StrictHostKeyChecking=yes'],
    ...[...options, `${nodes.ssh.user}@${node.address}`],
  ]);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
