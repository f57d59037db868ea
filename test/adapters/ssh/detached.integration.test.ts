/** Steps on a real node: real sshd, sudo and systemd, its power and its disk. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { detachedSteps, stepSudoers } from '../../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../../src/adapters/ssh/shell.ts';
import type { NodeConnection, NodeSteps } from '../../../src/ports.ts';
import { stepRunnerContract } from '../../contracts/step-runner.ts';
import { control } from '../../support/control.ts';
import { startLink } from '../../support/link.ts';
import { asRootOn, localCluster, localEnv, specOf, writeOn } from '../../support/local-env.ts';

const env = localEnv();
const cluster = localCluster(env, '3.5');
const [cp1] = cluster.nodes as [(typeof cluster.nodes)[number]];
const shell = sshShell({ bastions: [], connectTimeoutMs: 5_000, keepaliveMs: 500 });
/** On every local node. */
const RULES = '/etc/sudoers.d/keyturn-steps';
const BASE = '/var/lib/keyturn-test';
const MINUTE = { deadlineMs: 60_000 };
let connection: NodeConnection;

beforeEach(async () => {
  connection = await shell.connect(specOf(env, cp1));
});
afterEach(async () => {
  await connection.close();
  // Lazily: a keeper may just be writing down how its step has ended.
  await asRootOn(cp1, ['sh', '-c', `! mountpoint -q ${BASE} || umount -l ${BASE}; rm -rf ${BASE}`]);
});

stepRunnerContract('detached steps on a real node', async () => {
  const runner = detachedSteps({ base: BASE });
  return {
    on: (restore) => runner.on(connection, restore),
    scripts: { prints: 'echo one; echo two >&2', fails: 'echo no >&2; exit 7', hangs: 'echo up; sleep 30' },
    folder: `${BASE}/data`,
    close: async () => undefined,
  };
});

function steps(by = connection, token = 1): NodeSteps {
  return detachedSteps({ base: BASE }).on(by, { cluster: 'prod', request: 'r-1', token });
}

async function another<T>(use: (steps: NodeSteps, connection: NodeConnection) => Promise<T>): Promise<T> {
  const own = await shell.connect(specOf(env, cp1));
  try {
    return await use(steps(own), own);
  } finally {
    await own.close();
  }
}

describe('a step outlives whoever began it', () => {
  test('it runs as root in a scope of its own, and goes on when the login has ended', async () => {
    const script = 'id -un; sleep 1; cat /proc/self/cgroup; systemctl is-system-running >/dev/null; echo end';
    await another((own) => own.start('s', script, MINUTE));
    await steps().look('s', { waitMs: 10_000, offset: Number.MAX_SAFE_INTEGER });
    const { state, output } = await steps().look('s');
    expect(state).toMatchObject({ kind: 'done', code: 0 });
    expect(output.toString()).toMatch(/^root\n[^]*keyturn-r-1-s-\d+\.scope[^]*end\n$/);
    expect((await asRootOn(cp1, ['stat', '-c', '%U %a', `${BASE}/r-1/s`])).trim()).toBe('root 700');
  });

  test('it goes on when the connection breaks in the middle of beginning it, and never runs twice', async () => {
    const script = `echo ran >> ${BASE}/ran; sleep 0.5`;
    for (const [i, ms] of [5, 20, 40, 60, 90, 130].entries()) {
      const link = await startLink({ host: cp1.address, port: 22 });
      const by = await shell.connect({ ...specOf(env, cp1, { port: link.port }), address: '127.0.0.1' });
      setTimeout(() => link.cut(), ms);
      await steps(by)
        .start(`s${i}`, script, MINUTE)
        .catch(() => undefined);
      await by.close();
      await link.close();
      await steps().start(`s${i}`, script, MINUTE);
      const { state } = await steps().look(`s${i}`, { waitMs: 10_000, offset: Number.MAX_SAFE_INTEGER });
      expect(state).toMatchObject({ kind: 'done', code: 0 });
      const ran = await asRootOn(cp1, ['cat', `${BASE}/ran`]);
      expect(ran.trim().split('\n')).toHaveLength(i + 1);
    }
  });

  test('it has vanished when the node lost its power, and its record tells so', async () => {
    // The machine with sshd alone: no other test runs commands in it by the namespaces of its first start.
    const { bastion } = cluster;
    if (bastion === undefined) throw new Error('The local cluster has no bastion.');
    const machine = control(env.controlSocket).node(cluster.name, bastion.name);
    const onBastion = async <T>(use: (own: NodeSteps) => Promise<T>): Promise<T> => {
      const by = await shell.connect(specOf(env, bastion));
      return use(steps(by)).finally(() => by.close());
    };
    await machine.write(RULES, stepSudoers(env.ssh.user), 0o440);
    await onBastion((own) => own.start('s', 'sleep 60', MINUTE));
    await machine.kill();
    await machine.start();
    const { state } = await onBastion((own) => own.look('s'));
    expect(state).toMatchObject({ kind: 'vanished', why: 'rebooted' });
    const again = await onBastion((own) => own.start('s', 'sleep 60', MINUTE));
    expect(again.state.kind).toBe('vanished');
    await machine.exec(['rm', '-rf', BASE, RULES]);
  });
});

describe('what stands in the way is told', () => {
  test('without its line in sudoers nothing is begun, and the line is told', async () => {
    await asRootOn(cp1, ['rm', RULES]);
    try {
      await expect(steps().start('s', 'true', MINUTE)).rejects.toMatchObject({
        code: 'node.sudo-denied',
        hint: expect.stringMatching(/NOPASSWD: \/\S*\/sh -c read\\ -r\\ n/) as string,
      });
    } finally {
      await writeOn(cp1, RULES, stepSudoers(env.ssh.user), '440');
    }
  });

  test('that line lets no other script through', async () => {
    for (const argv of [['sh', '-c', 'id'], ['id'], ['sh', '-c', 'read -r n', 'keyturn-step']]) {
      await expect(connection.exec(argv, { asRoot: true })).rejects.toMatchObject({ code: 'node.sudo-denied' });
    }
  });

  test('a full disk begins no step and takes no file', async () => {
    await smallDisk();
    await asRootOn(cp1, ['sh', '-c', `cat /dev/zero > ${BASE}/fill || true`]);
    await expect(steps().start('s', 'true', MINUTE)).rejects.toMatchObject({ code: 'node.disk-full' });
    await asRootOn(cp1, ['rm', `${BASE}/fill`]);
    expect((await steps().start('s', 'true', MINUTE)).state.kind).not.toBe('not-started');
  });

  test('a step that fills the disk itself is still told as ended, with its code', async () => {
    await smallDisk();
    await steps().start('s', `cat /dev/zero > ${BASE}/fill; echo lost; exit 9`, MINUTE);
    const { state } = await steps().look('s', { waitMs: 10_000, offset: Number.MAX_SAFE_INTEGER });
    expect(state).toMatchObject({ kind: 'done', endedBy: 'itself' });
  });

  const smallDisk = async (): Promise<void> => {
    await asRootOn(cp1, ['mkdir', '-p', BASE]);
    await asRootOn(cp1, ['mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', BASE]);
  };
});

describe('a file of some size', () => {
  const bytes = Buffer.alloc(50_000_000, 'keyturn');
  const file = {
    path: `${BASE}/data/x.db`,
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
  const { signal } = new AbortController();
  const inPieces = async function* (onPiece?: (at: number) => void): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 1_000_000) {
      onPiece?.(at);
      yield bytes.subarray(at, at + 1_000_000);
    }
  };

  test('arrives whole', async () => {
    expect(await steps().fetch(file, () => inPieces(), { signal })).toBe('fetched');
    expect(await asRootOn(cp1, ['sha256sum', file.path])).toContain(file.sha256);
  });

  test('a connection that breaks on the way leaves nothing, and the next try starts anew', async () => {
    const link = await startLink({ host: cp1.address, port: 22 });
    const by = await shell.connect({ ...specOf(env, cp1, { port: link.port }), address: '127.0.0.1' });
    const cutOnTheWay = (at: number): void => {
      if (at === 20_000_000) link.cut();
    };
    const broken = steps(by).fetch(file, () => inPieces(cutOnTheWay), { signal });
    await expect(broken).rejects.toMatchObject({ code: 'ssh.lost' });
    await by.close();
    await link.close();
    await vi.waitFor(async () => expect((await asRootOn(cp1, ['ls', `${BASE}/data`])).trim()).toBe(''), 10_000);
    expect(await steps().fetch(file, () => inPieces(), { signal })).toBe('fetched');
    await sleep(100);
    expect((await asRootOn(cp1, ['ls', `${BASE}/data`])).trim()).toBe('x.db');
  });
});
