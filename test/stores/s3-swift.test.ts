/** Holds the S3 store against Swift when Swift, the line to it, or what we were told about it fails. */
import { expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
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

test('Swift has no legal hold, says so at once, and the object stays as it was', async () => {
  const swift = await startTestS3();
  try {
    const store = s3Store(swift.options, systemClock);
    await store.put('prod/a.db', Buffer.from('here'));
    const before = Date.now();
    expect(await store.legalHold?.('prod/a.db', true)).toBe(false);
    expect(Date.now() - before).toBeLessThan(1_000);
    expect(Buffer.from(await store.get('prod/a.db')).toString()).toBe('here');
  } finally {
    await swift.remove();
  }
});
