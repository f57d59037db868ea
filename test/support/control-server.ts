/** Owns the other end of `control.ts`: tests that live in the nodes' network ask here for what only the starter can do. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { Environment } from '../../deploy/local/environment.ts';
import type { LocalCluster } from '../../deploy/local/nodes/nodes.ts';

/** What a test asks for: a method of a node, a cluster, Redis, S3 or SFTP, with JSON arguments. */
export interface ControlCall {
  readonly target: 'node' | 'cluster' | 'redis' | 's3' | 'sftp';
  readonly cluster?: string;
  readonly node?: string;
  readonly method: string;
  readonly args: readonly unknown[];
}

type Methods = Readonly<Record<string, ((...args: never[]) => unknown) | undefined>>;

/** Listens on a unix socket. A method that throws is answered with 500 and its message. */
export async function serveControl(environment: Environment, socketPath: string): Promise<{ close(): void }> {
  const server = createServer((request, response) => {
    answer(environment, request).then(
      (value) => response.end(JSON.stringify(value ?? null)),
      (error: unknown) => response.writeHead(500).end(error instanceof Error ? error.message : String(error)),
    );
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(environment: Environment, request: IncomingMessage): Promise<unknown> {
  const chunks = (await request.toArray()) as Buffer[];
  const call = JSON.parse(Buffer.concat(chunks).toString()) as ControlCall;
  const method = targetOf(environment, call)[call.method];
  if (method === undefined) throw new Error(`${call.target} has no ${call.method}`);
  return method(...(call.args as never[]));
}

function targetOf({ nodes, redis, s3, sftp }: Environment, call: ControlCall): Methods {
  if (call.target === 'redis') return { ...redis } as unknown as Methods;
  if (call.target === 's3') return { ...s3 } as unknown as Methods;
  if (call.target === 'sftp') return { ...sftp } as unknown as Methods;
  const cluster = nodes.cluster(call.cluster ?? '');
  if (call.target === 'cluster') {
    // A time crosses JSON as text.
    const reissue: LocalCluster['reissue'] = (pairs, notAfter) => cluster.reissue(pairs, new Date(notAfter));
    return { ...cluster, reissue } as unknown as Methods;
  }
  const machine = [...cluster.nodes, cluster.bastion].find((node) => node?.name === call.node);
  if (machine === undefined) throw new Error(`${cluster.name} has no node ${call.node ?? ''}`);
  return { ...machine } as unknown as Methods;
}
