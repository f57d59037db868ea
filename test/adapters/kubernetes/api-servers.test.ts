import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { apiServers } from '../../../src/adapters/kubernetes/api-servers.ts';
import { KeyturnError } from '../../../src/domain/error.ts';
import type { ApiServerLook, ExecResult, NodeConnection, NodeSteps } from '../../../src/ports.ts';
import { nodeSpec } from '../../support/specs.ts';
import { ca, clientCert, clientKey, otherCa, serverCert, serverKey } from './certificates.ts';

type Rights = 'nobody' | 'admin';
type Reply = { readonly status?: number; readonly body?: string | object } | 'hangs';
type Answering = (path: string, as: Rights) => Reply;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A server that answers as it is told, and what it was asked, as `who path`. */
async function server(answering: Answering): Promise<{ readonly port: number; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const tls = { cert: serverCert, key: serverKey, ca, requestCert: true, rejectUnauthorized: false };
  const listening = https.createServer(tls, (request, response) => {
    const isAdmin = (request.socket as TLSSocket).authorized || request.headers.authorization === 'Bearer t0ken';
    const [who, path] = [isAdmin ? 'admin' : 'nobody', request.url ?? ''] as const;
    asked.push(`${who} ${path}`);
    const reply = answering(path, who);
    if (reply === 'hangs') return;
    const { status = 200, body = '' } = reply;
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((listens) => listening.listen(0, '127.0.0.1', listens));
  ends.push(
    () => listening.close(),
    () => listening.closeAllConnections(),
  );
  return { port: (listening.address() as AddressInfo).port, asked };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const CERTIFICATE = { 'client-certificate-data': base64(clientCert), 'client-key-data': base64(clientKey) };

function kubeconfig(
  user: object = CERTIFICATE,
  cluster: object = { 'certificate-authority-data': base64(ca) },
): string {
  return JSON.stringify({
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://192.0.2.10:6443', ...cluster } }],
    users: [{ name: 'u', user }],
  });
}

interface Circumstances {
  readonly configs?: readonly string[];
  readonly bind?: string;
  readonly tunnel?: NodeConnection['tunnel'];
  readonly signal?: AbortSignal;
  readonly ended?: Partial<ExecResult>;
}

function look(port: number, { configs = [], bind, tunnel, signal, ended }: Circumstances = {}): Promise<ApiServerLook> {
  const connection = {
    node: nodeSpec('cp1'),
    tunnel: tunnel ?? (async (_host, to) => net.connect(to, '127.0.0.1')),
  } as NodeConnection;
  const lines = [...(bind === undefined ? [] : [`bind ${bind}`]), ...configs.map((text) => `config ${base64(text)}`)];
  const stdout = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const ask: NodeSteps['ask'] = async () => ({ code: 0, signal: undefined, stdout, stderr: '', ...ended });
  return apiServers().look(connection, { port, ask, signal: signal ?? new AbortController().signal });
}

const node = (status: string): object => ({ status: { conditions: [{ type: 'Ready', status }] } });
const pod = (phase: string, ...ready: boolean[]): object => ({
  spec: { containers: ready.map(() => ({})) },
  status: { phase, containerStatuses: ready.map((each) => ({ ready: each })) },
});

/** Ready, with two pages of nodes; only an administrator may list. */
const healthy: Answering = (path, as) => {
  if (path === '/readyz') return { body: 'ok' };
  if (as === 'nobody') return { status: 403 };
  const { pathname, searchParams } = new URL(path, 'https://x');
  if (pathname === '/api/v1/nodes') {
    return searchParams.get('continue') === 'a=b'
      ? { body: { items: [node('Unknown')] } }
      : { body: { metadata: { continue: 'a=b' }, items: [node('True'), node('True')] } };
  }
  const items = [pod('Running', true, true), pod('Running', true, false), pod('Pending'), pod('Succeeded', false)];
  return { body: { metadata: {}, items } };
};

describe('with an administrator’s kubeconfig', () => {
  test.each([
    ['a certificate', CERTIFICATE],
    ['a token', { token: 't0ken' }],
  ])('by %s: /readyz, nodes over all pages, and pods that should run are told', async (_, user) => {
    const { port, asked } = await server(healthy);
    expect(await look(port, { configs: [kubeconfig(user)] })).toEqual({
      ready: true,
      detail: '/readyz says ok.',
      nodes: { ready: 2, total: 3 },
      systemPods: { ready: 1, total: 3 },
    });
    expect([...asked].sort()).toEqual([
      'admin /api/v1/namespaces/kube-system/pods?limit=100',
      'admin /api/v1/nodes?limit=100',
      'admin /api/v1/nodes?limit=100&continue=a%3Db',
      'admin /readyz',
    ]);
  });

  test('whose certificate counts no more, it is asked as nobody, and nothing is counted', async () => {
    const { port, asked } = await server((path, as) =>
      path === '/readyz' && as === 'nobody' ? { body: 'ok' } : { status: 401 },
    );
    expect(await look(port, { configs: [kubeconfig()] })).toMatchObject({ ready: true, nodes: undefined });
    expect(asked.slice(0, 2)).toEqual(['admin /readyz', 'nobody /readyz']);
  });

  test('of which the first may not list, the second is taken', async () => {
    const { port } = await server(healthy);
    const { nodes } = await look(port, { configs: [kubeconfig({ token: 'other' }), kubeconfig()] });
    expect(nodes).toEqual({ ready: 2, total: 3 });
  });

  test('the server must be of its CA', async () => {
    const { port, asked } = await server(healthy);
    const other = kubeconfig(CERTIFICATE, { 'certificate-authority-data': base64(otherCa) });
    const told = await look(port, { configs: [other] });
    expect(told).toMatchObject({ ready: false, nodes: undefined });
    expect(told.detail).toMatch(/certificate|signature/);
    expect(asked).toEqual([]);
  });

  test.each([
    ['that points to files', kubeconfig({ 'client-certificate': '/x', 'client-key': '/y' })],
    ['that runs a program', kubeconfig({ exec: { apiVersion: 'v1', command: 'false' } })],
    ['without a CA', kubeconfig(CERTIFICATE, {})],
    ['that is none', 'a: ['],
    ['that is empty', ''],
  ])('one %s is none', async (_, text) => {
    const { port, asked } = await server(healthy);
    expect(await look(port, { configs: [text] })).toMatchObject({ ready: true, nodes: undefined });
    expect(asked).toEqual(['nobody /readyz']);
  });

  test.each([
    ['with an error', { status: 500, body: 'oops' }, 'HTTP status 500'],
    ['with no JSON', { body: '<html>' }, 'not answered with JSON'],
  ])('a list that is answered %s is not counted, and that is told', async (_, reply, detail) => {
    const { port } = await server((path) => (path === '/readyz' ? { body: 'ok' } : reply));
    const told = await look(port, { configs: [kubeconfig()] });
    expect(told).toMatchObject({ ready: true, nodes: undefined, systemPods: undefined });
    expect(told.detail).toContain(detail);
  });

  test('a list without an end is given up', async () => {
    const { port, asked } = await server((path) =>
      path === '/readyz' ? { body: 'ok' } : { body: { metadata: { continue: 'again' }, items: [] } },
    );
    expect((await look(port, { configs: [kubeconfig()] })).detail).toContain('more than 5000 objects');
    expect(asked.length).toBeLessThan(120);
  });
});

describe('without a kubeconfig', () => {
  test('/readyz alone is asked', async () => {
    const { port, asked } = await server(healthy);
    const told = { ready: true, detail: '/readyz says ok.', nodes: undefined, systemPods: undefined };
    expect(await look(port)).toEqual(told);
    expect(asked).toEqual(['nobody /readyz']);
  });

  test.each([401, 403])('HTTP status %d tells only that it answers, and it says so', async (status) => {
    const { port } = await server(() => ({ status }));
    const told = await look(port);
    expect(told.ready).toBe(true);
    expect(told.detail).toContain('without rights');
  });

  test('one that is not ready is told with the checks that fail', async () => {
    const body = '[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\nreadyz check failed\n';
    const { port } = await server(() => ({ status: 500, body }));
    expect(await look(port)).toMatchObject({
      ready: false,
      detail: '/readyz says 500: [-]etcd failed: reason withheld',
    });
  });

  test('one that speaks no TLS does not answer', async () => {
    const plain = net.createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((listens) => plain.listen(0, '127.0.0.1', listens));
    ends.push(() => plain.close());
    const told = await look((plain.address() as AddressInfo).port);
    expect(told).toMatchObject({ ready: false, nodes: undefined });
    expect(told.detail).toContain('could not be asked');
  });
});

describe('the way to it', () => {
  test.each([
    ['everywhere', '0.0.0.0', '127.0.0.1'],
    ['on one address', '192.0.2.10', '192.0.2.10'],
  ])('where it listens %s', async (_, bind, expected) => {
    const { port } = await server(healthy);
    const hosts: string[] = [];
    const tunnel: NodeConnection['tunnel'] = async (host, to) => {
      hosts.push(host);
      return net.connect(to, '127.0.0.1');
    };
    await look(port, { bind, tunnel });
    expect(hosts).toEqual([expected]);
  });

  const failing = (code: 'ssh.unreachable' | 'ssh.lost' | 'ssh.forward-refused'): NodeConnection['tunnel'] => {
    return async () => {
      throw new KeyturnError(code, 'no', { hint: 'none' });
    };
  };

  test('one where nothing listens is a result', async () => {
    expect(await look(6443, { tunnel: failing('ssh.unreachable') })).toMatchObject({
      ready: false,
      detail: 'Nothing answers on port 6443.',
    });
  });

  test.each(['ssh.lost', 'ssh.forward-refused'] as const)('%s is an error', async (code) => {
    await expect(look(6443, { tunnel: failing(code) })).rejects.toMatchObject({ code });
  });

  test('a connection that breaks is an error, of the kind that SSH says', async () => {
    const { port } = await server(() => 'hangs');
    const tunnel: NodeConnection['tunnel'] = async (_host, to) => {
      const socket = net.connect(to, '127.0.0.1');
      setTimeout(() => socket.destroy(new KeyturnError('ssh.lost', 'broken', { hint: 'none' })), 100);
      return socket;
    };
    await expect(look(port, { tunnel })).rejects.toMatchObject({ code: 'ssh.lost' });
  });

  test("one that hangs ends with the signal's reason", async () => {
    const { port } = await server(() => 'hangs');
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 100);
    await expect(look(port, { signal: controller.signal })).rejects.toThrow('enough');
  });

  test('a node that does not carry out the look is an error', async () => {
    await expect(look(6443, { ended: { code: 127, stderr: 'sh: base64: not found' } })).rejects.toMatchObject({
      code: 'node.command-failed',
      message: expect.stringContaining('base64: not found') as string,
    });
  });
});
