import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions } from '../../../src/adapters/stores/s3.ts';
import type { SnapshotStore } from '../../../src/ports.ts';
import { startFakeS3, type FakeRequest, type FakeS3, type Fault } from './fake-s3.ts';

/** What is wrong with requests that object lock or missing rights refuse; test/stores/s3-ceph.test.ts has the real thing. */

let fake: FakeS3;
let store: SnapshotStore;
let options: S3StoreOptions;
beforeEach(async () => {
  fake = await startFakeS3('etcd-backup');
  options = {
    name: 'ceph',
    endpoint: `http://127.0.0.1:${fake.port}`,
    region: 'us-east-1',
    bucket: 'etcd-backup',
    prefix: 'site',
    forcePathStyle: true,
    allowPlainHttp: true,
    caFile: undefined,
    credentials: { accessKeyId: 'PLANTED-access-key', secretAccessKey: 'PLANTED-secret-key' },
  };
  store = s3Store(options, systemClock, { retry: { tries: 4, pauseMs: 5, withinMs: 5_000 } });
  await store.put('prod/a.db', Buffer.from('a'));
});
afterEach(async () => fake.close());

const denied: Fault = { status: 403, code: 'AccessDenied' };
const none: Fault = { status: 404, code: 'NoSuchObjectLockConfiguration' };
const lockIsOn: Fault = {
  answer: '<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>',
};
const failing = (faults: Readonly<Record<string, Fault>>) => (request: FakeRequest) => faults[request.operation];

test('in a bucket that keeps versions, the version that is shown is removed, until none is', async () => {
  fake.shows = { 'x-amz-version-id': 'v2' };
  // An older version is shown once the newest is gone.
  fake.fault = ({ operation, nth }) => (operation === 'DeleteObject' && nth === 1 ? { answer: '' } : undefined);
  await store.remove('prod/a.db');
  const removed = fake.requests.filter(({ operation }) => operation === 'DeleteObject');
  expect(removed.map(({ url }) => new URL(url, 'http://fake').searchParams.get('versionId'))).toEqual(['v2', 'v2']);
});

test('a removal that never ends, because somebody writes again and again, is given up', async () => {
  fake.shows = { 'x-amz-version-id': 'v2' };
  fake.fault = failing({ DeleteObject: { answer: '' } });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({ code: 'store.refused' });
  expect(fake.count('DeleteObject')).toBe(100);
});

test('in a bucket without versions nobody is asked about locks: a refusal is one of rights', async () => {
  fake.fault = failing({ DeleteObject: denied });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({
    code: 'store.credentials',
    message: 'Store ceph could not remove prod/a.db: AccessDenied, HTTP 403.',
    hint: expect.stringContaining('versions') as string,
  });
  expect(fake.requests.map(({ operation }) => operation)).toEqual(['PutObject', 'HeadObject', 'DeleteObject']);
});

test('a version that nothing keeps, and that may not be removed, is one of rights', async () => {
  fake.shows = { 'x-amz-version-id': 'v2' };
  fake.fault = failing({ DeleteObject: denied, GetObjectRetention: none, GetObjectLegalHold: none });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({ code: 'store.credentials' });
});

const future = '2999-01-02T03:04:05.000Z';

test.each<[string, Record<string, string>, string, string]>([
  [
    'a time',
    { 'x-amz-object-lock-retain-until-date': future },
    'it is locked until 2999-01-02T03:04Z.',
    'Wait until 2999-01-02T03:04Z; then remove it again.',
  ],
  [
    'a legal hold',
    { 'x-amz-object-lock-legal-hold': 'ON', 'x-amz-object-lock-retain-until-date': '2020-01-02T03:04:05.000Z' },
    'a legal hold is on it.',
    'Release it, or take the legal hold off in the store; then remove it again.',
  ],
  [
    'both',
    { 'x-amz-object-lock-legal-hold': 'ON', 'x-amz-object-lock-retain-until-date': future },
    'it is locked until 2999-01-02T03:04Z, and a legal hold is on it.',
    'Release it, or take the legal hold off in the store, and wait until 2999-01-02T03:04Z; then remove it again.',
  ],
])('what %s keeps is told as locked, never as wrong credentials, and once', async (_, shown, why, hint) => {
  fake.shows = { 'x-amz-version-id': 'v2', ...shown };
  fake.fault = failing({ DeleteObject: denied });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({
    code: 'store.locked',
    message: `Store ceph does not let go of prod/a.db: ${why}`,
    hint,
  });
  expect(fake.count('DeleteObject')).toBe(1);
});

test('a lock that HEAD does not show is asked for', async () => {
  fake.shows = { 'x-amz-version-id': 'v2' };
  fake.fault = failing({
    DeleteObject: { status: 400, code: 'InvalidRequest' },
    GetObjectRetention: { answer: `<Retention><RetainUntilDate>${future}</RetainUntilDate></Retention>` },
    GetObjectLegalHold: none,
  });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({
    code: 'store.locked',
    message: expect.stringContaining('2999-01-02T03:04Z') as string,
  });
});

test('where the access key may not look at locks, a refusal in a bucket with object lock is told as a lock, with the rights that are missing', async () => {
  fake.shows = { 'x-amz-version-id': 'v2' };
  const faults = { DeleteObject: denied, GetObjectRetention: denied, GetObjectLegalHold: denied };
  fake.fault = failing({ ...faults, GetObjectLockConfiguration: lockIsOn });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({
    code: 'store.locked',
    hint: expect.stringContaining('s3:GetObjectRetention') as string,
  });
  fake.fault = failing({ ...faults, GetObjectLockConfiguration: denied });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({ code: 'store.credentials' });
});

test('a store that goes away while it is asked about a lock is said to be away', async () => {
  fake.shows = { 'x-amz-version-id': 'v2' };
  fake.fault = failing({ DeleteObject: denied, GetObjectRetention: 'reset' });
  await expect(store.remove('prod/a.db')).rejects.toMatchObject({ code: 'store.unreachable' });
});

test.each<[string, Fault | undefined]>([
  ['a bucket without object lock', undefined],
  ['a server that does not know of it', { status: 501, code: 'NotImplemented' }],
  ['a server that takes no such question', { status: 405, code: 'MethodNotAllowed' }],
  ['a server that answers another question', { answer: '<ListBucketResult></ListBucketResult>' }],
])('%s has no legal hold, is asked once, and nothing is written', async (_, fault) => {
  fake.fault = failing(fault ? { GetObjectLockConfiguration: fault } : {});
  expect(await store.legalHold?.('prod/a.db', true)).toBe(false);
  expect(fake.requests.map(({ operation }) => operation)).toEqual(['PutObject', 'GetObjectLockConfiguration']);
});

test('a legal hold in a bucket that does not exist, or that may not be looked at, is an error', async () => {
  fake.fault = failing({ GetObjectLockConfiguration: { status: 404, code: 'NoSuchBucket' } });
  await expect(store.legalHold?.('prod/a.db', true)).rejects.toMatchObject({ code: 'store.not-found' });
  fake.fault = failing({ GetObjectLockConfiguration: denied });
  await expect(store.legalHold?.('prod/a.db', true)).rejects.toMatchObject({
    code: 'store.credentials',
    hint: expect.stringContaining('s3:GetBucketObjectLockConfiguration') as string,
  });
});

test('credentials that have expired are not taken for a bucket without object lock', async () => {
  fake.fault = failing({ GetObjectLockConfiguration: { status: 400, code: 'ExpiredToken' } });
  await expect(store.legalHold?.('prod/a.db', true)).rejects.toMatchObject({ code: 'store.credentials' });
});

test('a check in a bucket that locks whatever is written writes no object, and says so', async () => {
  fake.fault = failing({
    GetObjectLockConfiguration: {
      answer:
        '<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>',
    },
  });
  expect(await store.check()).toContain('it locks what is written for 30 days, so that deleting was not tried');
  expect(fake.count('PutObject')).toBe(1); // the one that was there before
  expect(fake.count('UploadPart')).toBe(1);
  expect(fake.uploads.size).toBe(0);
});
