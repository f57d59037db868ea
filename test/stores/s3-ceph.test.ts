/** Holds the S3 store against Ceph: the contract in buckets with and without versions, what fails, and what object lock does. */
import { createHash, randomBytes } from 'node:crypto';
import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectRetentionCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CEPH_KMS_KEY, type CephBucket } from '../../deploy/local/services/ceph.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions } from '../../src/adapters/stores/s3.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { startTestCeph, type TestCeph } from '../adapters/stores/ceph.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { startLink } from '../support/link.ts';
import { faultyS3, PART, quick } from './s3-faulty.ts';

const never = new AbortController().signal;
const key = 'prod/a.db';
let ceph: TestCeph;
beforeAll(async () => {
  ceph = await startTestCeph();
});
afterAll(() => ceph.remove());

/** A store of a new bucket of its own. */
async function inBucket(
  kind: Omit<CephBucket, 'name'> = {},
  more: Partial<S3StoreOptions> = {},
): Promise<{ store: SnapshotStore; options: S3StoreOptions }> {
  const name = `b-${randomBytes(6).toString('hex')}`;
  await ceph.makeBucket({ name, ...kind });
  const options = { ...ceph.options(name), ...more };
  return { store: s3Store(options, systemClock, { ...quick, pageSize: 7 }), options };
}

for (const [kind, more] of [
  ['in a plain bucket', {}],
  ['in a bucket that keeps versions', { versioning: true }],
  ['in a bucket with object lock', { objectLock: true }],
] as const) {
  snapshotStoreContract(`S3, as Ceph speaks it, ${kind},`, async () => {
    const { store } = await inBucket(more);
    return { store, seenAfterBytes: PART };
  });
}

async function upload(store: SnapshotStore, body: Buffer): Promise<void> {
  const open = await store.beginUpload(key, never);
  await open.write(body);
  await open.complete();
}

/** What an administrator would ask the server, beside us. */
function admin({ endpoint = '', region, bucket, credentials }: S3StoreOptions) {
  if (!credentials) throw new Error('no credentials');
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  return {
    /** Every version and every mark of a removal, with anything that makes them up. */
    async versions(): Promise<string[]> {
      const { Versions = [], DeleteMarkers = [] } = await client.send(
        new ListObjectVersionsCommand({ Bucket: bucket }),
      );
      return [...Versions.map(({ Key }) => Key ?? ''), ...DeleteMarkers.map(({ Key }) => `removed: ${Key ?? ''}`)];
    },
    async lock(until: Date): Promise<void> {
      const Retention = { Mode: 'GOVERNANCE', RetainUntilDate: until } as const;
      await client.send(new PutObjectRetentionCommand({ Bucket: bucket, Key: key, Retention }));
    },
    putMark: () => client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key })),
    head: () => client.send(new HeadObjectCommand({ Bucket: bucket, Key: key })),
  };
}

async function listed(store: SnapshotStore): Promise<string[]> {
  const found: string[] = [];
  for await (const object of store.list('')) found.push(object.key);
  return found;
}

describe('where Ceph keeps versions', () => {
  test('what is removed is gone with all of its versions: its bytes are freed, and nothing is hidden', async () => {
    const { store, options } = await inBucket({ versioning: true });
    await upload(store, randomBytes(2 * PART));
    await upload(store, randomBytes(100));
    await store.put(key, Buffer.from('third'));
    expect(await admin(options).versions()).toHaveLength(3);
    await store.remove(key);
    expect(await admin(options).versions()).toEqual([]);
    expect(await listed(store)).toEqual([]);
  });

  test('what somebody else removed with a mark is not listed, and removing it is no error', async () => {
    const { store, options } = await inBucket({ versioning: true });
    await upload(store, randomBytes(100));
    await admin(options).putMark();
    await store.remove(key);
    expect(await listed(store)).toEqual([]);
    expect(await store.stat(key)).toBeUndefined();
    expect(await admin(options).versions()).toEqual([key, `removed: ${key}`]);
  });

  test('a check leaves no version and no mark', async () => {
    const { store, options } = await inBucket({ versioning: true });
    await store.check();
    expect(await admin(options).versions()).toEqual([]);
  });
});

describe('where Ceph has object lock', () => {
  test('a snapshot under a legal hold is not let go of, and not hidden either; once released, it goes', async () => {
    const { store, options } = await inBucket({ objectLock: true });
    await upload(store, randomBytes(2 * PART));
    expect(await store.legalHold?.(key, true)).toBe(true);
    expect(await store.legalHold?.(key, true)).toBe(true);
    await expect(store.remove(key)).rejects.toMatchObject({
      code: 'store.locked',
      message: `Store ceph does not let go of ${key}: a legal hold is on it.`,
    });
    expect(await listed(store)).toEqual([key]);
    expect((await store.stat(key))?.size).toBe(2 * PART);
    expect(await admin(options).versions()).toEqual([key]);

    expect(await store.legalHold?.(key, false)).toBe(true);
    expect(await store.legalHold?.(key, false)).toBe(true);
    await store.remove(key);
    expect(await admin(options).versions()).toEqual([]);
  });

  test('a snapshot that is locked until a time is not let go of, and the time is told', async () => {
    const { store, options } = await inBucket({ objectLock: true });
    await upload(store, randomBytes(100));
    const until = new Date(Date.now() + 3_600_000);
    await admin(options).lock(until);
    await expect(store.remove(key)).rejects.toMatchObject({
      code: 'store.locked',
      message: expect.stringContaining(`locked until ${until.toISOString().slice(0, 16)}Z`) as string,
    });
    expect(await listed(store)).toEqual([key]);
  });

  test('a lock that has ended keeps nothing', async () => {
    const { store, options } = await inBucket({ objectLock: true });
    await upload(store, randomBytes(100));
    await admin(options).lock(new Date(Date.now() + 2_000));
    await expect(store.remove(key)).rejects.toMatchObject({ code: 'store.locked' });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await store.remove(key);
    expect(await listed(store)).toEqual([]);
  });

  test('a bucket that locks whatever is written takes uploads of every size; they are told as locked', async () => {
    const { store, options } = await inBucket({ objectLock: true, retentionDays: 2 });
    for (const size of [100, 3 * PART + 1]) await upload(store, randomBytes(size));
    await store.put('prod/a.manifest.json', Buffer.from('{}'));
    const day = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10);
    await expect(store.remove(key)).rejects.toMatchObject({
      code: 'store.locked',
      message: expect.stringContaining(day) as string,
    });
    expect(await listed(store)).toEqual([key, 'prod/a.manifest.json']);
    expect(await admin(options).versions()).toHaveLength(3);
  });

  test('a bucket that locks whatever is written is checked without an object that could not be removed', async () => {
    const { store, options } = await inBucket({ objectLock: true, retentionDays: 2 });
    expect(await store.check()).toContain('locks what is written for 2 days');
    expect(await admin(options).versions()).toEqual([]);
    for await (const open of store.openUploads('')) expect(open).toBeUndefined();
  });

  test('an upload that is aborted leaves nothing that would be locked', async () => {
    const { store, options } = await inBucket({ objectLock: true, retentionDays: 2 });
    const open = await store.beginUpload(key, never);
    await open.write(randomBytes(3 * PART));
    await open.abort();
    expect(await admin(options).versions()).toEqual([]);
  });

  test('a legal hold on what is not there is an error; taking it off is none', async () => {
    const { store } = await inBucket({ objectLock: true });
    await expect(store.legalHold?.('prod/none.db', true)).rejects.toMatchObject({ code: 'store.not-found' });
    expect(await store.legalHold?.('prod/none.db', false)).toBe(true);
  });
});

test.each([
  ['plain', {}],
  ['with versions', { versioning: true }],
])('a bucket %s has no legal hold, says so, and the object stays as it was', async (_, kind) => {
  const { store } = await inBucket(kind);
  await store.put(key, Buffer.from('here'));
  expect(await store.legalHold?.(key, true)).toBe(false);
  expect(Buffer.from(await store.get(key)).toString()).toBe('here');
  await store.remove(key);
});

test('uploads are encrypted with the KMS key that is configured, in parts and at once, and read whole', async () => {
  const { store, options } = await inBucket({}, { serverSideEncryption: 'aws:kms', kmsKeyId: CEPH_KMS_KEY });
  await store.check();
  for (const size of [100, 3 * PART + 1]) {
    const body = randomBytes(size);
    await upload(store, body);
    const hash = createHash('sha256');
    for await (const chunk of await store.read(key, never)) hash.update(chunk as Buffer);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
    expect(await admin(options).head()).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: CEPH_KMS_KEY });
  }
});

test('a KMS key and a storage class that the server does not have are refused, with a hint at the setting', async () => {
  for (const more of [
    { serverSideEncryption: 'aws:kms', kmsKeyId: 'none' },
    { storageClass: 'STANDARD_IA' },
  ] as const) {
    const { store } = await inBucket({}, more);
    await expect(store.check()).rejects.toMatchObject({
      code: 'store.refused',
      hint: expect.stringContaining(Object.keys(more).at(-1) ?? '') as string,
    });
    expect(await listed(store)).toEqual([]);
  }
});

test('a read whose connection breaks after the object was replaced is refused: two snapshots are never mixed', async () => {
  const { store, options } = await inBucket();
  await upload(store, randomBytes(40 * 1024 * 1024));
  const { hostname, port } = new URL(ceph.endpoint);
  const link = await startLink({ host: hostname, port: Number(port) });
  try {
    const through = s3Store({ ...options, endpoint: `http://127.0.0.1:${link.port}` }, systemClock, quick);
    let read = 0;
    const reading = (async () => {
      for await (const chunk of await through.read(key, never)) {
        if (read === 0) {
          await store.put(key, Buffer.from('another'));
          link.cut();
        }
        read += (chunk as Buffer).length;
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'store.refused' });
  } finally {
    await link.close();
  }
});

snapshotStoreFaults('S3, as Ceph speaks it,', async () => {
  const { options } = await inBucket();
  return faultyS3({
    ...ceph,
    options,
    small: async (quota) => (await inBucket({ quota })).options,
    // It is everybody's here.
    remove: async () => undefined,
  });
});
