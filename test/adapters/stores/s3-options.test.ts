import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions } from '../../../src/adapters/stores/s3.ts';
import type { SnapshotStore } from '../../../src/ports.ts';
import { startFakeS3, type FakeS3 } from './fake-s3.ts';

/** What a store sends with what it writes, as its options say. */

const PART = 64 * 1024;
let fake: FakeS3;
beforeEach(async () => {
  fake = await startFakeS3('etcd-backup');
});
afterEach(async () => fake.close());

function storeWith(more: Partial<S3StoreOptions>): SnapshotStore {
  const options: S3StoreOptions = {
    name: 'aws',
    endpoint: `http://127.0.0.1:${fake.port}`,
    region: 'us-east-1',
    bucket: 'etcd-backup',
    prefix: 'site',
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId: 'PLANTED-access-key', secretAccessKey: 'PLANTED-secret-key' },
    ...more,
  };
  return s3Store(options, systemClock, { partSize: PART, retry: { tries: 4, pauseMs: 5, withinMs: 5_000 } });
}

/** A check, a manifest, a small upload and a big one; what of `names` went with each request that writes. */
async function sentWith(store: SnapshotStore, names: readonly string[]): Promise<Record<string, string>> {
  await store.check();
  await store.put('prod/a.manifest.json', Buffer.from('{}'));
  for (const [key, size] of [
    ['prod/small.db', 1_000],
    ['prod/big.db', 3 * PART],
  ] as const) {
    const open = await store.beginUpload(key, new AbortController().signal);
    await open.write(randomBytes(size));
    await open.complete();
  }
  const writing = fake.requests.filter(({ operation }) => /^(Put|Create|Upload|Complete)/.test(operation));
  const plain = (key: string): string => key.replace(/^site\//, '').replace(/-check-.*/, '-check');
  return Object.fromEntries(
    writing.map(({ operation, key, headers }) => [
      `${operation} ${plain(key)}`,
      names.map((name) => headers[name] ?? '-').join(' '),
    ]),
  );
}

test('server-side encryption with a KMS key is asked for with everything that is written', async () => {
  const names = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'];
  const asked = 'aws:kms arn:aws:kms:eu-west-1:1:key/a';
  const store = storeWith({ serverSideEncryption: 'aws:kms', kmsKeyId: 'arn:aws:kms:eu-west-1:1:key/a' });
  expect(await sentWith(store, names)).toEqual({
    'PutObject keyturn-check': asked,
    'CreateMultipartUpload keyturn-check': asked,
    'UploadPart keyturn-check': '- -',
    'PutObject prod/a.manifest.json': asked,
    'PutObject prod/small.db': asked,
    'CreateMultipartUpload prod/big.db': asked,
    // The parts of an upload are encrypted as it began.
    'UploadPart prod/big.db': '- -',
    'CompleteMultipartUpload prod/big.db': '- -',
  });
});

test('AES256 is asked for without a key', async () => {
  const names = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'];
  const sent = await sentWith(storeWith({ serverSideEncryption: 'AES256' }), names);
  expect(sent).toMatchObject({ 'PutObject prod/a.manifest.json': 'AES256 -', 'PutObject prod/small.db': 'AES256 -' });
  expect(sent).toMatchObject({ 'CreateMultipartUpload prod/big.db': 'AES256 -' });
});

test('the storage class is for snapshots; manifests can always be read at once', async () => {
  const sent = await sentWith(storeWith({ storageClass: 'GLACIER_IR' }), ['x-amz-storage-class']);
  expect(sent).toMatchObject({
    'PutObject prod/a.manifest.json': '-',
    'PutObject prod/small.db': 'GLACIER_IR',
    'CreateMultipartUpload prod/big.db': 'GLACIER_IR',
    'PutObject keyturn-check': '-',
    'CreateMultipartUpload keyturn-check': 'GLACIER_IR',
  });
});

test('without options nothing is asked for: the bucket has its own default', async () => {
  const sent = await sentWith(storeWith({}), ['x-amz-server-side-encryption', 'x-amz-storage-class']);
  expect(new Set(Object.values(sent))).toEqual(new Set(['- -']));
});

test('whatever is written at once carries its MD5, which buckets with object lock insist on', async () => {
  const sent = await sentWith(storeWith({}), ['content-md5']);
  expect(sent).toMatchObject({ 'PutObject prod/a.manifest.json': 'mZFLkyvTelC5g8XnyQrpOw==' });
  expect(sent['PutObject prod/small.db']).toMatch(/^[\w+/]{22}==$/);
});

test.each([
  [403, 'InvalidObjectState', 'read', 'storageClass'],
  [400, 'KMS.DisabledException', 'write', 'kmsKeyId'],
  [400, 'KMS.NotFoundException', 'write', 'kmsKeyId'],
  [400, 'InvalidStorageClass', 'write', 'storageClass'],
  [400, 'InvalidArgument', 'write', 'serverSideEncryption'],
  [501, 'NotImplemented', 'write', 'documentation'],
] as const)(
  'HTTP %i %s is final: store.refused, told by its code, and the hint speaks of what to change',
  async (status, code, way, hint) => {
    const store = storeWith({});
    await store.put('prod/a.db', Buffer.from('a'));
    fake.fault = ({ operation, nth }) =>
      operation === 'GetObject' || (operation === 'PutObject' && nth > 1) ? { status, code } : undefined;
    const failed = way === 'read' ? store.get('prod/a.db') : store.put('prod/b.db', Buffer.from('b'));
    await expect(failed).rejects.toMatchObject({
      code: 'store.refused',
      message: expect.stringContaining(code) as string,
      hint: expect.stringContaining(hint) as string,
    });
    expect(fake.requests).toHaveLength(2);
  },
);
