/** Holds the S3 store against Ceph: the contract in buckets with and without versions, what fails, and what object lock does. */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
import { startTestCeph } from '../adapters/stores/ceph.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { faultyS3, PART, quick } from './s3-faulty.ts';

for (const [kind, more] of [
  ['in a plain bucket', {}],
  ['in a bucket that keeps versions', { versioning: true }],
  ['in a bucket with object lock', { objectLock: true }],
] as const) {
  snapshotStoreContract(`S3, as Ceph speaks it, ${kind},`, async () => {
    const ceph = await startTestCeph();
    await ceph.makeBucket({ name: 'contract', ...more });
    const store = s3Store(ceph.options('contract'), systemClock, { ...quick, pageSize: 7 });
    return { store, seenAfterBytes: PART, close: () => ceph.remove() };
  });
}

snapshotStoreFaults('S3, as Ceph speaks it,', async () => {
  const ceph = await startTestCeph();
  await ceph.makeBucket({ name: 'faults' });
  return faultyS3({
    ...ceph,
    options: ceph.options('faults'),
    async small(quota) {
      const name = `small-${randomBytes(4).toString('hex')}`;
      await ceph.makeBucket({ name, quota });
      return ceph.options(name);
    },
  });
});
