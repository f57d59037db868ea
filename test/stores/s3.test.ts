/** Holds the S3 store against a real server: the contract, TLS, broken reads, and what happens when the server fails. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions, type S3Tuning } from '../../src/adapters/stores/s3.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { selfSigned, startTlsProxy, type Certificate, type TlsProxy } from '../support/tls.ts';
import { startFakeS3 } from '../adapters/stores/fake-s3.ts';
import { servicesRootfs, sharedS3, startTestS3, type TestS3 } from '../adapters/stores/swift.ts';

const MiB = 1024 * 1024;
/** The smallest part that real servers take. */
const PART = 5 * MiB;
const never = new AbortController().signal;
const quick: Partial<S3Tuning> = { partSize: PART, retry: { tries: 5, pauseMs: 200, withinMs: 20_000 } };

snapshotStoreContract('S3, as Swift speaks it,', async () => {
  const shared = sharedS3(`contract-${randomBytes(4).toString('hex')}`);
  const own = shared ? undefined : await startTestS3();
  const options = shared ?? own?.options;
  if (!options) throw new Error('no S3 server');
  const store = s3Store(options, systemClock, { ...quick, pageSize: 7 });
  return { store, seenAfterBytes: PART, close: async () => own?.remove() };
});

/** Writes `size` bytes; `at` is called before the MiB of that number. Returns what was sent, hashed. */
async function upload(
  store: SnapshotStore,
  size: number,
  at: (mebibyte: number) => Promise<void> = async () => undefined,
) {
  const open = await store.beginUpload('prod/a.db', never);
  const hash = createHash('sha256');
  const chunk = randomBytes(MiB);
  try {
    for (let n = 0; n < size / MiB; n += 1) {
      await at(n);
      chunk.writeUInt32BE(n);
      hash.update(chunk);
      await open.write(chunk);
    }
    await open.complete();
    return hash.digest('hex');
  } catch (error) {
    await open.abort().catch(() => undefined);
    throw error;
  }
}

async function sha256Of(store: SnapshotStore): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of await store.read('prod/a.db', never)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function leftovers(store: SnapshotStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list('')) found.push(key);
  for await (const { key } of store.openUploads('')) found.push(`open: ${key}`);
  return found;
}

describe('a real server', () => {
  let s3: TestS3;
  let store: SnapshotStore;
  const started: TestS3[] = [];
  const start = async (limits: Parameters<typeof startTestS3>[0] = {}): Promise<void> => {
    s3 = await startTestS3(limits);
    started.push(s3);
    store = s3Store(s3.options, systemClock, quick);
  };
  afterEach(async () => {
    for (const each of started.splice(0)) await each.remove();
  });

  test('killed and started again during an upload, costs nothing but time', async () => {
    await start();
    let back: Promise<void> | undefined;
    const sent = await upload(store, 60 * MiB, async (n) => {
      if (n !== 30) return;
      await s3.kill9();
      back = s3.restart();
    });
    await back;
    expect(await sha256Of(store)).toBe(sent);
    expect(await leftovers(store)).toEqual(['prod/a.db']);
  });

  test('that does not come back ends the upload; once it is back the leftover is found and aborted', async () => {
    await start();
    const failed = upload(store, 60 * MiB, async (n) => {
      if (n === 30) await s3.kill9();
    });
    await expect(failed).rejects.toMatchObject({ code: 'store.unreachable' });
    await s3.restart();
    expect(await leftovers(store)).toEqual(['open: prod/a.db']);
    for await (const open of store.openUploads('prod/')) await store.abortUpload(open);
    expect(await leftovers(store)).toEqual([]);
  });

  test('that stands still is noticed, and the part is sent again when it goes on', async () => {
    await start();
    store = s3Store(s3.options, systemClock, { ...quick, idleTimeoutMs: 1_000 });
    let back: Promise<void> | undefined;
    const sent = await upload(store, 60 * MiB, async (n) => {
      if (n !== 30) return;
      await s3.pause();
      back = new Promise((resolve) => setTimeout(resolve, 2_500)).then(() => s3.resume());
    });
    await back;
    expect(await sha256Of(store)).toBe(sent);
  });

  test('whose quota is used up says so at once, and keeps nothing', async () => {
    await start({ quota: 20 * MiB });
    await expect(upload(store, 60 * MiB)).rejects.toMatchObject({ code: 'store.full' });
    expect(await leftovers(store)).toEqual([]);
  });

  test('whose disk is full ends the upload with a hint at it, and keeps nothing', async () => {
    await start({ sizeLimit: 40 * MiB });
    await expect(upload(store, 80 * MiB)).rejects.toMatchObject({
      code: 'store.unreachable', // Swift answers 503, not 507
      hint: expect.stringContaining('is full') as string,
    });
    expect(await leftovers(store)).toEqual([]);
  });

  test('refuses a wrong secret, a wrong access key and a wrong bucket, and the hint says which', async () => {
    await start();
    const { credentials } = s3.options;
    if (!credentials) throw new Error('no credentials');
    const check = async (changes: Partial<S3StoreOptions>) =>
      s3Store({ ...s3.options, ...changes }, systemClock, quick).check();
    await expect(check({ credentials: { ...credentials, secretAccessKey: 'wrong' } })).rejects.toMatchObject({
      code: 'store.credentials',
      message:
        'Store swift could not list bucket etcd-backup: the secret key is wrong (SignatureDoesNotMatch, HTTP 403).',
      hint: expect.stringContaining('secret key') as string,
    });
    await expect(check({ credentials: { ...credentials, accessKeyId: 'no:body' } })).rejects.toMatchObject({
      code: 'store.credentials',
    });
    await expect(check({ bucket: 'none' })).rejects.toMatchObject({
      code: 'store.not-found',
      hint: expect.stringContaining('Create bucket none') as string,
    });
    expect(await store.check()).toContain('bucket etcd-backup');
  });
});

describe('over TLS', () => {
  let dir: string;
  let tls: Certificate;
  let s3: TestS3;
  let proxy: TlsProxy;
  let options: S3StoreOptions;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'keyturn-tls-'));
    tls = await selfSigned(await servicesRootfs(), dir, 'IP:127.0.0.1');
    s3 = await startTestS3();
    proxy = await startTlsProxy(s3.endpoint, tls);
    const { endpoint } = proxy;
    options = { ...s3.options, endpoint, allowPlainHttp: false, caFile: tls.certFile };
  });
  afterAll(async () => {
    await proxy.close();
    await s3.remove();
    await rm(dir, { recursive: true });
  });

  test('an endpoint with an authority of its own is trusted when caFile names it', async () => {
    const store = s3Store(options, systemClock, quick);
    const sent = await upload(store, 23 * MiB);
    expect(await sha256Of(store)).toBe(sent);
  });

  test('it is not trusted otherwise, and the hint names caFile', async () => {
    const failed = s3Store({ ...options, caFile: undefined }, systemClock, quick).check();
    await expect(failed).rejects.toMatchObject({
      code: 'store.refused',
      hint: expect.stringContaining('caFile') as string,
    });
  });

  test('an endpoint that speaks no TLS is told from one that is away', async () => {
    const plain = { ...options, endpoint: s3.endpoint.replace('http:', 'https:') };
    const failed = s3Store(plain, systemClock, { ...quick, retry: { tries: 1, pauseMs: 1, withinMs: 1 } }).check();
    await expect(failed).rejects.toMatchObject({
      code: 'store.unreachable',
      hint: expect.stringContaining('no TLS') as string,
    });
  });

  test('a server that checks CRC32 gets it with every part, and unsigned bodies', async () => {
    const fake = await startFakeS3('etcd-backup', { tls, crc32: 'told' });
    try {
      const store = s3Store({ ...options, endpoint: `https://127.0.0.1:${fake.port}` }, systemClock, quick);
      fake.fault = ({ operation, nth }) => (operation === 'UploadPart' && nth === 2 ? 'flip' : undefined);
      const sent = await upload(store, 23 * MiB);
      expect(await sha256Of(store)).toBe(sent);
      const parts = fake.requests.filter(({ operation }) => operation === 'UploadPart');
      expect(parts).toHaveLength(6);
      for (const { headers } of parts) expect(headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD');
    } finally {
      await fake.close();
    }
  });

  test('a server that checks CRC32 without saying so is found out once, and gets it with every part', async () => {
    const fake = await startFakeS3('etcd-backup', { tls, crc32: 'silent' });
    try {
      const store = s3Store({ ...options, endpoint: `https://127.0.0.1:${fake.port}` }, systemClock, quick);
      await upload(store, 23 * MiB);
      fake.fault = ({ operation, nth }) => (operation === 'UploadPart' && nth === 8 ? 'flip' : undefined);
      const sent = await upload(store, 23 * MiB);
      expect(await sha256Of(store)).toBe(sent);
      expect(fake.count('ProbeCrc32')).toBe(1);
      const parts = fake.requests.filter(({ operation }) => operation === 'UploadPart');
      expect(parts).toHaveLength(11);
      for (const { headers } of parts) expect(headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD');
    } finally {
      await fake.close();
    }
  });

  test('a server that does not check CRC32 gets signed bodies', async () => {
    const fake = await startFakeS3('etcd-backup', { tls });
    try {
      const store = s3Store({ ...options, endpoint: `https://127.0.0.1:${fake.port}` }, systemClock, quick);
      const sent = await upload(store, 23 * MiB);
      expect(await sha256Of(store)).toBe(sent);
      const parts = fake.requests.filter(({ operation }) => operation === 'UploadPart');
      for (const { headers } of parts) expect(headers['x-amz-content-sha256']).toMatch(/^[0-9a-f]{64}$/);
    } finally {
      await fake.close();
    }
  });
});
