/** Owns what the backup benchmark plays on: one real node with a full etcd, a real S3 server, and programs in their network. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startNodes, type LocalNode, type LocalNodes } from '../../deploy/local/nodes/nodes.ts';
import { cloneDir, defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../deploy/local/parts/rootfs.ts';
import { startS3 } from '../../deploy/local/services/s3.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import { restorePolicy, retentionSpec } from '../support/specs.ts';
import type { EtcdAccess } from './kv.ts';
import type { BackupReport, BackupTask } from './keyturn.ts';
import { bySsh, compilePrograms, letRootIn, startProgram, type Program } from './programs.ts';

const S3 = { accessKey: 'keyturn:bench', secretKey: 'local-only-s3-secret', bucket: 'bench', port: 8080 };
const STORES = ['s3', 'second'];
/** Nobody has its identity: what is stored here is thrown away. */
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';
const PKI = '/etc/kubernetes/pki/etcd';

export interface Stage {
  readonly node: LocalNode;
  readonly access: EtcdAccess;
  /** The cluster, as Keyturn is told of it. */
  cluster(change: {
    readonly rateLimit?: number;
    readonly ssh?: { readonly address: string; readonly port: number };
    readonly compression?: ClusterSpec['backup']['compression'];
    /** Names of `stores`; default: the first. */
    readonly stores?: readonly string[];
  }): ClusterSpec;
  /** Two, on one server. */
  readonly stores: BackupTask['stores'];
  /** Starts one of the benchmark's programs in the nodes' network. */
  start(program: string, argument: unknown): Program;
  backup(cluster: ClusterSpec, id: string): Promise<BackupReport>;
  /** In a process of its own, so that its memory is told by itself. */
  encodedBackup(cluster: ClusterSpec, id: string): Promise<BackupReport>;
  /** How often a snapshot of this etcd was begun to be read, as etcd itself counts. */
  snapshotReads(): Promise<number>;
  /** Runs the classic script by ssh, to its end. */
  classic(): Promise<unknown>;
  /** Removes every object of the bucket. */
  empty(): Promise<unknown>;
  stop(): Promise<void>;
}

/** The script of which every team has one: save, upload, keep the newest three. */
const CLASSIC = `set -e
name=snapshot-$(date +%s%N).db
export ETCDCTL_API=3
etcdctl --endpoints=https://127.0.0.1:2379 --cacert=${PKI}/ca.crt --cert=${PKI}/server.crt --key=${PKI}/server.key \\
  snapshot save "/var/backups/$name" >/dev/null 2>&1
s3cmd put "/var/backups/$name" s3://${S3.bucket}/classic/ >/dev/null 2>&1
rm "/var/backups/$name"
s3cmd ls s3://${S3.bucket}/classic/ | sort | awk '{print $4}' | head -n -3 | xargs -r s3cmd del >/dev/null
`;

export async function openStage(dbBytes: number, onProgress: (line: string) => void): Promise<Stage> {
  const dir = join(cloneDir, '.local/bench');
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await compilePrograms(onProgress);
  const cacheDir = defaultCacheDir();
  const nodes = await startNodes({
    instanceDir: join(dir, 'nodes'),
    cacheDir,
    image: 'bench-node',
    clusters: [{ name: 'bench', etcdVersion: '3.5', nodes: ['cp1'], quotaBytes: 8 * 1024 ** 3 }],
    onProgress,
  });
  const ends = [() => rm(dir, { recursive: true, force: true }), () => nodes.stop()];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const rootfs = await ensureRootfs('services', { cacheDir, onProgress });
    const { address: host, netnsFile: netns } = nodes.hub;
    const s3 = await startS3({ dir: join(dir, 's3'), rootfs, netns, host, ...S3 });
    ends.push(() => s3.stop());
    const node = nodes.cluster('bench').node('cp1');
    await letRootIn(nodes, node);
    await configureS3cmd(node, `${host}:${S3.port}`);
    const read = async (file: string): Promise<string> => (await node.exec(['cat', `${PKI}/${file}`])).stdout;
    const access = {
      address: node.address,
      ca: await read('ca.crt'),
      cert: await read('server.crt'),
      key: await read('server.key'),
    };
    const stage = assemble(nodes, node, access, s3.endpoint, stop);
    onProgress(`bench: filling etcd with ${dbBytes} bytes`);
    const fill = stage.start('fill', { access, bytes: dbBytes });
    await fill.end();
    return stage;
  } catch (error) {
    await stop();
    throw error;
  }
}

function assemble(
  nodes: LocalNodes,
  node: LocalNode,
  access: EtcdAccess,
  endpoint: string,
  stop: Stage['stop'],
): Stage {
  const { user, keyFile } = nodes.ssh;
  const start: Stage['start'] = (program, argument) => startProgram(nodes, program, argument);
  /** As in earnest: one process for all backups, which lives on between them. */
  let worker: Program | undefined;
  let encoder: Program | undefined;
  const recipients = [RECIPIENT];
  const stores = STORES.map((name): BackupTask['stores'][number] => ({
    name,
    endpoint,
    region: 'us-east-1',
    bucket: S3.bucket,
    prefix: `keyturn-${name}`,
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId: S3.accessKey, secretAccessKey: S3.secretKey },
  }));
  return {
    node,
    access,
    stores,
    start,
    stop: async () => {
      await Promise.all([worker?.end(), encoder?.end()]);
      await stop();
    },
    cluster: ({ rateLimit, ssh, compression = 'none', stores: wanted = STORES.slice(0, 1) }) => ({
      name: 'bench',
      nodes: [
        {
          name: node.name,
          address: ssh?.address ?? node.address,
          become: 'sudo',
          ssh: { user, port: ssh?.port ?? 22, hostKeys: [node.hostKey], auth: { kind: 'key', keyFile } },
        },
      ],
      backup: {
        schedule: undefined,
        timezone: 'UTC',
        stores: wanted,
        rpoMs: undefined,
        timeoutMs: 600_000,
        stallTimeoutMs: 30_000,
        rateLimit,
        compression,
        attempts: 1,
      },
      retention: retentionSpec(),
      restore: restorePolicy(),
    }),
    backup: async (cluster, id) => {
      worker ??= start('keyturn', {});
      worker.say(JSON.stringify({ cluster, stores, id, recipients: [] } satisfies BackupTask));
      return JSON.parse(await worker.line()) as BackupReport;
    },
    encodedBackup: async (cluster, id) => {
      encoder ??= start('keyturn', {});
      encoder.say(JSON.stringify({ cluster, stores, id, recipients } satisfies BackupTask));
      return JSON.parse(await encoder.line()) as BackupReport;
    },
    snapshotReads: async () => {
      const files = ['--cacert', `${PKI}/ca.crt`, '--cert', `${PKI}/server.crt`, '--key', `${PKI}/server.key`];
      const { stdout } = await node.exec(['curl', '-sS', ...files, 'https://127.0.0.1:2379/metrics']);
      return Number(/^grpc_server_started_total\{.*grpc_method="Snapshot".*\} (\S+)$/m.exec(stdout)?.[1]);
    },
    classic: () => bySsh(nodes, node, CLASSIC),
    empty: () => bySsh(nodes, node, `s3cmd del --recursive --force s3://${S3.bucket} >/dev/null`),
  };
}

async function configureS3cmd(node: LocalNode, s3: string): Promise<void> {
  const settings = [
    '[default]',
    `access_key = ${S3.accessKey}`,
    `secret_key = ${S3.secretKey}`,
    `host_base = ${s3}`,
    `host_bucket = ${s3}`,
    'use_https = False',
  ];
  await node.write('/root/.s3cfg', `${settings.join('\n')}\n`, 0o600);
}
