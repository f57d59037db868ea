import { snapshotStoreContract } from '../../contracts/snapshot-store.ts';
import { s3Store } from '../../../src/adapters/stores/s3.ts';
import { systemClock } from '../../../src/adapters/clock.ts';
import { randomBytes } from 'node:crypto';

const MiB = 1024 * 1024;
snapshotStoreContract('S3', async () => ({
  store: s3Store(
    {
      name: 's3',
      endpoint: 'http://127.0.0.1:18080',
      region: 'us-east-1',
      bucket: 'etcd-backup',
      prefix: `t/${randomBytes(4).toString('hex')}`,
      forcePathStyle: true,
      allowPlainHttp: true,
      caFile: undefined,
      credentials: { accessKeyId: 'keyturn:backup', secretAccessKey: 's3cret-Key' },
    },
    systemClock,
    { partSize: 5 * MiB, pageSize: 7 },
  ),
  seenAfterBytes: 5 * MiB,
}));
