import { randomBytes } from 'node:crypto';
import dns from 'node:dns';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions, type S3Tuning } from '../../../src/adapters/stores/s3.ts';
import { sizeOfPart } from '../../../src/adapters/stores/s3-upload.ts';
import { KeyturnError } from '../../../src/domain/error.ts';
import type { SnapshotStore } from '../../../src/ports.ts';
import { snapshotStoreContract } from '../../contracts/snapshot-store.ts';
import { startFakeS3, type FakeRequest, type FakeS3, type Fault } from './fake-s3.ts';

const PART = 64 * 1024;
const never = new AbortController().signal;
const secret = 'PLANTED-secret-key-0123456789';
const tuning: Partial<S3Tuning> = {
  partSize: PART,
  buffers: 3,
  retry: { tries: 4, pauseMs: 5, withinMs: 5_000 },
  connectTimeoutMs: 500,
  idleTimeoutMs: 150,
  pageSize: 7,
};

function optionsFor(port: number): S3StoreOptions {
  return {
    name: 'ceph',
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    bucket: 'etcd-backup',
    prefix: 'site',
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId: 'PLANTED-access-key', secretAccessKey: secret },
  };
}

snapshotStoreContract('S3, against the fake server,', async () => {
  const own = await startFakeS3('etcd-backup');
  const store = s3Store(optionsFor(own.port), systemClock, { ...tuning, idleTimeoutMs: 5_000 });
  return { store, seenAfterBytes: PART, close: () => own.close() };
});

let fake: FakeS3;
let store: SnapshotStore;
beforeEach(async () => {
  fake = await startFakeS3('etcd-backup');
  store = s3Store(optionsFor(fake.port), systemClock, tuning);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await fake.close();
});

const upload = async (body: Buffer, signal = never): Promise<void> => {
  const open = await store.beginUpload('prod/a.db', signal);
  try {
    for (let at = 0; at < body.length; at += 10_000) await open.write(body.subarray(at, at + 10_000));
    await open.complete();
  } catch (error) {
    await open.abort();
    throw error;
  }
};
const stored = (): Buffer | undefined => fake.objects.get('site/prod/a.db')?.body;
const failing =
  (operation: string, fault: Fault, which: (request: FakeRequest) => boolean = () => true) =>
  (request: FakeRequest): Fault | undefined =>
    request.operation === operation && which(request) ? fault : undefined;
const thrownBy = async (action: () => Promise<unknown>): Promise<KeyturnError> => {
  const error = await action().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KeyturnError)) throw new Error(`expected a KeyturnError, not ${inspect(error)}`);
  return error;
};

// ── Tries ────────────────────────────────────────────────────────────────────────────────────────────────────────────

test.each<[string, Fault]>([
  ['an internal error', { status: 500, code: 'InternalError' }],
  ['a plea to slow down', { status: 503, code: 'SlowDown' }],
  ['too many requests', { status: 429, code: 'TooManyRequests' }],
  ["a proxy's error page", { status: 502, code: undefined }],
  ['a connection that breaks', 'reset'],
  ['an answer that is lost', 'reset after'],
  ['a server that does not answer', 'hang'],
  ['a byte that changed on the way', 'flip'],
])('a part is sent again after %s', async (_what, fault) => {
  const body = randomBytes(5 * PART + 99);
  fake.fault = failing('UploadPart', fault, ({ nth }) => nth === 2 || nth === 3);
  await upload(body);
  expect(stored()?.equals(body)).toBe(true);
  expect(fake.count('UploadPart')).toBe(8);
  expect(fake.uploads.size).toBe(0);
});

test.each<[string, Fault, string]>([
  ['CreateMultipartUpload', { status: 500, code: 'InternalError' }, 'an upload that can not begin'],
  ['CreateMultipartUpload', 'reset after', 'an upload whose beginning was not heard of'],
  ['CompleteMultipartUpload', { status: 503, code: 'ServiceUnavailable' }, 'a completion that was refused'],
  ['CompleteMultipartUpload', 'error inside', 'a completion answered with 200 and an error'],
  ['CompleteMultipartUpload', 'reset after', 'a completion whose answer was lost'],
  ['HeadObject', 'reset', 'a look that was cut off'],
])('%s, %s: %s is tried again, and nothing is left over', async (operation, fault) => {
  const body = randomBytes(3 * PART);
  fake.fault = failing(operation, fault, ({ nth }) => nth === 1);
  await upload(body);
  expect(stored()?.equals(body)).toBe(true);
  expect(fake.uploads.size).toBe(0);
});

test('an object that fits into one part is one request and a look at it', async () => {
  fake.fault = failing('PutObject', { status: 503, code: 'SlowDown' }, ({ nth }) => nth === 1);
  await upload(randomBytes(PART - 1));
  expect(fake.requests.map(({ operation }) => operation)).toEqual(['PutObject', 'PutObject', 'HeadObject']);
});

test('tries end, and the error says what to look at', async () => {
  fake.fault = failing('UploadPart', { status: 503, code: 'ServiceUnavailable' }, ({ part }) => part === 2);
  const error = await thrownBy(() => upload(randomBytes(3 * PART)));
  expect(error).toMatchObject({
    code: 'store.unreachable',
    message: 'Store ceph could not store part 2 of prod/a.db: ServiceUnavailable, HTTP 503.',
  });
  expect(error.hint).toContain('is full');
  expect(fake.requests.filter(({ part }) => part === 2)).toHaveLength(4);
  expect(fake.uploads.size).toBe(0);
  expect(stored()).toBeUndefined();
});

test('tries are bounded in time, too', async () => {
  store = s3Store(optionsFor(fake.port), systemClock, {
    ...tuning,
    retry: { tries: 1_000, pauseMs: 30, withinMs: 300 },
  });
  fake.fault = () => ({ status: 500, code: 'InternalError' });
  const started = Date.now();
  expect((await thrownBy(() => store.get('prod/a.db'))).code).toBe('store.unreachable');
  expect(Date.now() - started).toBeLessThan(2_000);
  expect(fake.count('GetObject')).toBeLessThan(10);
});

test('a server that is gone is said to be away', async () => {
  await fake.close();
  const error = await thrownBy(() => store.check());
  expect(error).toMatchObject({
    code: 'store.unreachable',
    message: expect.stringContaining('ECONNREFUSED') as string,
  });
});

// ── Refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test.each([
  [403, 'SignatureDoesNotMatch', 'store.credentials', 'secret key'],
  [403, 'InvalidAccessKeyId', 'store.credentials', 'accessKeyId'],
  [403, 'AccessDenied', 'store.credentials', 'multipart uploads included'],
  [403, 'RequestTimeTooSkewed', 'store.credentials', 'clock'],
  [403, undefined, 'store.credentials', 'keys of store ceph'],
  [404, 'NoSuchBucket', 'store.not-found', 'Create bucket etcd-backup'],
  [301, 'PermanentRedirect', 'store.refused', 'region'],
  [403, 'QuotaExceeded', 'store.full', 'quota'],
  [413, 'EntityTooLarge', 'store.full', 'quota'],
  [507, undefined, 'store.full', 'Make room'],
  [507, 'ServiceUnavailable', 'store.full', 'Make room'],
  [400, 'XMinioStorageFull', 'store.full', 'Make room'],
  [400, 'SomethingNew', 'store.refused', 'log'],
])('HTTP %i %s is final: %s, and the hint speaks of %j', async (status, code, expected, hint) => {
  fake.fault = failing('CreateMultipartUpload', { status, code });
  const error = await thrownBy(() => upload(randomBytes(2 * PART)));
  expect(error.code).toBe(expected);
  expect(error.hint).toContain(hint);
  expect(fake.count('CreateMultipartUpload')).toBe(1);
  expect(fake.count('UploadPart')).toBe(0);
});

test('no secret and nothing that a server echoes is in an error', async () => {
  store = s3Store(optionsFor(fake.port), systemClock, { ...tuning, retry: { tries: 1, pauseMs: 1, withinMs: 1 } });
  const faults: Fault[] = [
    { status: 403, code: 'SignatureDoesNotMatch' },
    { status: 403, code: 'AccessDenied' },
    { status: 400, code: 'SomethingNew' },
    { status: 500, code: 'InternalError' },
    { status: 502, code: undefined },
    'reset',
    'hang',
  ];
  for (const fault of faults) {
    fake.fault = () => fault;
    for (const action of [
      () => store.check(),
      () => store.get('a'),
      () => store.stat('a'),
      () => upload(randomBytes(PART)),
    ]) {
      const error = await thrownBy(action);
      const shown = inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error);
      expect(shown).not.toMatch(/PLANTED|AKIDSECRET|StringToSign|Authorization|Signature=/i);
      expect(error.hint).not.toBe('');
    }
  }
});

test('bytes that change on the way every time end in store.corrupt', async () => {
  fake.fault = failing('UploadPart', 'flip');
  expect((await thrownBy(() => upload(randomBytes(2 * PART)))).code).toBe('store.corrupt');
  expect(fake.uploads.size).toBe(0);
});

test('an object that shows another size than was sent ends in store.corrupt and is taken away', async () => {
  fake.fault = failing('HeadObject', 'wrong size', ({ nth }) => nth === 1);
  expect((await thrownBy(() => upload(randomBytes(3 * PART)))).code).toBe('store.corrupt');
  expect(stored()).toBeUndefined();
});

test.each([
  ['ListObjectsV2', 'list bucket etcd-backup'],
  ['PutObject', 'write an object'],
  ['GetObject', 'read an object'],
  ['DeleteObject', 'remove an object'],
  ['CreateMultipartUpload', 'begin a multipart upload'],
  ['ListMultipartUploads', 'list multipart uploads'],
  ['AbortMultipartUpload', 'abort a multipart upload'],
])('a check finds out that %s is not allowed', async (operation, what) => {
  fake.fault = failing(operation, { status: 403, code: 'AccessDenied' });
  const error = await thrownBy(() => store.check());
  expect(error).toMatchObject({
    code: 'store.credentials',
    message: `Store ceph could not ${what}: AccessDenied, HTTP 403.`,
  });
  if (operation !== 'DeleteObject') expect(fake.objects.size).toBe(0);
  if (operation !== 'AbortMultipartUpload') expect(fake.uploads.size).toBe(0);
});

test('a check ends when it is told to', async () => {
  store = s3Store(optionsFor(fake.port), systemClock, { ...tuning, idleTimeoutMs: 30_000 });
  fake.fault = failing('GetObject', 'hang');
  const reason = new Error('told to stop');
  const control = new AbortController();
  setTimeout(() => control.abort(reason), 50);
  await expect(store.check(control.signal)).rejects.toBe(reason);
  expect(fake.objects.size).toBe(0);
});

// ── Aborts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test('an abort does not wait for a server that does not answer a part, and leaves nothing', async () => {
  store = s3Store(optionsFor(fake.port), systemClock, { ...tuning, idleTimeoutMs: 30_000 });
  fake.fault = failing('UploadPart', 'hang');
  const control = new AbortController();
  const open = await store.beginUpload('prod/a.db', control.signal);
  for (let n = 0; n < 3; n += 1) await open.write(randomBytes(PART));
  const reason = new Error('told to stop');
  const waiting = open.write(randomBytes(PART));
  setTimeout(() => control.abort(reason), 50);
  const started = Date.now();
  await expect(waiting).rejects.toBe(reason);
  await open.abort();
  expect(Date.now() - started).toBeLessThan(2_000);
  expect(fake.uploads.size).toBe(0);
});

test('an abort that the store did not carry out at first is carried out', async () => {
  const open = await store.beginUpload('prod/a.db', never);
  await open.write(randomBytes(2 * PART));
  fake.fault = failing('AbortMultipartUpload', { status: 500, code: 'InternalError' }, ({ nth }) => nth < 3);
  await open.abort();
  expect(fake.uploads.size).toBe(0);
});

test('an upload whose beginning was never heard of is found and aborted', async () => {
  fake.fault = failing('CreateMultipartUpload', 'reset after');
  expect((await thrownBy(() => upload(randomBytes(2 * PART)))).code).toBe('store.unreachable');
  expect(fake.count('CreateMultipartUpload')).toBe(4);
  expect(fake.uploads.size).toBe(0);
});

test('an object that came to be although its completion was told as failed is taken away by abort', async () => {
  fake.fault = (request) =>
    request.operation === 'CompleteMultipartUpload' && request.nth === 1
      ? 'reset after'
      : ['CompleteMultipartUpload', 'HeadObject'].includes(request.operation) &&
          fake.count('AbortMultipartUpload') === 0
        ? { status: 500, code: 'InternalError' }
        : undefined;
  await expect(upload(randomBytes(3 * PART))).rejects.toMatchObject({ code: 'store.unreachable' });
  expect(stored()).toBeUndefined();
});

test("abort takes no object away that is someone else's", async () => {
  const open = await store.beginUpload('prod/a.db', never);
  await open.write(randomBytes(2 * PART));
  await store.put('prod/a.db', Buffer.from('theirs'));
  fake.fault = failing('CompleteMultipartUpload', { status: 403, code: 'AccessDenied' });
  await expect(open.complete()).rejects.toMatchObject({ code: 'store.credentials' });
  await open.abort();
  expect(stored()?.toString()).toBe('theirs');
});

// ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const readAll = async (key: string): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of await store.read(key, never)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

test.each<[string, Fault]>([
  ['breaks', { cutAfter: 70_000 }],
  ['stands still', { stallAfter: 70_000 }],
])('a read goes on where it stopped when the connection %s', async (_what, fault) => {
  const body = randomBytes(500_000);
  await store.put('prod/a.db', body);
  fake.fault = failing('GetObject', fault, ({ nth }) => nth <= 3);
  expect((await readAll('prod/a.db')).equals(body)).toBe(true);
  expect(
    fake.requests.filter(({ operation }) => operation === 'GetObject').map(({ headers }) => headers.range),
  ).toEqual([undefined, 'bytes=70000-', 'bytes=140000-', 'bytes=210000-']);
});

test('a read that gets no further ends', async () => {
  await store.put('prod/a.db', randomBytes(1_000));
  fake.fault = failing('GetObject', { cutAfter: 0 });
  expect((await thrownBy(() => readAll('prod/a.db'))).code).toBe('store.unreachable');
  expect(fake.count('GetObject')).toBeLessThan(10);
});

test('a read does not mix two objects: one replaced meanwhile is refused', async () => {
  await store.put('prod/a.db', randomBytes(200_000));
  fake.fault = failing('GetObject', { cutAfter: 70_000 }, ({ nth }) => nth === 1);
  const stream = await store.read('prod/a.db', never);
  await store.put('prod/a.db', randomBytes(200_000));
  await expect(stream.toArray()).rejects.toMatchObject({ code: 'store.refused' });
});

test('a read is refused where the server begins again instead of going on', async () => {
  await store.put('prod/a.db', randomBytes(200_000));
  fake.fault = (request) =>
    request.operation === 'GetObject' ? (request.nth === 1 ? { cutAfter: 70_000 } : 'ignore range') : undefined;
  expect((await thrownBy(() => readAll('prod/a.db'))).code).toBe('store.refused');
});

// ── Addressing and trust ─────────────────────────────────────────────────────────────────────────────────────────────

test('plain http is refused unless it is allowed', () => {
  const options = { ...optionsFor(fake.port), allowPlainHttp: false };
  expect(() => s3Store(options, systemClock)).toThrow(
    expect.objectContaining({ code: 'config.invalid', hint: expect.stringContaining('allowPlainHttp') as string }),
  );
});

test('a bucket is addressed by path or by host name, as configured', async () => {
  await store.put('prod/a.db', Buffer.from('a'));
  expect(fake.requests.at(-1)).toMatchObject({
    host: `127.0.0.1:${fake.port}`,
    url: expect.stringMatching(/^\/etcd-backup\/site\/prod\/a\.db/) as string,
  });

  vi.spyOn(dns, 'lookup').mockImplementation(((
    _name: string,
    _options: unknown,
    found: (e: null, a: object[]) => void,
  ) => {
    found(null, [{ address: '127.0.0.1', family: 4 }]);
  }) as never);
  const options = { ...optionsFor(fake.port), endpoint: `http://s3.example:${fake.port}`, forcePathStyle: false };
  const hosted = s3Store(options, systemClock, tuning);
  expect(Buffer.from(await hosted.get('prod/a.db')).toString()).toBe('a');
  expect(fake.requests.at(-1)).toMatchObject({
    host: `etcd-backup.s3.example:${fake.port}`,
    url: expect.stringMatching(/^\/site\/prod\/a\.db/) as string,
  });
});

test('without a prefix keys are as they are', async () => {
  store = s3Store({ ...optionsFor(fake.port), prefix: '' }, systemClock, tuning);
  await store.put('prod/a.db', Buffer.from('a'));
  expect([...fake.objects.keys()]).toEqual(['prod/a.db']);
});

test("other people's objects with names that are none of ours are left out of a listing", async () => {
  const whole = s3Store({ ...optionsFor(fake.port), prefix: '' }, systemClock, tuning);
  await whole.put('site/prod/a.db', Buffer.from('a'));
  (fake.objects as Map<string, unknown>).set('site/prod/', { body: Buffer.alloc(0), meta: {}, at: new Date() });
  (fake.objects as Map<string, unknown>).set('site/prod/../x', { body: Buffer.alloc(0), meta: {}, at: new Date() });
  const keys: string[] = [];
  for await (const { key } of store.list('prod/')) keys.push(key);
  expect(keys).toEqual(['prod/a.db']);
});

test('a certificate file that can not be read is told by its name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyturn-ca-'));
  const options = { ...optionsFor(fake.port), endpoint: `https://127.0.0.1:${fake.port}` };
  const missing = s3Store({ ...options, caFile: join(folder, 'none.pem') }, systemClock, tuning);
  expect(await thrownBy(() => missing.get('a'))).toMatchObject({
    code: 'config.invalid',
    message: expect.stringContaining('none.pem') as string,
  });
  await writeFile(join(folder, 'empty.pem'), '');
  const plain = s3Store({ ...options, caFile: join(folder, 'empty.pem') }, systemClock, tuning);
  expect(await thrownBy(() => plain.get('a'))).toMatchObject({
    code: 'store.unreachable',
    hint: expect.stringContaining('TLS') as string,
  });
  await rm(folder, { recursive: true });
});

test('parts grow late: flat up to 4.6 GiB, 20 GiB in 1,000 parts, half a tebibyte in 10,000', () => {
  const GiB = 1024 ** 3;
  const total = (parts: number): number => {
    let sum = 0;
    for (let n = 1; n <= parts; n += 1) sum += sizeOfPart(8 * 1024 * 1024, n);
    return sum / GiB;
  };
  expect(sizeOfPart(1, 600)).toBe(1);
  expect(total(600)).toBeGreaterThan(4.6);
  expect(total(1_000)).toBeGreaterThan(20);
  expect(total(10_000)).toBeGreaterThan(512);
});
