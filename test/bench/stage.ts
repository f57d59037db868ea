/** Owns what the backup benchmark plays on: one real node with a full etcd, a real S3 server, and programs in their network. */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { startNodes, type LocalNode, type LocalNodes } from '../../deploy/local/nodes/nodes.ts';
import { cloneDir, defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../deploy/local/parts/rootfs.ts';
import { startS3 } from '../../deploy/local/services/s3.ts';
import { workerEnvironment } from '../../src/adapters/worker-process.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import { restorePolicy } from '../support/specs.ts';
import type { EtcdAccess } from './kv.ts';
import type { BackupReport, BackupTask } from './keyturn.ts';

const S3 = { accessKey: 'keyturn:bench', secretKey: 'local-only-s3-secret', bucket: 'bench', port: 8080 };
const PKI = '/etc/kubernetes/pki/etcd';
/** The benchmark's programs as JavaScript: a compiler in their process would be measured with them. */
const PROGRAMS = join(cloneDir, '.local/bench-programs');

export interface Stage {
  readonly node: LocalNode;
  readonly access: EtcdAccess;
  /** The cluster, as Keyturn is told of it. */
  cluster(change: {
    readonly rateLimit?: number;
    readonly ssh?: { readonly address: string; readonly port: number };
  }): ClusterSpec;
  readonly store: BackupTask['store'];
  /** Starts one of the benchmark's programs in the nodes' network. */
  start(program: string, argument: unknown): Program;
  backup(cluster: ClusterSpec, id: string): Promise<BackupReport>;
  /** Runs the classic script by ssh, to its end. */
  classic(): Promise<void>;
  /** Removes every object of the bucket. */
  empty(): Promise<void>;
  stop(): Promise<void>;
}

export interface Program {
  /** Writes a line to its input. */
  say(line: string): void;
  /** The next line that it prints; throws when it ended. */
  line(): Promise<string>;
  /** Ends its input, and waits until it is gone. */
  end(): Promise<void>;
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
  await compile(onProgress);
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
    await prepareNode(node, nodes.ssh.user, `${host}:${S3.port}`);
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
  const start: Stage['start'] = (program, argument) => {
    const file = join(PROGRAMS, 'test/bench', `${program}.js`);
    const argv = [process.execPath, '--no-warnings', file, JSON.stringify(argument)];
    return follow(
      program,
      nodes.execInHub(argv, {
        stdio: ['pipe', 'pipe', 'inherit'],
        cwd: cloneDir,
        env: workerEnvironment(process.env),
      }),
    );
  };
  const onNode = async (script: string): Promise<void> => {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
    const ssh = nodes.imageProgram('usr/bin/ssh', [
      ...['-F', '/dev/null', '-i', keyFile, ...options.flatMap((option) => ['-o', option])],
      ...[`root@${node.address}`, script],
    ]);
    const [file, ...args] = nodes.inHub(ssh);
    await execa(file, args, { stdin: 'ignore' });
  };
  /** As in earnest: one process for all backups, which lives on between them. */
  let worker: Program | undefined;
  const store: BackupTask['store'] = {
    name: 's3',
    endpoint,
    region: 'us-east-1',
    bucket: S3.bucket,
    prefix: 'keyturn',
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId: S3.accessKey, secretAccessKey: S3.secretKey },
  };
  return {
    node,
    access,
    store,
    start,
    stop: async () => {
      await worker?.end();
      await stop();
    },
    cluster: ({ rateLimit, ssh }) => ({
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
        stores: ['s3'],
        rpoMs: undefined,
        timeoutMs: 600_000,
        stallTimeoutMs: 30_000,
        rateLimit,
        attempts: 1,
      },
      restore: restorePolicy(),
    }),
    backup: async (cluster, id) => {
      worker ??= start('keyturn', {});
      worker.say(JSON.stringify({ cluster, store, id } satisfies BackupTask));
      return JSON.parse(await worker.line()) as BackupReport;
    },
    classic: () => onNode(CLASSIC),
    empty: () => onNode(`s3cmd del --recursive --force s3://${S3.bucket} >/dev/null`),
  };
}

function follow(name: string, child: ChildProcess): Program {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error('The program has no pipes.');
  const exited = once(child, 'exit');
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  return {
    say: (line) => void stdin.write(`${line}\n`),
    line: async () => {
      const next = await lines.next();
      if (next.done === true) throw new Error(`The benchmark's program "${name}" ended early.`);
      return next.value;
    },
    end: async () => {
      stdin.end();
      const [code] = (await exited) as [number | null];
      if (code !== 0) throw new Error(`The benchmark's program "${name}" failed.`);
    },
  };
}

/** root may log in, as classic scripts do; s3cmd knows its server; Keyturn's login may read what it needs. */
async function prepareNode(node: LocalNode, user: string, s3: string): Promise<void> {
  await node.write(
    '/root/.ssh/authorized_keys',
    (await node.exec(['cat', `/home/${user}/.ssh/authorized_keys`])).stdout,
    0o600,
  );
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

async function compile(onProgress: (line: string) => void): Promise<void> {
  onProgress('bench: compiling');
  await rm(PROGRAMS, { recursive: true, force: true });
  const options = [
    '--noEmit',
    'false',
    '--allowImportingTsExtensions',
    'false',
    '--outDir',
    PROGRAMS,
    '--rootDir',
    cloneDir,
  ];
  await execa(process.execPath, [join(cloneDir, 'node_modules/typescript/bin/tsc'), '-p', cloneDir, ...options]);
  await symlink(join(cloneDir, 'package.json'), join(PROGRAMS, 'package.json'));
  await readFile(join(PROGRAMS, 'test/bench/keyturn.js'));
}
