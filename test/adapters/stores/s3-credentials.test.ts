import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/adapters/clock.ts';
import { s3Store } from '../../../src/adapters/stores/s3.ts';
import type { SnapshotStore } from '../../../src/ports.ts';
import { startFakeS3, type FakeS3 } from './fake-s3.ts';

/** Where a store without keys in its configuration has its credentials from: the SDK's default chain. */

let fake: FakeS3;
beforeEach(async () => {
  fake = await startFakeS3('etcd-backup');
  // Nothing of this machine's own.
  const names = Object.keys(process.env).filter((name) => /^AWS_(?!SDK_)/.test(name));
  for (const name of names) vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent/config');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent/credentials');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await fake.close();
});

function storeWithoutKeys(): SnapshotStore {
  const options = {
    name: 'aws',
    endpoint: `http://127.0.0.1:${fake.port}`,
    region: 'us-east-1',
    bucket: 'etcd-backup',
    prefix: '',
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: undefined,
  };
  return s3Store(options, systemClock, { retry: { tries: 2, pauseMs: 5, withinMs: 5_000 } });
}

/** Access key and session token of the newest request. */
function signedWith(): string {
  const headers = fake.requests.at(-1)?.headers ?? {};
  const key = /Credential=([^/]+)\//.exec(headers.authorization ?? '')?.[1] ?? 'nothing';
  return `${key} ${String(headers['x-amz-security-token'] ?? 'no token')}`;
}

test('the environment', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAENV');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'PLANTED-secret');
  const store = storeWithoutKeys();
  await store.put('a', Buffer.from('a'));
  expect(signedWith()).toBe('AKIAENV no token');
});

test("a role's credentials from the container's endpoint, rotated while the process lives", async () => {
  let asked = 0;
  let authorization: string | undefined;
  const endpoint = createServer((request, response) => {
    asked += 1;
    ({ authorization } = request.headers);
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        AccessKeyId: `ASIAROLE${asked}`,
        SecretAccessKey: `PLANTED-secret-${asked}`,
        Token: `token-${asked}`,
        // The first ones are about to end: whoever has them asks for others before they do.
        Expiration: new Date(Date.now() + (asked === 1 ? 60_000 : 3_600_000)).toISOString(),
      }),
    );
  });
  endpoint.listen(0, '127.0.0.1');
  await once(endpoint, 'listening');
  try {
    vi.stubEnv(
      'AWS_CONTAINER_CREDENTIALS_FULL_URI',
      `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/role`,
    );
    vi.stubEnv('AWS_CONTAINER_AUTHORIZATION_TOKEN', 'Bearer pod');
    const store = storeWithoutKeys();
    await store.put('a', Buffer.from('a'));
    expect(signedWith()).toBe('ASIAROLE1 token-1');
    expect(authorization).toBe('Bearer pod');
    await vi.waitFor(async () => {
      expect((await store.get('a')).length).toBe(1);
      expect(signedWith()).toBe('ASIAROLE2 token-2');
    });
    await store.get('a');
    expect(asked).toBe(2);
  } finally {
    endpoint.close();
  }
});

test('none at all is told as such, with where they could come from', async () => {
  await expect(storeWithoutKeys().check()).rejects.toMatchObject({
    code: 'store.credentials',
    hint: expect.stringContaining('default chain') as string,
  });
  expect(fake.requests).toEqual([]);
});
