/** Owns what tests may do to the local parts: power, network, services. Each call goes to the process that started them. */
import { request } from 'node:http';
import type { LocalCluster, LocalNode } from '../../deploy/local/nodes/nodes.ts';
import type { LocalRedis } from '../../deploy/local/services/redis.ts';
import type { LocalS3 } from '../../deploy/local/services/s3.ts';
import type { ControlCall } from './control-server.ts';

type Remote<T, K extends keyof T> = {
  readonly [M in K]: T[M] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

export type NodeControl = Remote<
  LocalNode,
  'exec' | 'stop' | 'start' | 'kill' | 'linkDown' | 'linkUp' | 'iptables' | 'smallDisk' | 'write'
>;
export type ClusterControl = Remote<LocalCluster, 'etcdctl' | 'waitHealthy' | 'reissue' | 'api' | 'waitServing'>;
export type ServiceControl = Remote<LocalRedis & LocalS3, 'stop' | 'kill9' | 'restart' | 'pause' | 'resume'>;

export interface Control {
  node(cluster: string, node: string): NodeControl;
  cluster(name: string): ClusterControl;
  readonly redis: ServiceControl;
  readonly s3: ServiceControl;
  readonly sftp: ServiceControl;
}

/** Over the unix socket that the test environment's description names. */
export function control(socketPath: string): Control {
  /** Stands for whatever `where` names: each of its methods is a call. */
  const remote = (where: Pick<ControlCall, 'target' | 'cluster' | 'node'>): never =>
    new Proxy(
      {},
      {
        get:
          (_target, method) =>
          (...args: readonly unknown[]) =>
            call(socketPath, { ...where, method: String(method), args }),
      },
    ) as never;
  return {
    node: (cluster, node) => remote({ target: 'node', cluster, node }),
    cluster: (cluster) => remote({ target: 'cluster', cluster }),
    redis: remote({ target: 'redis' }),
    s3: remote({ target: 's3' }),
    sftp: remote({ target: 'sftp' }),
  };
}

function call(socketPath: string, what: ControlCall): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method: 'POST', path: '/' }, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${what.target} ${what.node ?? what.cluster ?? ''} ${what.method}: ${text}`));
      });
    });
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(what));
  });
}
