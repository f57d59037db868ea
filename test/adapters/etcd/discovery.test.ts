import { describe, expect, test } from 'vitest';
import { findEtcd, MANIFEST } from '../../../src/adapters/etcd/discovery.ts';
import type { FoundEtcd } from '../../../src/adapters/etcd/discovery.ts';
import { KeyturnError } from '../../../src/domain/error.ts';
import type { NodeConnection } from '../../../src/ports.ts';
import { fakeNodes } from '../../fakes/node-shell.ts';
import type { FakeCommand } from '../../fakes/node-shell.ts';
import { nodeSpec } from '../../support/specs.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const nul = (...parts: string[]): string => parts.map((part) => `${part}\0`).join('');
const SYSTEMD = '0::/system.slice/etcd.service\n';

/** A node that prints `look` for the look around, and has these files: `asRoot` only for root. */
function node(
  look: string,
  files: Readonly<Record<string, string>> = {},
  asRoot: Readonly<Record<string, string>> = {},
): FakeCommand {
  return (argv, options) => {
    if (argv[0] === 'cat' && options.asRoot === true) {
      const content = asRoot[argv[1] ?? ''];
      if (content === undefined) throw new KeyturnError('node.sudo-denied', 'not allowed', { hint: 'allow it' });
      return content === '(missing)'
        ? { code: 1, stderr: `cat: ${argv[1] ?? ''}: No such file or directory\n` }
        : { stdout: content };
    }
    if (argv.length === 3) return { stdout: look };
    const line = (path: string): string => (files[path] === undefined ? '\n' : `+${base64(files[path])}\n`);
    return { stdout: argv.slice(4).map(line).join('') };
  };
}

async function find(run: FakeCommand): Promise<FoundEtcd> {
  const connection: NodeConnection = await fakeNodes({ cp1: { run } }).connect(nodeSpec('cp1'));
  return findEtcd(connection);
}

const running = (argv: string[], environ?: string, cgroup = SYSTEMD): string =>
  [
    `cmdline 7 ${base64(nul(...argv))}`,
    `cgroup 7 ${base64(cgroup)}`,
    ...(environ === undefined ? [] : [`environ 7 ${base64(environ)}`]),
    '',
  ].join('\n');

describe('a running etcd', () => {
  test('is read off its process alone where the login may read all', async () => {
    const { etcd, asksForCertificate } = await find(node(running(['etcd', '--name=a'], nul('ETCD_DATA_DIR=/d'))));
    expect(etcd).toMatchObject({ node: 'cp1', pid: 7, memberName: 'a', dataDir: '/d', tls: undefined });
    expect(etcd.supervisor).toEqual({ kind: 'systemd', unit: 'etcd.service' });
    expect(asksForCertificate).toBe(false);
  });

  test('has its environment read as root where the login may not', async () => {
    const run = node(running(['/usr/bin/etcd']), {}, { '/proc/7/environ': nul('ETCD_NAME=b') });
    expect((await find(run)).etcd.memberName).toBe('b');
  });

  test('needs no environment that sudo does not allow, when its command line says where it listens', async () => {
    const argv = ['etcd', '--name=c', '--listen-client-urls=https://127.0.0.1:2379'];
    expect((await find(node(running(argv)))).etcd.memberName).toBe('c');
    await expect(find(node(running(['etcd', '--name=c'])))).rejects.toMatchObject({ code: 'node.sudo-denied' });
  });

  test('is the server, not a gateway beside it', async () => {
    const gateway = `cmdline 3 ${base64(nul('etcd', 'gateway', 'start'))}\ncgroup 3 ${base64(SYSTEMD)}\n`;
    expect((await find(node(gateway + running(['etcd'], nul('A=b'))))).etcd.pid).toBe(7);
  });

  test('in a pod is a static pod of its manifest', async () => {
    const run = node(running(['etcd'], nul('A=b'), '0::/kubepods/burstable/pod1/2\n'));
    expect((await find(run)).etcd.supervisor).toEqual({ kind: 'static-pod', manifest: MANIFEST });
  });

  test('with a configuration file is as that file says', async () => {
    const yaml = 'name: d\nclient-transport-security:\n  cert-file: /c\n  key-file: /k\n  trusted-ca-file: /ca\n';
    const run = node(running(['etcd', '--config-file=/etc/etcd.yml'], nul('A=b')), { '/etc/etcd.yml': yaml });
    const { etcd, asksForCertificate } = await find(run);
    expect(etcd).toMatchObject({ memberName: 'd', tls: { caFile: '/ca', certFile: '/c', keyFile: '/k' } });
    expect(asksForCertificate).toBe(true);
  });
});

describe('a stopped etcd', () => {
  test('is read off the manifest of its static pod, as root', async () => {
    const manifest =
      'spec:\n  containers:\n  - command: [etcd, --name=e, --data-dir=/d]\n    env: [{name: ETCD_WAL_DIR, value: /w}]\n';
    const look = `manifest 1 ${base64(MANIFEST)}\nunit - \n`;
    const { etcd } = await find(node(look, {}, { [MANIFEST]: manifest }));
    expect(etcd).toMatchObject({ pid: undefined, memberName: 'e', dataDir: '/d', walDir: '/w' });
    expect(etcd.supervisor).toEqual({ kind: 'static-pod', manifest: MANIFEST });
  });

  const unit = (...lines: string[]): string => `unit - ${base64(lines.join('\n'))}\n`;
  const exec = 'ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --name=f ; ignore_errors=no ; pid=0 }';

  test('is read off its unit and the environment files that are there', async () => {
    const look = unit(
      'LoadState=loaded',
      'WantedBy=multi-user.target',
      exec,
      'Environment=ETCD_DATA_DIR=/d',
      'EnvironmentFiles=/etc/default/etcd (ignore_errors=yes)',
      'EnvironmentFiles=/etc/etcd.env (ignore_errors=no)',
    );
    const run = node(look, { '/etc/etcd.env': 'ETCD_WAL_DIR=/w\n' }, { '/etc/default/etcd': '(missing)' });
    const { etcd } = await find(run);
    expect(etcd).toMatchObject({ pid: undefined, memberName: 'f', dataDir: '/d', walDir: '/w' });
    expect(etcd.supervisor).toEqual({ kind: 'systemd', unit: 'etcd.service' });
  });

  test('that nothing starts is none', async () => {
    await expect(find(node(unit('LoadState=loaded', 'WantedBy=', 'RequiredBy=', exec)))).rejects.toMatchObject({
      code: 'node.etcd-not-found',
    });
    await expect(find(node(unit('LoadState=not-found')))).rejects.toMatchObject({ code: 'node.etcd-not-found' });
  });
});
