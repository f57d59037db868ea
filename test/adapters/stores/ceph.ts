/** A real Ceph for tests, of the test's own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultCacheDir } from '../../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../../deploy/local/parts/rootfs.ts';
import { startCeph, type LocalCeph } from '../../../deploy/local/services/ceph.ts';
import type { S3StoreOptions } from '../../../src/adapters/stores/s3.ts';
import { freePort } from '../../support/free-port.ts';

export interface TestCeph extends LocalCeph {
  /** A store of the whole bucket of that name; make the bucket first. */
  options(bucket: string): S3StoreOptions;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

/** On a free port, with no bucket. Its root file system must be there: test/run.ts builds it. */
export async function startTestCeph(): Promise<TestCeph> {
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-ceph-'));
  const keys = { accessKey: 'KEYTURNTEST', secretKey: 'PLANTED-ceph-secret' };
  const rootfs = await ensureRootfs('ceph', { cacheDir: defaultCacheDir() });
  const ceph = await startCeph({ dir, rootfs, port: await freePort(), ...keys });
  return {
    ...ceph,
    options: (bucket) => ({
      name: 'ceph',
      endpoint: ceph.endpoint,
      region: 'us-east-1',
      bucket,
      prefix: '',
      forcePathStyle: true,
      allowPlainHttp: true,
      caFile: undefined,
      credentials: { accessKeyId: keys.accessKey, secretAccessKey: keys.secretKey },
    }),
    async remove() {
      await ceph.stop();
      await rm(dir, { recursive: true });
    },
  };
}
