/** Holds the S3 store against Swift when Swift, the line to it, or what we were told about it fails. */
import { startTestS3, type TestS3 } from '../adapters/stores/swift.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { faultyS3 } from './s3-faulty.ts';

snapshotStoreFaults('S3, as Swift speaks it,', async () => {
  const swift = await startTestS3();
  const others: TestS3[] = [];
  return faultyS3({
    ...swift,
    async small(quota) {
      const small = await startTestS3({ quota });
      others.push(small);
      return small.options;
    },
    async remove() {
      for (const each of [...others, swift]) await each.remove();
    },
  });
});
