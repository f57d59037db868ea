import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NodeSpec } from '../../../src/domain/cluster.ts';
import { KeyturnError } from '../../../src/domain/error.ts';
import { sshShell } from '../../../src/adapters/ssh/shell.ts';
import type { NodeConnection } from '../../../src/ports.ts';
import { nodeShellContract } from '../../contracts/node-shell.ts';
import { startLink } from '../../support/link.ts';
import { asRootOn, localCluster, localEnv, specOf } from '../../support/local-env.ts';
import { startAgent } from '../../support/ssh-agent.ts';

const env = localEnv();
const cluster = localCluster(env, '3.5');
const [cp1, cp2] = cluster.nodes as [(typeof cluster.nodes)[number], (typeof cluster.nodes)[number]];
const shell = sshShell({ bastions: [], connectTimeoutMs: 5_000 });
const PASSWORD = 'correct horse';
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyturn-ssh-'));
  await asRootOn(cp1, ['useradd', '--create-home', '--shell', '/bin/sh', 'guest']);
  await asRootOn(cp1, ['chpasswd'], `guest:${PASSWORD}\n`);
});
afterAll(async () => {
  await asRootOn(cp1, ['userdel', '--remove', '--force', 'guest']);
  await rm(folder, { recursive: true });
});

describe('sshShell on real sshd', () => {
  nodeShellContract(async () => ({
    shell,
    node: specOf(env, cp1),
    nowhere: specOf(env, cp1, { port: 1 }),
  }));
});

describe('host keys', () => {
  test('a host without a configured key is refused, with what it presented', async () => {
    const error = await refused(specOf(env, cp1, { hostKeys: [] }));
    expect(error.code).toBe('ssh.host-key');
    expect(error.message).toContain(`expected key: none configured; presented: ssh-ed25519 ${cp1.hostKey}`);
    expect(error.hint).toContain('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub');
  });

  test('a host with another key than configured is refused, with both fingerprints', async () => {
    const error = await refused(specOf(env, cp1, { hostKeys: [cp2.hostKey] }));
    expect(error.code).toBe('ssh.host-key');
    expect(error.message).toContain(`expected ${cp2.hostKey}; presented: ssh-ed25519 ${cp1.hostKey}`);
  });

  test('one of several configured keys is enough', async () => {
    await works(specOf(env, cp1, { hostKeys: [cp2.hostKey, cp1.hostKey] }));
  });

  test('any of the keys of a host may be the pinned one', async () => {
    const key = '/tmp/second_host_key';
    await asRootOn(cp1, ['ssh-keygen', '-q', '-t', 'ecdsa', '-N', '', '-f', key]);
    const fingerprint = (await asRootOn(cp1, ['ssh-keygen', '-lf', key])).split(' ')[1] ?? '';
    const stop = await startSshd(2201, [`HostKey=/etc/ssh/ssh_host_ed25519_key`, `HostKey=${key}`]);
    try {
      await works(specOf(env, cp1, { port: 2201, hostKeys: [fingerprint] }));
      const error = await refused(specOf(env, cp1, { port: 2201, hostKeys: [cp2.hostKey] }));
      expect(error.message).toContain(`presented: ssh-ed25519 ${cp1.hostKey}, ecdsa-sha2-nistp256 ${fingerprint}`);
    } finally {
      await stop();
    }
  });
});

describe('logging in', () => {
  test('an unknown user is refused, with the user, the key and what to do', async () => {
    const error = await refused(specOf(env, cp1, { user: 'stranger' }));
    expect(error.code).toBe('ssh.auth');
    expect(error.message).toContain('user stranger');
    expect(error.message).toContain(env.ssh.keyFile);
    expect(error.hint).toContain('~stranger/.ssh/authorized_keys');
  });

  test('a password out of a file works, its newline does not count', async () => {
    await works(specOf(env, cp1, { user: 'guest', auth: await password(`${PASSWORD}\n`) }));
  });

  test('a wrong password is refused, and is in no message', async () => {
    const error = await refused(specOf(env, cp1, { user: 'guest', auth: await password('wrong-secret') }));
    expect(error).toMatchObject({ code: 'ssh.auth' });
    expect(`${error.message} ${error.hint} ${String(error.cause)}`).not.toContain('wrong-secret');
  });

  test('a key with a passphrase works with the passphrase, and only with it', async () => {
    const keyFile = join(folder, 'locked');
    const made = '/tmp/locked_key';
    await asRootOn(cp1, ['ssh-keygen', '-q', '-t', 'ed25519', '-N', 'open sesame', '-f', made]);
    await writeFile(keyFile, await asRootOn(cp1, ['cat', made]), { mode: 0o600 });
    const authorized = '/home/guest/.ssh/authorized_keys';
    const authorize = `install -d -o guest -m 700 /home/guest/.ssh && install -o guest -m 600 ${made}.pub ${authorized}`;
    await asRootOn(cp1, ['sh', '-c', authorize]);
    const passphraseFile = join(folder, 'passphrase');
    await writeFile(passphraseFile, 'open sesame\n');
    await works(specOf(env, cp1, { user: 'guest', auth: { kind: 'key', keyFile, passphraseFile } }));
    const error = await refused(specOf(env, cp1, { user: 'guest', auth: { kind: 'key', keyFile } }));
    expect(error).toMatchObject({ code: 'ssh.auth' });
  });

  test('an agent works; one that is not there is told of', async () => {
    const socket = join(folder, 'agent.sock');
    const agent = await startAgent(socket, env.ssh.keyFile);
    try {
      await works(specOf(env, cp1, { auth: { kind: 'agent', socket } }));
    } finally {
      agent.close();
    }
    const error = await refused(specOf(env, cp1, { auth: { kind: 'agent', socket } }));
    expect(error).toMatchObject({ code: 'ssh.auth' });
    expect(error.message).toContain('agent');
  });

  test('a key file that is not there is named', async () => {
    const error = await refused(specOf(env, cp1, { auth: { kind: 'key', keyFile: join(folder, 'none') } }));
    expect(error).toMatchObject({ code: 'ssh.auth' });
    expect(error.message).toContain(join(folder, 'none'));
  });

  test('a host that never speaks is given up in time', async () => {
    const link = await startLink({ host: cp1.address, port: 22 });
    link.silence();
    const impatient = sshShell({ bastions: [], connectTimeoutMs: 300 });
    const spec = { ...specOf(env, cp1, { port: link.port }), address: '127.0.0.1' };
    await expect(impatient.connect(spec)).rejects.toMatchObject({ code: 'ssh.unreachable' });
    await link.close();
  });
});

describe('jump hosts', () => {
  const { bastion } = cluster;
  if (bastion === undefined) throw new Error('The local cluster has no bastion.');
  const jump = { name: 'gate', address: bastion.address, ssh: specOf(env, bastion).ssh };
  const through = sshShell({ bastions: [jump] });

  test('a node behind a jump host is reached, and sees the jump host as its caller', async () => {
    const connection = await through.connect(specOf(env, cp1, { via: 'gate' }));
    const { stdout } = await connection.exec(['sh', '-c', 'echo "$SSH_CONNECTION"']);
    await connection.close();
    expect(stdout.toString()).toMatch(new RegExp(`^${bastion.address} `));
  });

  test('the host key of the jump host is pinned too', async () => {
    const other = sshShell({ bastions: [{ ...jump, ssh: { ...jump.ssh, hostKeys: [cp1.hostKey] } }] });
    const error = await refused(specOf(env, cp1, { via: 'gate' }), other);
    expect(error).toMatchObject({ code: 'ssh.host-key' });
    expect(error.message).toContain('gate');
  });

  test('a node that the jump host can not reach is told of with both names', async () => {
    const error = await refused(specOf(env, cp1, { via: 'gate', port: 1 }), through);
    expect(error).toMatchObject({ code: 'ssh.unreachable' });
    expect(error.message).toMatch(/gate can't connect to/);
  });

  test('a jump host that is not configured, or leads to itself, is a mistake in the configuration', async () => {
    expect(await refused(specOf(env, cp1, { via: 'nowhere' }), through)).toMatchObject({ code: 'config.invalid' });
    const loop = sshShell({ bastions: [{ ...jump, ssh: { ...jump.ssh, via: 'gate' } }] });
    expect(await refused(specOf(env, cp1, { via: 'gate' }), loop)).toMatchObject({ code: 'config.invalid' });
  });
});

describe('commands', () => {
  let connection: NodeConnection;
  beforeAll(async () => {
    connection = await shell.connect(specOf(env, cp1));
  });
  afterAll(() => connection.close());

  test('arguments reach the program as they are, whatever a shell would make of them', async () => {
    const nasty = [
      "it's",
      '$HOME',
      '`id`',
      '$(id)',
      'a;b',
      'a|b',
      '*',
      '\\',
      '"',
      'two words',
      '',
      '-n',
      'line\nbreak',
      'ü',
    ];
    const { stdout } = await connection.exec(['printf', '%s\\0', ...nasty]);
    expect(stdout.toString()).toBe(nasty.map((argument) => `${argument}\0`).join(''));
  });

  test('a command that sudo does not allow is refused with the line that would allow it', async () => {
    const running = connection.exec(['cat', '/etc/shadow', 'a b'], { asRoot: true });
    await expect(running).rejects.toMatchObject({
      code: 'node.sudo-denied',
      hint: expect.stringContaining('keyturn ALL=(root) NOPASSWD: /usr/bin/cat /etc/shadow a\\ b') as string,
    });
  });

  test('a command that sudo allows runs as root', async () => {
    const { code, stdout } = await connection.exec(['cat', '/proc/1/environ'], { asRoot: true });
    expect(code).toBe(0);
    expect(stdout.length).toBeGreaterThan(0);
  });

  test('a command ended by its time leaves no process', async () => {
    await expect(connection.exec(['sleep', '61.25'], { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'node.command-failed',
    });
    await expect.poll(() => processes('sleep 61.25')).toBe(0);
  });

  test('closing a connection leaves no process', async () => {
    const other = await shell.connect(specOf(env, cp1));
    const ended = other.exec(['sleep', '62.25']).catch(() => undefined);
    await expect.poll(() => processes('sleep 62.25')).toBeGreaterThan(0);
    await other.close();
    await ended;
    await expect.poll(() => processes('sleep 62.25')).toBe(0);
  });

  test('output without end is cut off', async () => {
    await expect(connection.exec(['cat', '/dev/zero'])).rejects.toMatchObject({ code: 'node.command-failed' });
  });

  test('a reader that stops holds the command back', async () => {
    const child = await connection.spawn(['cat', '/dev/zero'], { timeoutMs: Number.POSITIVE_INFINITY });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // The window, and what Node reads ahead.
    expect(child.stdout.readableLength).toBeLessThanOrEqual(18 * 1024 * 1024);
    child.kill();
    await child.done;
  });

  test('many commands side by side do not get in each other’s way', async () => {
    const numbers = Array.from({ length: 8 }, (_, i) => String(i));
    const results = await Promise.all(numbers.map((n) => connection.exec(['echo', n])));
    expect(results.map(({ stdout }) => stdout.toString().trim())).toEqual(numbers);
  });
});

describe('a connection that breaks', () => {
  test.each([
    ['is cut', 'cut'],
    ['falls silent', 'silence'],
  ] as const)('tells all that runs over it when it %s', async (_, how) => {
    const link = await startLink({ host: cp1.address, port: 22 });
    const attentive = sshShell({ bastions: [], keepaliveMs: 200 });
    const connection = await attentive.connect({ ...specOf(env, cp1, { port: link.port }), address: '127.0.0.1' });
    const tunnel = await connection.tunnel('127.0.0.1', 22);
    const broken = new Promise((resolve) => tunnel.on('error', resolve));
    const running = connection.exec(['sleep', '3']);
    setTimeout(() => link[how](), 100);
    await expect(running).rejects.toMatchObject({ code: 'ssh.lost' });
    expect(await broken).toMatchObject({ code: 'ssh.lost' });
    await expect(connection.exec(['true'])).rejects.toMatchObject({ code: 'ssh.lost' });
    await connection.close();
    await link.close();
  });

  test('a tunnel that sshd does not allow is refused as such', async () => {
    const stop = await startSshd(2202, ['HostKey=/etc/ssh/ssh_host_ed25519_key', 'AllowTcpForwarding=no']);
    const connection = await shell.connect(specOf(env, cp1, { port: 2202 }));
    try {
      await expect(connection.tunnel('127.0.0.1', 22)).rejects.toMatchObject({
        code: 'ssh.forward-refused',
        hint: expect.stringContaining('AllowTcpForwarding') as string,
      });
    } finally {
      await connection.close();
      await stop();
    }
  });
});

async function refused(spec: NodeSpec, by = shell): Promise<KeyturnError> {
  const error: unknown = await by.connect(spec).then(
    (connection) => connection.close(),
    (reason: unknown) => reason,
  );
  if (error instanceof KeyturnError) return error;
  throw new Error(`It was not refused as it should be: ${String(error)}`);
}

async function works(spec: NodeSpec): Promise<void> {
  const connection = await shell.connect(spec);
  const { stdout } = await connection.exec(['id', '-un']);
  await connection.close();
  expect(stdout.toString().trim()).toBe(spec.ssh.user);
}

async function password(text: string): Promise<NodeSpec['ssh']['auth']> {
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, text);
  expect(await readFile(passwordFile, 'utf8')).toBe(text);
  return { kind: 'password', passwordFile };
}

/** How many processes on the node have this command line. */
async function processes(commandLine: string): Promise<number> {
  const all = await asRootOn(cp1, ['ps', '-eo', 'args']);
  return all.split('\n').filter((line) => line === commandLine).length;
}

/** A second sshd on the node, with settings of its own. */
async function startSshd(port: number, options: readonly string[]): Promise<() => Promise<unknown>> {
  const pidFile = `/run/sshd-${port}.pid`;
  const settings = [`Port=${port}`, `PidFile=${pidFile}`, 'UsePAM=yes', ...options].flatMap((option) => ['-o', option]);
  await asRootOn(cp1, ['/usr/sbin/sshd', '-f', '/dev/null', ...settings]);
  return () => asRootOn(cp1, ['sh', '-c', `kill "$(cat ${pidFile})"`]);
}
