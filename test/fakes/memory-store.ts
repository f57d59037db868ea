/** A store in memory that keeps the contract of every store, and fails where a test tells it to. */
import { Readable } from 'node:stream';
import { assertKey, compareKeys } from '../../src/domain/object-key.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { Clock, OpenUpload, SnapshotStore, StoredObject, Upload } from '../../src/ports.ts';
import { systemClock } from '../../src/adapters/clock.ts';

/** What can be made to fail: the port's methods, and those of an upload. */
export type StoreOperation =
  Exclude<keyof SnapshotStore, 'name' | 'kind'> | 'upload.write' | 'upload.complete' | 'upload.abort';

export interface MemoryStore extends SnapshotStore {
  /** What is stored, by key; tests may look and tamper. */
  readonly objects: Map<string, { readonly body: Buffer; readonly modifiedAt: Date }>;
  /** Every call so far, in order, e.g. `put prod/1.manifest.json`. */
  readonly calls: string[];
  /** The next `times` (default: all) calls of `operation` throw `error`, until `heal`. */
  fail(operation: StoreOperation, error: Error, times?: number): void;
  heal(): void;
}

export function memoryStore(name = 'memory', clock: Clock = systemClock): MemoryStore {
  const objects: MemoryStore['objects'] = new Map();
  const uploads = new Map<string, OpenUpload>();
  const failures = new Map<StoreOperation, { error: Error; left: number }>();
  const calls: string[] = [];
  let lastUpload = 0;

  const called = (operation: StoreOperation, detail: string): void => {
    calls.push(`${operation} ${detail}`);
    const failure = failures.get(operation);
    if (failure === undefined || failure.left <= 0) return;
    failure.left -= 1;
    throw failure.error;
  };
  const save = (key: string, body: Buffer): StoredObject => {
    const modifiedAt = clock.now();
    objects.set(key, { body, modifiedAt });
    return { key, size: body.length, modifiedAt };
  };
  const find = (key: string): Buffer => {
    const object = objects.get(key);
    if (object) return object.body;
    throw new KeyturnError('store.not-found', `Store ${name} has no object ${key}.`, { hint: 'List the snapshots.' });
  };
  const startUpload = (key: string, signal: AbortSignal): Upload => {
    const id = String((lastUpload += 1));
    const chunks: Buffer[] = [];
    uploads.set(id, { key, id, startedAt: clock.now() });
    return {
      async write(chunk) {
        signal.throwIfAborted();
        called('upload.write', key);
        chunks.push(Buffer.from(chunk));
      },
      async complete() {
        signal.throwIfAborted();
        called('upload.complete', key);
        if (!uploads.delete(id)) {
          throw new KeyturnError('store.refused', `The upload of ${key} to store ${name} is gone: it was aborted.`, {
            hint: 'Take the backup again.',
          });
        }
        return save(key, Buffer.concat(chunks));
      },
      async abort() {
        called('upload.abort', key);
        uploads.delete(id);
      },
    };
  };

  return {
    name,
    kind: 'folder',
    objects,
    calls,
    fail: (operation, error, times = Infinity) => void failures.set(operation, { error, left: times }),
    heal: () => failures.clear(),
    async check(signal) {
      signal?.throwIfAborted();
      called('check', '');
      return 'in memory, can be listed, written and deleted in';
    },
    async beginUpload(key, signal) {
      assertKey(key);
      signal.throwIfAborted();
      called('beginUpload', key);
      return startUpload(key, signal);
    },
    async put(key, body) {
      assertKey(key);
      called('put', key);
      save(key, Buffer.from(body));
    },
    async get(key) {
      assertKey(key);
      called('get', key);
      return Buffer.from(find(key));
    },
    async read(key, signal) {
      assertKey(key);
      signal.throwIfAborted();
      called('read', key);
      return Readable.from(pieces(find(key), signal), { objectMode: false });
    },
    async stat(key) {
      assertKey(key);
      called('stat', key);
      const object = objects.get(key);
      return object && { key, size: object.body.length, modifiedAt: object.modifiedAt };
    },
    async *list(prefix) {
      called('list', prefix);
      const found = [...objects].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => compareKeys(a, b));
      for (const [key, { body, modifiedAt }] of found) yield { key, size: body.length, modifiedAt };
    },
    async remove(key) {
      assertKey(key);
      called('remove', key);
      objects.delete(key);
    },
    async *openUploads(prefix) {
      called('openUploads', prefix);
      yield* [...uploads.values()].filter((upload) => upload.key.startsWith(prefix));
    },
    async abortUpload(upload) {
      assertKey(upload.key);
      called('abortUpload', upload.key);
      if (uploads.get(upload.id)?.key === upload.key) uploads.delete(upload.id);
    },
  };
}

async function* pieces(body: Buffer, signal: AbortSignal): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += 65_536) {
    signal.throwIfAborted();
    yield body.subarray(at, at + 65_536);
  }
}
