/** A real S3 server for tests: the one that is shared, when the local parts are up, or one of the test's own. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultCacheDir } from '../../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../../deploy/local/parts/rootfs.ts';
import { startS3, type LocalS3, type S3Options } from '../../../deploy/local/services/s3.ts';
import type { S3StoreOptions } from '../../../src/adapters/stores/s3.ts';
import { freePort } from '../../support/free-port.ts';

interface Access {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly bucket: string;
}
interface TestEnvironment {
  readonly s3?: Access;
  readonly cacheDir?: string;
}

export interface TestS3 extends LocalS3 {
  readonly options: S3StoreOptions;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

/** What the local parts offer to tests, when they are up: the file that KEYTURN_TEST_ENV names. */
function environment(): TestEnvironment {
  const file = process.env['KEYTURN_TEST_ENV'];
  return file === undefined ? {} : (JSON.parse(readFileSync(file, 'utf8')) as TestEnvironment);
}

/** The shared server, below a prefix of the test's own; undefined when there is none. */
export function sharedS3(prefix: string): S3StoreOptions | undefined {
  const { s3 } = environment();
  return s3 && storeOptions(s3, prefix);
}

/** The root file system of the local services, built when it is not there yet. */
export async function servicesRootfs(): Promise<string> {
  return ensureRootfs('services', { cacheDir: environment().cacheDir ?? defaultCacheDir() });
}

/** A Swift of the test's own, on a free port. */
export async function startTestS3(limits: Pick<S3Options, 'sizeLimit' | 'quota'> = {}): Promise<TestS3> {
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-s3-'));
  const keys = { accessKey: 'keyturn:test', secretKey: 'PLANTED-swift-secret', bucket: 'etcd-backup' };
  const rootfs = await servicesRootfs();
  const s3 = await startS3({ dir, rootfs, port: await freePort(), ...keys, ...limits });
  return {
    ...s3,
    options: storeOptions({ ...keys, endpoint: s3.endpoint }, 'site'),
    async remove() {
      await s3.stop();
      await rm(dir, { recursive: true });
    },
  };
}

function storeOptions({ endpoint, accessKey, secretKey, bucket }: Access, prefix: string): S3StoreOptions {
  return {
    name: 'swift',
    endpoint,
    region: 'us-east-1',
    bucket,
    prefix,
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  };
}
