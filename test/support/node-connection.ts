/** Logins on local nodes that go in by their namespaces, as root, without SSH. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import type { LocalNode } from '../../deploy/local/nodes/nodes.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { NodeConnection, NodeShell } from '../../src/ports.ts';

export function enteringShell(nodes: readonly LocalNode[]): NodeShell {
  return {
    async connect(spec) {
      const node = nodes.find(({ name }) => name === spec.name);
      if (node !== undefined) return entered(node, spec);
      throw new KeyturnError('ssh.unreachable', `${spec.name} is no local node.`, { hint: 'Start it.' });
    },
  };
}

export function entered(node: LocalNode, spec: NodeConnection['node']): NodeConnection {
  return {
    node: spec,
    async exec(argv, { input, timeoutMs = 30_000 } = {}) {
      if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) throw notHere();
      const limit = Number.isFinite(timeoutMs) ? { timeoutMs } : {};
      const { code, stdout, stderr } = await node.exec(argv, { ...limit, ...(input === undefined ? {} : { input }) });
      return { code, signal: undefined, stdout: Buffer.from(stdout), stderr };
    },
    spawn: async () => {
      throw notHere();
    },
    tunnel: (host, port) => tunnel(node, host, port),
    close: async () => undefined,
  };
}

function notHere(): TypeError {
  return new TypeError('Streams are not for these tests.');
}

/** Says "+" when it is connected, then hands on both ways. */
const RELAY = `
import os, socket, sys, threading
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    while chunk := os.read(0, 65536):
        there.sendall(chunk)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
out = sys.stdout.buffer
out.write(b"+")
out.flush()
while chunk := there.recv(65536):
    out.write(chunk)
    out.flush()
`;

async function tunnel(node: LocalNode, host: string, port: number): Promise<Duplex> {
  const [program, ...args] = node.inside(['python3', '-c', RELAY, host, String(port)]);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const closed = new AbortController();
  child.once('close', () => closed.abort());
  child.stdin.on('error', () => undefined);
  try {
    await once(child.stdout, 'readable', { signal: closed.signal });
  } catch {
    throw new KeyturnError('ssh.unreachable', `Nothing answers on ${host}:${port}.`, { hint: 'Look there.' });
  }
  if (child.stdout.read(1) === null) {
    throw new KeyturnError('ssh.unreachable', `Nothing answers on ${host}:${port}.`, { hint: 'Look there.' });
  }
  const both = Duplex.from({ readable: child.stdout, writable: child.stdin });
  both.once('close', () => child.kill());
  return both;
}
