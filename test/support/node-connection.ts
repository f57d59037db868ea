/** Logins on local nodes that go in by their namespaces, as root, without SSH: no tunnel can be had. */
import type { ExecOptions as NodeExecOptions, ExecOutput } from '../../deploy/local/nodes/machine.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { NodeConnection, NodeShell } from '../../src/ports.ts';

export interface EnteredNode {
  readonly name: string;
  exec(argv: readonly string[], options?: NodeExecOptions): Promise<ExecOutput>;
}

export function enteringShell(nodes: readonly EnteredNode[]): NodeShell {
  return {
    async connect(spec) {
      const node = nodes.find(({ name }) => name === spec.name);
      if (node !== undefined) return entered(node, spec);
      throw new KeyturnError('ssh.unreachable', `${spec.name} is no local node.`, { hint: 'Start it.' });
    },
  };
}

function entered(node: EnteredNode, spec: NodeConnection['node']): NodeConnection {
  return {
    node: spec,
    async exec(argv, { input, timeoutMs = 30_000 } = {}) {
      if (input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array)) {
        throw new TypeError('Streams are not for these tests.');
      }
      const limit = Number.isFinite(timeoutMs) ? { timeoutMs } : {};
      const { code, stdout, stderr } = await node.exec(argv, { ...limit, ...(input === undefined ? {} : { input }) });
      return { code, signal: undefined, stdout: Buffer.from(stdout), stderr };
    },
    spawn: async () => {
      throw new TypeError('Streams are not for these tests.');
    },
    tunnel: async () => {
      throw new KeyturnError('ssh.forward-refused', `${node.name} is not reached by SSH here.`, { hint: 'None.' });
    },
    close: async () => undefined,
  };
}
