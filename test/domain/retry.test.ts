import { expect, test } from 'vitest';
import { retryAfter } from '../../src/domain/retry.ts';

test('waits grow from one attempt to the next', () => {
  expect([1, 2, 3, 4].map((attempt) => retryAfter('ssh.lost', attempt, 9))).toEqual([5_000, 30_000, 120_000, 120_000]);
});
test('the last attempt is the last', () => {
  expect(retryAfter('ssh.lost', 3, 3)).toBeUndefined();
});
test.each(['ssh.host-key', 'ssh.auth', 'store.credentials', 'store.full', 'etcd.tls'] as const)(
  '%s wants a person, not another attempt',
  (code) => {
    expect(retryAfter(code, 1, 3)).toBeUndefined();
  },
);
