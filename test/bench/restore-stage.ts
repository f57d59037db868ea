/** Owns what the restore benchmark plays on: three real nodes of procedure E's layout, S3 and Redis, and one snapshot of it all. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { S3_ACCESS, startEnvironment, type Environment } from '../../deploy/local/environment.ts';
import type { LocalCluster } from '../../deploy/local/nodes/nodes.ts';
import { cloneDir } from '../../deploy/local/parts/host.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import { clusterSpec, nodeSpec } from '../support/specs.ts';
import type { RestoreBench, RestoreTimes } from './keyturn-restore.ts';
import type { BackupReport, BackupTask } from './keyturn.ts';
import { compilePrograms, letRootIn, startProgram, type Program } from './programs.ts';
import type { Downtime } from './ready-poll.ts';

const NODES = ['cp1', 'cp2', 'cp3'];
const QUOTA = 8 * 1024 ** 3;
const POLL_MS = 50;

export interface RestoreStage {
  readonly nodes: Environment['nodes'];
  readonly cluster: LocalCluster;
  /** The snapshot on this machine's disk. */
  readonly snapshotFile: string;
  /** Carries out an approved restore in Keyturn's process. */
  restore(id: string): Promise<RestoreTimes>;
  /** The downtime since this was last asked, once all are ready again. */
  downtime(): Promise<Downtime>;
  stop(): Promise<void>;
}

export async function openRestoreStage(dbBytes: number, onProgress: (line: string) => void): Promise<RestoreStage> {
  const dir = join(cloneDir, '.local/bench-restore');
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await compilePrograms(onProgress);
  const environment = await startEnvironment({
    dir,
    clusters: [{ name: 'bench', etcdVersion: '3.5', layout: 'e', nodes: NODES, quotaBytes: QUOTA }],
    onProgress,
  });
  try {
    return await furnish(environment, dir, { dbBytes, onProgress });
  } catch (error) {
    await environment.stop();
    throw error;
  }
}

async function furnish(
  environment: Environment,
  dir: string,
  { dbBytes, onProgress }: { readonly dbBytes: number; readonly onProgress: (line: string) => void },
): Promise<RestoreStage> {
  const { nodes, redis } = environment;
  const cluster = nodes.cluster('bench');
  for (const node of cluster.nodes) await letRootIn(nodes, node);
  onProgress(`bench: filling etcd with ${dbBytes} bytes`);
  await startProgram(nodes, 'fill', { access: await accessTo(cluster), bytes: dbBytes }).end();

  onProgress('bench: taking the snapshot');
  const [spec, store] = [specOf(environment, cluster), storeOf(environment)];
  const backups = startProgram(nodes, 'keyturn', {});
  backups.say(
    JSON.stringify({ cluster: spec, stores: [store], id: 'the-snapshot', recipients: [] } satisfies BackupTask),
  );
  const { objectKey: key } = JSON.parse(await backups.line()) as BackupReport;
  await backups.end();
  const snapshotFile = join(dir, 'snapshot.db');
  await startProgram(nodes, 'download', { store, key, file: snapshotFile }).end();

  const auditFolder = join(dir, 'audit');
  await mkdir(auditFolder);
  const bench: RestoreBench = { cluster: spec, store, redisUrl: redis.url, auditFolder };
  const keyturn = startProgram(nodes, 'keyturn-restore', bench);
  const poll = startProgram(nodes, 'ready-poll', { addresses: cluster.nodes.map((n) => n.address), everyMs: POLL_MS });
  const ask = async (program: Program, line: string): Promise<unknown> => {
    program.say(line);
    return JSON.parse(await program.line());
  };
  return {
    nodes,
    cluster,
    snapshotFile,
    restore: async (id) => (await ask(keyturn, id)) as RestoreTimes,
    downtime: async () => {
      await cluster.waitServing();
      return (await ask(poll, 'told')) as Downtime;
    },
    stop: async () => {
      await Promise.allSettled([keyturn.end(), poll.end()]);
      await environment.stop();
    },
  };
}

async function accessTo({ nodes: [node], tlsDir }: LocalCluster) {
  const read = async (file: string): Promise<string> => (await node?.exec(['cat', `${tlsDir}/${file}`]))?.stdout ?? '';
  return {
    address: node?.address,
    ca: await read('ca.pem'),
    cert: await read('server.pem'),
    key: await read('server-key.pem'),
  };
}

function specOf({ nodes }: Environment, cluster: LocalCluster): ClusterSpec {
  const { user, keyFile } = nodes.ssh;
  const spec = clusterSpec(
    cluster.nodes.map(({ name, address, hostKey }) =>
      nodeSpec(name, { address, ssh: { user, port: 22, hostKeys: [hostKey], auth: { kind: 'key', keyFile } } }),
    ),
  );
  const backup = { ...spec.backup, stores: ['s3'], timeoutMs: 600_000, stallTimeoutMs: 60_000 };
  return { ...spec, name: cluster.name, backup };
}

function storeOf({ s3 }: Environment): BackupTask['stores'][number] {
  const { accessKey: accessKeyId, secretKey: secretAccessKey, bucket } = S3_ACCESS;
  return {
    name: 's3',
    endpoint: s3.endpoint,
    region: 'us-east-1',
    bucket,
    prefix: 'keyturn',
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId, secretAccessKey },
  };
}
