import { expect, test } from 'vitest';
import { snapshotStoreContract } from '../../contracts/snapshot-store.ts';
import { memoryStore } from '../../fakes/memory-store.ts';

snapshotStoreContract('the fake in memory', async () => ({ store: memoryStore() }));

test('the fake fails as often as it is told to', async () => {
  const store = memoryStore();
  store.fail('put', new Error('away'), 1);
  await expect(store.put('a', Buffer.from('a'))).rejects.toThrow('away');
  await store.put('a', Buffer.from('a'));
  expect(store.calls).toEqual(['put a', 'put a']);
});
