/** The contract of every store, written against the port alone: the fake, the folder, S3 and those to come pass it. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { OpenUpload, SnapshotStore, StoredObject } from '../../src/ports.ts';

/** A store to hold against the contract. It is empty when handed over, and nobody else uses it. */
export interface StoreUnderTest {
  readonly store: SnapshotStore;
  /** Once so many bytes are written, an upload must be seen by `openUploads`; default 0. */
  readonly seenAfterBytes?: number;
  /** Of two uploads of one key at once, the one that is completed first ends the other; default: both are stored, one after the other. */
  readonly firstEndsOthers?: boolean;
  /** Ends what the test started. */
  close?(): Promise<void>;
}

/** `makeStore` is called once for the suite; each test works under a name of its own. */
export function snapshotStoreContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`${name} keeps the contract of a snapshot store`, () => {
    let made: StoreUnderTest;
    let store: SnapshotStore;
    let cluster = '';
    const never = new AbortController().signal;

    beforeAll(async () => {
      made = await makeStore();
      store = made.store;
    });
    afterAll(async () => made.close?.());
    beforeEach(() => {
      cluster = `c${randomBytes(6).toString('hex')}`;
    });

    const upload = async (key: string, chunks: readonly Uint8Array[]): Promise<StoredObject> => {
      const open = await store.beginUpload(key, never);
      for (const chunk of chunks) await open.write(chunk);
      return open.complete();
    };
    /** An upload that has begun and that the store knows of. */
    const halfWay = async (key: string, signal = never) => {
      const open = await store.beginUpload(key, signal);
      await open.write(randomBytes((made.seenAfterBytes ?? 0) + 1));
      return open;
    };
    const keys = async (prefix: string) => (await all(store.list(prefix))).map((object) => object.key);
    /** Stores may take a moment until a new upload is listed. */
    const openUploads = async (prefix: string, atLeast: number): Promise<OpenUpload[]> => {
      for (let tries = 0; ; tries += 1) {
        const found = await all(store.openUploads(prefix));
        if (found.length >= atLeast || tries >= 50) return found;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };

    test('what is put is what is got, byte for byte', async () => {
      const body = randomBytes(70_000);
      await store.put(`${cluster}/a.manifest.json`, body);
      expect(Buffer.from(await store.get(`${cluster}/a.manifest.json`)).equals(body)).toBe(true);
    });

    test('an empty object is an object', async () => {
      await store.put(`${cluster}/empty`, new Uint8Array());
      expect((await store.get(`${cluster}/empty`)).length).toBe(0);
      expect((await upload(`${cluster}/empty-upload`, [])).size).toBe(0);
      expect((await store.stat(`${cluster}/empty-upload`))?.size).toBe(0);
      expect(await digest(await store.read(`${cluster}/empty-upload`, never))).toEqual(digestOf(Buffer.alloc(0)));
    });

    test('putting again replaces, whole', async () => {
      await store.put(`${cluster}/a`, Buffer.from('a longer first body'));
      await store.put(`${cluster}/a`, Buffer.from('second'));
      expect(Buffer.from(await store.get(`${cluster}/a`)).toString()).toBe('second');
      expect(await keys(`${cluster}/`)).toEqual([`${cluster}/a`]);
    });

    test('an upload of many uneven chunks is stored byte for byte, with its size and time', async () => {
      const total = Math.max(3 * (made.seenAfterBytes ?? 0) + 12_345, 300_000);
      const body = randomBytes(total);
      const before = Date.now();
      const stored = await upload(`${cluster}/big.db`, uneven(body));
      expect(stored).toMatchObject({ key: `${cluster}/big.db`, size: total });
      expect(Math.abs(stored.modifiedAt.getTime() - before)).toBeLessThan(60_000);
      expect(await store.stat(`${cluster}/big.db`)).toMatchObject({ key: `${cluster}/big.db`, size: total });
      expect(await digest(await store.read(`${cluster}/big.db`, never))).toEqual(digestOf(body));
    });

    test('an upload of exactly the size from which it is seen, and one byte around it, is whole', async () => {
      const edge = made.seenAfterBytes ?? 65_536;
      for (const size of [edge - 1, edge, edge + 1]) {
        const body = randomBytes(size);
        expect((await upload(`${cluster}/edge-${size}`, [body])).size).toBe(size);
        expect(await digest(await store.read(`${cluster}/edge-${size}`, never))).toEqual(digestOf(body));
      }
    });

    test('a chunk may be reused by its owner as soon as write resolved', async () => {
      const open = await store.beginUpload(`${cluster}/reuse.db`, never);
      const chunk = Buffer.alloc(50_000, 1);
      await open.write(chunk);
      chunk.fill(2);
      await open.write(chunk);
      chunk.fill(3);
      await open.complete();
      const got = Buffer.from(await store.get(`${cluster}/reuse.db`));
      expect(got.equals(Buffer.concat([Buffer.alloc(50_000, 1), Buffer.alloc(50_000, 2)]))).toBe(true);
    });

    test('an upload is not visible before it is completed', async () => {
      const key = `${cluster}/hidden.db`;
      const open = await halfWay(key);
      expect(await store.stat(key)).toBeUndefined();
      expect(await keys(`${cluster}/`)).toEqual([]);
      await expect(store.get(key)).rejects.toMatchObject({ code: 'store.not-found' });
      await open.complete();
      expect(await keys(`${cluster}/`)).toEqual([key]);
    });

    test('an upload replaces an older object only when it is completed', async () => {
      const key = `${cluster}/a.db`;
      await store.put(key, Buffer.from('old'));
      const first = await halfWay(key);
      expect(Buffer.from(await store.get(key)).toString()).toBe('old');
      await first.abort();
      expect(Buffer.from(await store.get(key)).toString()).toBe('old');
      await upload(key, [Buffer.from('new')]);
      expect(Buffer.from(await store.get(key)).toString()).toBe('new');
    });

    test('an aborted upload leaves nothing, and may be aborted again', async () => {
      const open = await halfWay(`${cluster}/a.db`);
      await open.abort();
      await open.abort();
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
      expect(await keys(`${cluster}/`)).toEqual([]);
    });

    test('an upload that was never written to can be aborted', async () => {
      const open = await store.beginUpload(`${cluster}/a.db`, never);
      await open.abort();
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
      expect(await keys(`${cluster}/`)).toEqual([]);
    });

    test('abort after complete takes nothing away', async () => {
      const open = await halfWay(`${cluster}/a.db`);
      await open.complete();
      await open.abort();
      expect(await keys(`${cluster}/`)).toEqual([`${cluster}/a.db`]);
    });

    test('an upload whose signal is aborted ends with the reason, and can still be cleaned up', async () => {
      const control = new AbortController();
      const open = await halfWay(`${cluster}/a.db`, control.signal);
      const reason = new Error('told to stop');
      control.abort(reason);
      await expect(open.write(Buffer.alloc(10))).rejects.toBe(reason);
      await expect(open.complete()).rejects.toBe(reason);
      await open.abort();
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
      expect(await keys(`${cluster}/`)).toEqual([]);
    });

    test('no upload begins under an aborted signal', async () => {
      const reason = new Error('told to stop');
      await expect(store.beginUpload(`${cluster}/a.db`, AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
    });

    test('open uploads are found by prefix, and can be aborted by whoever finds them', async () => {
      const mine = await halfWay(`${cluster}/a.db`);
      const other = await halfWay(`${cluster}-other/a.db`);
      const found = await openUploads(`${cluster}/`, 1);
      expect(found).toMatchObject([{ key: `${cluster}/a.db` }]);
      expect(Math.abs((found[0]?.startedAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);

      for (const upload of found) await store.abortUpload(upload);
      for (const upload of found) await store.abortUpload(upload);
      // Bytes that its writer had on their way may bring an upload back, once: Ceph is such a store.
      await new Promise((resolve) => setTimeout(resolve, made.seenAfterBytes === undefined ? 0 : 300));
      for (const upload of await all(store.openUploads(`${cluster}/`))) await store.abortUpload(upload);
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
      expect(await openUploads(`${cluster}-other/`, 1)).toHaveLength(1);
      await mine.abort();
      await other.abort();
    });

    test('an upload that someone else aborted can not be completed', async () => {
      const open = await halfWay(`${cluster}/a.db`);
      for (const upload of await openUploads(`${cluster}/`, 1)) await store.abortUpload(upload);
      await expect(open.complete()).rejects.toMatchObject({ code: 'store.refused' });
      await open.abort();
      expect(await keys(`${cluster}/`)).toEqual([]);
    });

    test('two uploads of one key do not mix', async () => {
      const quarter = Math.max(25_000, made.seenAfterBytes ?? 0);
      const [a, b] = [randomBytes(8 * quarter), randomBytes(4 * quarter)];
      const first = await store.beginUpload(`${cluster}/a.db`, never);
      const second = await store.beginUpload(`${cluster}/a.db`, never);
      for (let at = 0; at < 4; at += 1) {
        await first.write(a.subarray(at * 2 * quarter, (at + 1) * 2 * quarter));
        await second.write(b.subarray(at * quarter, (at + 1) * quarter));
      }
      await first.complete();
      expect(await digest(await store.read(`${cluster}/a.db`, never))).toEqual(digestOf(a));
      if (made.firstEndsOthers === true) {
        await expect(second.complete()).rejects.toMatchObject({ code: 'store.refused' });
        await second.abort();
      } else await second.complete();
      const last = made.firstEndsOthers === true ? a : b;
      expect(await digest(await store.read(`${cluster}/a.db`, never))).toEqual(digestOf(last));
      expect(await keys(`${cluster}/`)).toEqual([`${cluster}/a.db`]);
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
    });

    test('a listing has every object under the prefix, in the order of keys, and no other', async () => {
      const names = ['b.db', 'a/x', 'a.db', 'a-1', 'Z', 'ä', ...Array.from({ length: 20 }, (_, n) => `n${n}`)];
      for (const name of names) await store.put(`${cluster}/${name}`, Buffer.from(name));
      await store.put(`${cluster}-other/c.db`, Buffer.from('no'));
      const expected = names.map((name) => Buffer.from(`${cluster}/${name}`)).sort((x, y) => Buffer.compare(x, y));
      expect(await keys(`${cluster}/`)).toEqual(expected.map((key) => key.toString()));
      expect(await keys(`${cluster}/a`)).toEqual(['a-1', 'a.db', 'a/x'].map((name) => `${cluster}/${name}`));
      expect(await keys(`${cluster}/none`)).toEqual([]);
      expect((await all(store.list(`${cluster}/b`)))[0]).toMatchObject({ key: `${cluster}/b.db`, size: 4 });
      expect(await keys('')).toContain(`${cluster}-other/c.db`);
    });

    test('a listing may be left early', async () => {
      for (const name of ['a', 'b', 'c']) await store.put(`${cluster}/${name}`, Buffer.from(name));
      for await (const object of store.list(`${cluster}/`)) {
        expect(object.key).toBe(`${cluster}/a`);
        break;
      }
    });

    test('what is removed is gone; removing it again is no error', async () => {
      await store.put(`${cluster}/a`, Buffer.from('a'));
      await store.remove(`${cluster}/a`);
      await store.remove(`${cluster}/a`);
      expect(await store.stat(`${cluster}/a`)).toBeUndefined();
      expect(await keys(`${cluster}/`)).toEqual([]);
    });

    test('what is not there is said to be not there', async () => {
      const notFound = { name: 'KeyturnError', code: 'store.not-found', hint: expect.stringMatching(/\w/) as string };
      await expect(store.get(`${cluster}/none`)).rejects.toMatchObject(notFound);
      await expect(store.read(`${cluster}/none`, never)).rejects.toMatchObject(notFound);
      expect(await store.stat(`${cluster}/none`)).toBeUndefined();
    });

    test.each(['', '/etc/passwd', '../up', 'a/../../up', 'a/./b', 'a//b', 'a/', '.hidden', 'a\\b', 'a\0b', 'a\nb'])(
      'no object can be named %j',
      async (key) => {
        const refused = { name: 'KeyturnError', code: 'store.refused' };
        await expect(store.put(key, Buffer.from('x'))).rejects.toMatchObject(refused);
        await expect(store.beginUpload(key, never)).rejects.toMatchObject(refused);
        await expect(store.get(key)).rejects.toMatchObject(refused);
        await expect(store.read(key, never)).rejects.toMatchObject(refused);
        await expect(store.stat(key)).rejects.toMatchObject(refused);
        await expect(store.remove(key)).rejects.toMatchObject(refused);
        await expect(store.abortUpload({ key, id: '1', startedAt: new Date() })).rejects.toMatchObject(refused);
      },
    );

    test('a reader that stops early harms nobody', async () => {
      const body = randomBytes(500_000);
      await upload(`${cluster}/a.db`, [body]);
      const left = await store.read(`${cluster}/a.db`, never);
      for await (const chunk of left) {
        expect((chunk as Buffer).length).toBeGreaterThan(0);
        break;
      }
      expect(left.destroyed).toBe(true);
      expect(await digest(await store.read(`${cluster}/a.db`, never))).toEqual(digestOf(body));
    });

    test('a read whose signal is aborted ends with the reason', async () => {
      await upload(`${cluster}/a.db`, [randomBytes(3_000_000)]);
      const control = new AbortController();
      const reason = new Error('told to stop');
      const stream = await store.read(`${cluster}/a.db`, control.signal);
      const reading = (async () => {
        for await (const chunk of stream) {
          expect((chunk as Buffer).length).toBeGreaterThan(0);
          control.abort(reason);
        }
      })();
      await expect(reading).rejects.toBe(reason);
      await expect(store.read(`${cluster}/a.db`, control.signal)).rejects.toBe(reason);
    });

    test('a check says in one line what it found, and leaves nothing behind', async () => {
      const before = await keys('');
      expect(await store.check()).toMatch(/^[^\n]+$/);
      expect(await store.check(never)).toMatch(/^[^\n]+$/);
      expect(await keys('')).toEqual(before);
      expect(await all(store.openUploads(''))).toEqual([]);
    });
  });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Cuts `body` into chunks of very different sizes. */
function uneven(body: Buffer): Buffer[] {
  const sizes = [1, 32_768, 0, 17, 65_536, 4_096, 1_000_000, 3];
  const chunks: Buffer[] = [];
  for (let at = 0, n = 0; at < body.length; n += 1) {
    const size = sizes[n % sizes.length] ?? 1;
    chunks.push(body.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

async function digest(stream: AsyncIterable<Uint8Array>): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest('hex') };
}

function digestOf(body: Buffer): { size: number; sha256: string } {
  return { size: body.length, sha256: createHash('sha256').update(body).digest('hex') };
}
