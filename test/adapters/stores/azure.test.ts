/** Holds the Azure Blob store against a service that fails in all the ways a service can, and that keeps blobs as Azure does. */
import { createHash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/adapters/clock.ts';
import { azureBlobStore, type AzureBlobStoreOptions } from '../../../src/adapters/stores/azure.ts';
import type { StoreTuning } from '../../../src/adapters/stores/tuning.ts';
import type { SnapshotStore } from '../../../src/ports.ts';
import { startFakeAzure, type FakeAzure, type FakeRequest } from './fake-azure.ts';

const PART = 64 * 1024;
const never = new AbortController().signal;
const KEY = Buffer.from('PLANTED-account-key').toString('base64');
const tuning: Partial<StoreTuning> = {
  partSize: PART,
  retry: { tries: 3, pauseMs: 5, withinMs: 5_000 },
  idleTimeoutMs: 300,
  connectTimeoutMs: 300,
};

let fake: FakeAzure;
let store: SnapshotStore;
const optionsOf = (endpoint: string): AzureBlobStoreOptions => ({
  name: 'azure',
  endpoint,
  container: 'etcd-backup',
  prefix: 'site',
  allowPlainHttp: true,
  caFile: undefined,
  credentials: { kind: 'key', accountName: 'fake', accountKey: KEY },
});

beforeEach(async () => {
  fake = await startFakeAzure();
  store = azureBlobStore(optionsOf(fake.endpoint), systemClock, tuning);
});
afterEach(() => fake.close());

const on = (operation: FakeRequest['operation'], nth: number, fault: ReturnType<FakeAzure['fault']>): void => {
  fake.fault = (request) => (request.operation === operation && request.nth === nth ? fault : undefined);
};
async function upload(body: Buffer) {
  const open = await store.beginUpload('prod/a.db', never);
  await open.write(body);
  return open.complete();
}
async function found(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  for await (const { key } of store.openUploads('')) keys.push(`open: ${key}`);
  return keys;
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('an upload', () => {
  test('sends each block with its MD5, and again when bytes changed on the way', async () => {
    on('PutBlock', 2, 'flip');
    const body = randomBytes(3 * PART + 5);
    await upload(body);
    expect(sha256(await store.get('prod/a.db'))).toBe(sha256(body));
    const blocks = fake.requests.filter(({ operation }) => operation === 'PutBlock');
    expect(blocks).toHaveLength(5);
    for (const { headers } of blocks) expect(headers['content-md5']).toMatch(/^[\w+/]{22}==$/);
  });

  test('of less than a block is one request, with its MD5', async () => {
    on('PutBlob', 1, 'flip');
    const body = randomBytes(100);
    await upload(body);
    expect(sha256(await store.get('prod/a.db'))).toBe(sha256(body));
    expect([fake.count('PutBlob'), fake.count('PutBlock')]).toEqual([2, 0]);
  });

  test.each(['PutBlock', 'PutBlockList', 'PutBlob'] as const)('survives a lost answer to %s', async (operation) => {
    on(operation, 1, 'reset after');
    const body = randomBytes(operation === 'PutBlob' ? 10 : 2 * PART + 1);
    expect((await upload(body)).size).toBe(body.length);
    expect(sha256(await store.get('prod/a.db'))).toBe(sha256(body));
    expect(await found()).toEqual(['prod/a.db']);
  });

  test('that the service shows in another size is not taken for stored, and goes with the abort', async () => {
    const open = await store.beginUpload('prod/a.db', never);
    await open.write(randomBytes(2 * PART));
    fake.fault = ({ operation, blob }) => {
      const stored = fake.blobs.get(blob);
      if (operation === 'HeadBlob' && stored) fake.blobs.set(blob, { ...stored, body: stored.body.subarray(1) });
      return undefined;
    };
    await expect(open.complete()).rejects.toMatchObject({ code: 'store.corrupt' });
    await open.abort();
    expect([...fake.blobs]).toEqual([]);
  });

  test('that is aborted leaves nothing, also when the answers to that were lost', async () => {
    for (const operation of ['PutBlockList', 'DeleteBlob'] as const) {
      const open = await store.beginUpload('prod/a.db', never);
      await open.write(randomBytes(2 * PART));
      await settle(() => fake.blocks.get('site/prod/a.db')?.size === 2);
      on(operation, fake.count(operation) + 1, 'reset after');
      await open.abort();
      expect(await found()).toEqual([]);
      expect([fake.blobs.size, fake.blocks.size]).toEqual([0, 0]);
    }
  });

  test('that replaces a blob and is aborted does not touch the blob', async () => {
    await store.put('prod/a.db', Buffer.from('old'));
    const etag = fake.blobs.get('site/prod/a.db')?.etag;
    const open = await store.beginUpload('prod/a.db', never);
    await open.write(randomBytes(2 * PART));
    await open.abort();
    expect(fake.blobs.get('site/prod/a.db')?.etag).toBe(etag);
    expect(await found()).toEqual(['prod/a.db']);
  });

  test('whose blob appears while its blocks are dropped leaves that blob alone', async () => {
    const open = await store.beginUpload('prod/a.db', never);
    await open.write(randomBytes(2 * PART));
    await settle(() => fake.blocks.get('site/prod/a.db')?.size === 2);
    fake.fault = ({ operation, blob }) => {
      const stored = fake.blobs.get(blob);
      // Another upload is completed between the empty commit and its removal.
      if (operation === 'DeleteBlob' && stored)
        fake.blobs.set(blob, { ...stored, etag: '"other"', body: Buffer.from('other') });
      return undefined;
    };
    await open.abort();
    expect(fake.blobs.get('site/prod/a.db')?.body.toString()).toBe('other');
  });

  test('whose block arrives after its abort leaves nothing all the same', async () => {
    const late = Buffer.from('late');
    fake.fault = ({ operation, nth }) => (operation === 'PutBlock' && nth <= 3 ? 'reset after' : undefined);
    const open = await store.beginUpload('prod/a.db', never);
    await open.write(randomBytes(PART));
    await settle(() => fake.count('PutBlock') === 3);
    const [id] = [...(fake.blocks.get('site/prod/a.db')?.keys() ?? [])];
    fake.blocks.clear();
    // A server that stood still goes on with what it has in its buffers.
    setTimeout(() => fake.blocks.set('site/prod/a.db', new Map([[id ?? '', late]])), 200);
    await open.abort();
    expect(await found()).toEqual([]);
    expect([fake.blobs.size, fake.blocks.size]).toEqual([0, 0]);
  });

  test('of another tool is found too, and can be aborted', async () => {
    fake.blocks.set('site/prod/b.db', new Map([[Buffer.from('block-1').toString('base64'), Buffer.from('x')]]));
    expect(await found()).toEqual(['open: prod/b.db']);
    for await (const open of store.openUploads('prod/')) await store.abortUpload(open);
    expect(await found()).toEqual([]);
  });

  test('is not aborted by the id of an earlier one', async () => {
    const open = await store.beginUpload('prod/a.db', never);
    await open.write(randomBytes(2 * PART));
    await settle(() => fake.blocks.get('site/prod/a.db')?.size === 2);
    await store.abortUpload({ key: 'prod/a.db', id: '1700000000000-0123456789abcdef', startedAt: new Date(0) });
    expect(await found()).toEqual(['open: prod/a.db']);
    expect((await open.complete()).size).toBe(2 * PART);
  });
});

describe('a read', () => {
  const body = randomBytes(500_000);
  beforeEach(() => store.put('prod/a.db', body));

  test.each([{ cutAfter: 100_000 }, { stallAfter: 100_000 }])(
    'goes on where it stopped when the connection fails: %j',
    async (fault) => {
      on('GetBlob', 1, fault);
      expect(sha256(await store.get('prod/a.db'))).toBe(sha256(body));
      const [first, second] = fake.requests.filter(({ operation }) => operation === 'GetBlob');
      expect(first?.headers['if-match']).toBeUndefined();
      expect(second?.headers['if-match']).toBe(fake.blobs.get('site/prod/a.db')?.etag);
      expect(second?.headers['x-ms-range']).toMatch(/^bytes=[1-9]\d*-$/);
    },
  );

  test('of a blob that is replaced in between does not mix the two', async () => {
    fake.fault = ({ operation, nth, blob }) => {
      const stored = fake.blobs.get(blob);
      if (operation !== 'GetBlob' || !stored) return undefined;
      if (nth === 1) return { cutAfter: 100_000 };
      fake.blobs.set(blob, { ...stored, etag: '"other"' });
      return undefined;
    };
    await expect(store.get('prod/a.db')).rejects.toMatchObject({
      code: 'store.refused',
      message: expect.stringContaining('replaced meanwhile') as string,
    });
  });

  test('fails when the service does not go on where it is asked to', async () => {
    fake.fault = ({ operation, nth }) =>
      operation === 'GetBlob' ? (nth === 1 ? { cutAfter: 100_000 } : 'ignore range') : undefined;
    await expect(store.get('prod/a.db')).rejects.toMatchObject({ code: 'store.refused' });
  });

  test('that never gets a byte is given up as unreachable', async () => {
    fake.fault = ({ operation }) => (operation === 'GetBlob' ? { cutAfter: 0 } : undefined);
    await expect(store.get('prod/a.db')).rejects.toMatchObject({ code: 'store.unreachable' });
  });
});

describe('what Azure keeps', () => {
  beforeEach(() => store.put('prod/a.db', Buffer.from('a')));

  test('a legal hold is put on and taken off where the container has version-level immutability', async () => {
    fake.container.versions = true;
    expect(await store.legalHold?.('prod/a.db', true)).toBe(true);
    expect(await store.legalHold?.('prod/a.db', true)).toBe(true);
    expect(fake.blobs.get('site/prod/a.db')?.hold).toBe(true);
    expect(await store.legalHold?.('prod/a.db', false)).toBe(true);
    expect(fake.blobs.get('site/prod/a.db')?.hold).toBe(false);
    expect(await store.legalHold?.('prod/gone.db', false)).toBe(false);
    await expect(store.legalHold?.('prod/gone.db', true)).rejects.toMatchObject({ code: 'store.not-found' });
  });

  test('without it the answer is that nothing keeps the blob', async () => {
    expect(await store.legalHold?.('prod/a.db', true)).toBe(false);
  });

  test('who may not look at the container hears the same, unless the refusal says another reason', async () => {
    const forbidden = { status: 403, code: 'AuthorizationFailure' };
    fake.fault = ({ operation }) => (operation === 'GetContainer' ? forbidden : undefined);
    expect(await store.legalHold?.('prod/a.db', true)).toBe(false);
    fake.fault = ({ operation }) =>
      operation === 'GetContainer'
        ? forbidden
        : operation === 'SetLegalHold'
          ? { status: 409, code: 'BlobImmutableDueToPolicy' }
          : undefined;
    await expect(store.legalHold?.('prod/a.db', true)).rejects.toMatchObject({ code: 'store.locked' });
  });

  test('a refusal for another reason is an error, not "no such thing"', async () => {
    fake.container.versions = true;
    on('SetLegalHold', 1, { status: 409, code: 'LeaseIdMissing' });
    await expect(store.legalHold?.('prod/a.db', true)).rejects.toMatchObject({ code: 'store.locked' });
    on('SetLegalHold', 2, { status: 403, code: 'AuthorizationPermissionMismatch' });
    await expect(store.legalHold?.('prod/a.db', true)).rejects.toMatchObject({ code: 'store.credentials' });
  });

  test.each([
    ['a legal hold', (blob: { hold: boolean }) => (blob.hold = true), 'legal hold'],
    [
      'a policy that has not run out',
      (blob: { keptUntil?: Date }) => (blob.keptUntil = new Date(Date.now() + 60_000)),
      'policy',
    ],
  ])('a blob under %s is not hidden as a version: store.locked', async (_, keep, says) => {
    const blob = fake.blobs.get('site/prod/a.db');
    if (!blob) throw new Error('not stored');
    keep(blob);
    await expect(store.remove('prod/a.db')).rejects.toMatchObject({
      code: 'store.locked',
      message: expect.stringContaining(says) as string,
    });
    expect(fake.versions).toEqual([]);
    expect(await found()).toEqual(['prod/a.db']);
  });

  test('a policy that has run out keeps nothing', async () => {
    const blob = fake.blobs.get('site/prod/a.db');
    if (blob) blob.keptUntil = new Date(Date.now() - 60_000);
    await store.remove('prod/a.db');
    expect(await found()).toEqual([]);
  });

  test('a container whose policy keeps everything: a check writes nothing, an abort leaves no empty blob', async () => {
    fake.container.policy = true;
    expect(await store.check()).toContain('a policy keeps all that is written');
    const open = await store.beginUpload('prod/b.db', never);
    await open.write(randomBytes(2 * PART));
    await open.abort();
    expect([...fake.blobs.keys()]).toEqual(['site/prod/a.db']);
    await expect(store.remove('prod/a.db')).rejects.toMatchObject({ code: 'store.locked' });
  });
});

describe('errors in our words', () => {
  test.each([
    [403, 'AuthenticationFailed', 'store.credentials', 'accountKey'],
    [403, 'AuthorizationPermissionMismatch', 'store.credentials', 'Storage Blob Data Contributor'],
    [403, 'KeyBasedAuthenticationNotPermitted', 'store.credentials', 'accountName'],
    [404, 'ContainerNotFound', 'store.not-found', 'Create container etcd-backup'],
    [409, 'BlobImmutableDueToPolicy', 'store.locked', 'policy'],
    [409, 'BlobImmutableDueToLegalHold', 'store.locked', 'legal hold'],
    [412, 'LeaseIdMissing', 'store.locked', 'lease'],
    [409, 'SnapshotsPresent', 'store.locked', 'snapshots'],
    [409, 'BlobArchived', 'store.refused', 'hot or cool'],
    [507, 'Whatever', 'store.full', 'Make room'],
    [503, 'ServerBusy', 'store.unreachable', 'fewer requests'],
    [500, 'InternalError', 'store.unreachable', 'log'],
    [418, 'Teapot', 'store.refused', 'documentation'],
  ])('HTTP %i %s is %s, with a hint', async (status, code, ours, hint) => {
    fake.fault = () => ({ status, code });
    const problem: unknown = await store.put('prod/a.db', Buffer.from('a')).catch((error: unknown) => error);
    expect(problem).toMatchObject({ code: ours, hint: expect.stringContaining(hint) as string });
    expect(inspect(problem, { depth: 20, showHidden: true })).not.toMatch(/PLANTED|SharedKey/);
    expect(fake.count('PutBlob')).toBe(ours === 'store.unreachable' ? 3 : 1);
  });

  test('a server that is gone is said to be away', async () => {
    await fake.close();
    await expect(store.stat('prod/a.db')).rejects.toMatchObject({
      code: 'store.unreachable',
      hint: expect.stringContaining(fake.endpoint) as string,
    });
    fake = await startFakeAzure();
  });

  test('plain http is refused unless it is allowed, and always for an identity', () => {
    const options = optionsOf(fake.endpoint);
    const make = (changes: Partial<AzureBlobStoreOptions>) => () =>
      azureBlobStore({ ...options, ...changes }, systemClock);
    expect(make({ allowPlainHttp: false })).toThrow(expect.objectContaining({ code: 'config.invalid' }) as Error);
    expect(make({ credentials: { kind: 'default' } })).toThrow(
      expect.objectContaining({ code: 'config.invalid' }) as Error,
    );
  });

  test('a caFile that can not be read is told by its name', async () => {
    const broken = azureBlobStore(
      { ...optionsOf(fake.endpoint.replace('http:', 'https:')), caFile: '/no/such/ca.pem' },
      systemClock,
      tuning,
    );
    await expect(broken.check()).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining('/no/such/ca.pem') as string,
    });
  });
});

/** Resolves when `isSo`; what is sent is on its way for a moment. */
async function settle(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !isSo(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(isSo()).toBe(true);
}
