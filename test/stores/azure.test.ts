/** Holds the Azure Blob store against Azurite: the contract, what happens when things fail, SAS tokens, what two uploads do to each other. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ContainerSASPermissions,
  SASProtocol,
  StorageSharedKeyCredential,
  generateBlobSASQueryParameters,
} from '@azure/storage-blob';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/adapters/clock.ts';
import { azureBlobStore, type AzureBlobStoreOptions } from '../../src/adapters/stores/azure.ts';
import type { StoreTuning } from '../../src/adapters/stores/tuning.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { startFakeAzure, type FakeAzure } from '../adapters/stores/fake-azure.ts';
import { servicesRootfs } from '../adapters/stores/swift.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { startThrottle } from '../support/throttle.ts';
import { selfSigned, startTlsProxy } from '../support/tls.ts';
import { startTestAzurite, type TestAzurite } from './azurite.ts';

const MiB = 1024 * 1024;
const PART = 256 * 1024;
const never = new AbortController().signal;
const quick: Partial<StoreTuning> = {
  partSize: MiB,
  retry: { tries: 5, pauseMs: 300, withinMs: 20_000 },
  connectTimeoutMs: 1_000,
  idleTimeoutMs: 2_000,
};

snapshotStoreContract('Azure Blob, as Azurite speaks it,', async () => {
  const azurite = await startTestAzurite();
  const store = azureBlobStore(azurite.options, systemClock, { ...quick, partSize: PART, pageSize: 7 });
  return { store, seenAfterBytes: PART, firstEndsOthers: true, close: () => azurite.remove() };
});

snapshotStoreFaults('Azure Blob, as Azurite speaks it,', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-tls-'));
  const azurite = await startTestAzurite();
  const certificate = await selfSigned(await servicesRootfs(), dir, 'DNS:other.example');
  const { hostname, port, pathname } = new URL(azurite.endpoint);
  const proxy = await startTlsProxy(azurite.endpoint, certificate);
  const wrongKey = randomBytes(64).toString('base64');
  const ends = [() => rm(dir, { recursive: true }), () => azurite.remove(), () => proxy.close()];
  return {
    store: azureBlobStore(azurite.options, systemClock, quick),
    seenAfterBytes: MiB,
    kill: () => azurite.kill9(),
    restart: () => azurite.restart(),
    pause: async () => azurite.pause(),
    resume: async () => azurite.resume(),
    async slow(bytesPerSecond) {
      const throttle = await startThrottle({ target: { host: hostname, port: Number(port) }, bytesPerSecond });
      ends.push(() => throttle.close());
      return azureBlobStore(
        { ...azurite.options, endpoint: `http://127.0.0.1:${throttle.port}${pathname}` },
        systemClock,
      );
    },
    async full(bytes) {
      const small = await startTestAzurite({ quota: bytes });
      ends.push(() => small.remove());
      return azureBlobStore(small.options, systemClock, quick);
    },
    wrongCredentials: azureBlobStore(
      { ...azurite.options, credentials: { kind: 'key', accountName: 'keyturn', accountKey: wrongKey } },
      systemClock,
    ),
    wrongPeer: {
      store: azureBlobStore(
        { ...azurite.options, endpoint: `${proxy.endpoint}${pathname}`, caFile: certificate.certFile },
        systemClock,
      ),
      names: ['127.0.0.1', 'other.example'],
    },
    secrets: [azurite.accountKey, wrongKey],
    async close() {
      for (const end of ends.reverse()) await end();
    },
  };
});

describe('Azurite', () => {
  let azurite: TestAzurite;
  let store: SnapshotStore;
  beforeAll(async () => {
    azurite = await startTestAzurite();
    store = azureBlobStore(azurite.options, systemClock, quick);
  });
  afterAll(() => azurite.remove());

  const with_ = (changes: Partial<AzureBlobStoreOptions>) =>
    azureBlobStore({ ...azurite.options, ...changes }, systemClock, quick);
  const sasToken = (rights: string, expiresInMs: number): string =>
    generateBlobSASQueryParameters(
      {
        containerName: 'etcd-backup',
        permissions: ContainerSASPermissions.parse(rights),
        protocol: SASProtocol.HttpsAndHttp,
        expiresOn: new Date(Date.now() + expiresInMs),
      },
      new StorageSharedKeyCredential('keyturn', azurite.accountKey),
    ).toString();
  const bySas = (token: string) => with_({ credentials: { kind: 'sas', sasToken: token } });

  test('a SAS token with the rights rwdl is enough for everything', async () => {
    const sas = bySas(`?${sasToken('rwdl', 60_000)}`);
    expect(await sas.check()).toContain('can be listed, written and deleted in');
    const body = randomBytes(3 * MiB);
    const upload = await sas.beginUpload('sas/a.db', never);
    await upload.write(body);
    await upload.complete();
    expect(digest(await sas.get('sas/a.db'))).toBe(digest(body));
    const aborted = await sas.beginUpload('sas/b.db', never);
    await aborted.write(body);
    await aborted.abort();
    await sas.remove('sas/a.db');
    expect(await found(sas)).toEqual([]);
  });

  test.each([
    ['that has expired', 'rwdl', -60_000],
    ['that may not write', 'rl', 60_000],
  ])('a SAS token %s is told as a matter of credentials, and stays out of the message', async (_, rights, expires) => {
    const token = sasToken(rights, expires);
    const problem = (await bySas(token)
      .check()
      .catch((error: unknown) => error)) as Error & { code: string };
    expect(problem.code).toBe('store.credentials');
    const signature = new URLSearchParams(token).get('sig') ?? '';
    for (const secret of [signature, encodeURIComponent(signature)]) {
      expect(JSON.stringify([problem.message, problem, problem.cause])).not.toContain(secret);
    }
  });

  test('a container and an account that are not there are told apart', async () => {
    await expect(with_({ container: 'none' }).check()).rejects.toMatchObject({
      code: 'store.not-found',
      hint: expect.stringContaining('Create container none') as string,
    });
    const nobody = with_({
      endpoint: azurite.endpoint.replace(/keyturn$/, 'nobody'),
      credentials: { kind: 'key', accountName: 'nobody', accountKey: azurite.accountKey },
    });
    await expect(nobody.check()).rejects.toMatchObject({
      code: 'store.credentials',
      hint: expect.stringContaining('endpoint') as string,
    });
  });

  test('a store that has no legal holds says so', async () => {
    await store.put('hold/a.db', Buffer.from('a'));
    expect(await store.legalHold?.('hold/a.db', true)).toBe(false);
    await store.remove('hold/a.db');
  });

  test('an upload that replaces a blob and is aborted leaves the blob, its time and nothing else', async () => {
    await store.put('old/a.db', Buffer.from('old'));
    const before = await store.stat('old/a.db');
    const upload = await store.beginUpload('old/a.db', never);
    await upload.write(randomBytes(3 * MiB));
    await upload.abort();
    expect(await store.stat('old/a.db')).toEqual(before);
    expect(Buffer.from(await store.get('old/a.db')).toString()).toBe('old');
    await store.remove('old/a.db');
    expect(await found(store)).toEqual([]);
  });
});

describe('the identity of the environment', () => {
  const ends: (() => Promise<void>)[] = [];
  /** Undefined: never one. */
  let answer: { readonly status: number; readonly body: object } | undefined;
  let fake: FakeAzure;
  let store: SnapshotStore;

  beforeAll(async () => {
    const dir = await mkdtemp(join(tmpdir(), 'keyturn-tls-'));
    const certificate = await selfSigned(await servicesRootfs(), dir, 'IP:127.0.0.1');
    fake = await startFakeAzure(certificate);
    // What a machine in Azure offers to those who run on it.
    const identity = createServer((request, response) => {
      if (!answer) return;
      const isOurs = request.headers['x-identity-header'] === 'local' && request.url?.includes('storage.azure.com');
      response.writeHead(isOurs === true ? answer.status : 401).end(JSON.stringify(answer.body));
    });
    identity.listen(0, '127.0.0.1');
    await once(identity, 'listening');
    const { port } = identity.address() as AddressInfo;
    vi.stubEnv('IDENTITY_ENDPOINT', `http://127.0.0.1:${port}/token`).stubEnv('IDENTITY_HEADER', 'local');
    store = azureBlobStore(
      {
        name: 'azure',
        endpoint: fake.endpoint,
        container: 'etcd-backup',
        prefix: '',
        allowPlainHttp: false,
        caFile: certificate.certFile,
        credentials: { kind: 'default' },
      },
      systemClock,
      quick,
    );
    ends.push(
      () => rm(dir, { recursive: true }),
      () => fake.close(),
    );
    ends.push(async () => {
      vi.unstubAllEnvs();
      identity.closeAllConnections();
      await new Promise((resolve) => identity.close(resolve));
    });
  });
  afterAll(async () => {
    for (const end of ends.reverse()) await end();
  });

  test('a machine without one is told so, with what to do', async () => {
    answer = { status: 400, body: { error: 'invalid_request', error_description: 'Identity not found' } };
    const problem: unknown = await all(store.list('')).catch((error: unknown) => error);
    expect(problem).toMatchObject({
      code: 'store.credentials',
      hint: expect.stringContaining('managed or workload identity') as string,
    });
    expect(fake.requests).toEqual([]);
  });

  test('one that does not answer is given up, in time and when told to stop', async () => {
    answer = undefined;
    await expect(store.put('prod/a.json', Buffer.from('{}'))).rejects.toMatchObject({ code: 'store.credentials' });
    const reason = new Error('told to stop');
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 100);
    await expect(store.check(stop.signal)).rejects.toBe(reason);
  });

  test('its token goes with every request, over TLS', async () => {
    const expires_on = Math.floor(Date.now() / 1_000) + 3_600;
    answer = { status: 200, body: { access_token: 'PLANTED-token', expires_on, token_type: 'Bearer' } };
    await store.put('prod/a.json', Buffer.from('{}'));
    expect(Buffer.from(await store.get('prod/a.json')).toString()).toBe('{}');
    for (const { headers } of fake.requests) expect(headers.authorization).toBe('Bearer PLANTED-token');
  });
});

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function found(store: SnapshotStore): Promise<string[]> {
  const [stored, open] = [await all(store.list('')), await all(store.openUploads(''))];
  return [...stored.map(({ key }) => key), ...open.map(({ key }) => `open: ${key}`)];
}
