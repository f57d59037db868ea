/** Owns the local parts as one: control-plane nodes, Redis, S3 and SFTP, all in the nodes' own network, started and gone together. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startNodes, type LocalNodes, type NodesOptions } from './nodes/nodes.ts';
import { checkHost, defaultCacheDir } from './parts/host.ts';
import { LocalPartsError } from './parts/problem.ts';
import { ensureRootfs } from './parts/rootfs.ts';
import { startRedis, type LocalRedis } from './services/redis.ts';
import { startS3, type LocalS3 } from './services/s3.ts';
import { startSftp, type LocalSftp } from './services/sftp.ts';

/** How the local S3 is spoken to. Its secret guards nothing: the server lives and dies with this environment. */
export const S3_ACCESS = {
  accessKey: 'keyturn:backup',
  secretKey: 'local-only-s3-secret',
  bucket: 'etcd-backup',
} as const;
const S3_PORT = 8080;
const SFTP_PORT = 2022;

export interface Environment {
  readonly nodes: LocalNodes;
  readonly redis: LocalRedis;
  readonly s3: LocalS3;
  readonly sftp: LocalSftp;
  /** Ends and removes everything, data too; safe twice. */
  stop(): Promise<void>;
}

export interface EnvironmentOptions extends Pick<NodesOptions, 'clusters' | 'onProgress' | 'image'> {
  /** Everything's files; removed at the end, and what an earlier run left is removed at the start. */
  readonly dir: string;
}

/** Everything up and healthy, or a LocalPartsError and nothing left. */
export async function startEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const { dir, onProgress } = options;
  await checkHost();
  requireShortPath(dir);
  const cacheDir = defaultCacheDir();
  const dataDir = join(dir, 'data');
  const services = await ensureRootfs('services', { cacheDir, ...(onProgress && { onProgress }) });
  const sftpRootfs = await ensureRootfs(options.image ?? 'node', { cacheDir, ...(onProgress && { onProgress }) });
  const nodes = await startNodes({ ...options, cacheDir, instanceDir: join(dir, 'nodes') });
  const ends: (() => Promise<void>)[] = [() => rm(dir, { recursive: true, force: true }), () => nodes.stop()];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    // Only now: that the nodes came up says that no other environment lives in this folder.
    await rm(dataDir, { recursive: true, force: true });
    await mkdir(dataDir, { recursive: true });
    onProgress?.('services: starting Redis, S3 and SFTP');
    const { netnsFile } = nodes.hub;
    const starting = [
      startRedis({ dir: join(dataDir, 'redis'), rootfs: services, listen: 'unix', netns: netnsFile, durable: false }),
      startS3({ dir: join(dataDir, 's3'), rootfs: services, netns: netnsFile, port: S3_PORT, ...S3_ACCESS }),
      startSftp({ dir: join(dataDir, 'sftp'), rootfs: sftpRootfs, netns: netnsFile, port: SFTP_PORT }),
    ] as const;
    for (const service of starting) service.then((up) => ends.push(() => up.stop())).catch(() => undefined);
    const [redis, s3, sftp] = await Promise.all(starting);
    return { nodes, redis, s3, sftp, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The kernel takes at most 107 bytes for the path of a unix socket; ours add up to 40 to the folder's. */
const LONGEST_DIR = 67;

function requireShortPath(dir: string): void {
  const tooLong = Buffer.byteLength(dir) - LONGEST_DIR;
  if (tooLong <= 0) return;
  throw new LocalPartsError(`The path ${dir} is too long for the sockets in it.`, {
    hint: `Clone into a folder whose path is at least ${tooLong} characters shorter.`,
  });
}
