/** Owns the folder as a store: files appear by rename only, and no key leads out of the folder. */
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, realpath, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { KeyturnError, type ErrorCode } from '../../domain/error.ts';
import type { Clock, OpenUpload, SnapshotStore, StoredObject, Upload } from '../../ports.ts';
import { assertKey } from '../../domain/object-key.ts';
import { abortable } from '../../transfer/abortable.ts';
import {
  isUploadId,
  newUploadId,
  objectsIn,
  temporaryPath,
  uploadsIn,
  type TreeEntry,
} from '../../transfer/object-tree.ts';
import { proveStore } from '../../transfer/prove-store.ts';
import { abortedElsewhere, keptTooLittle, linkInTheWay, objectMissing } from '../../transfer/tree-errors.ts';

export interface FolderStoreOptions {
  readonly name: string;
  /** Must exist: a folder that is missing may be a disk that is not mounted. */
  readonly path: string;
}

const READ_SIZE = 1024 * 1024;

/** A folder on a disk or a mount; files are 0600, folders 0700. */
export function folderStore(options: FolderStoreOptions, clock: Clock): SnapshotStore {
  const { name } = options;
  const attempt = attempts(name, options.path);
  const root = () => attempt('open', () => realpath(options.path));

  /** The file of `key`, which may not exist; undefined when not even its directory does. Throws when the folder is missing. */
  const find = async (key: string): Promise<string | undefined> => {
    assertKey(key);
    const path = join(await root(), key);
    const directory = dirname(path);
    const real = await attempt(`open the folder of ${key}`, () => ifThere(() => realpath(directory)));
    if (real !== undefined && real !== directory) throw linkInTheWay(name, options.path, key);
    return real && path;
  };
  /** The same, with its directory made. */
  const makePlace = async (key: string): Promise<string> => {
    assertKey(key);
    const base = await root();
    const path = join(base, key);
    const made = await attempt(`create a folder for ${key}`, () => makeDirectories(base, key.split('/').slice(0, -1)));
    if (!made) throw linkInTheWay(name, options.path, key);
    return path;
  };
  const openToRead = async (key: string): Promise<FileHandle> => {
    const path = await find(key);
    // Not blocking: a pipe in the place of an object must not hold us.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = path && (await attempt(`read ${key}`, () => ifThere(() => open(path, flags))));
    if (!handle) throw objectMissing(name, key);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    throw objectMissing(name, key);
  };
  const beginUpload = async (key: string, signal: AbortSignal | undefined): Promise<Upload> => {
    signal?.throwIfAborted();
    const path = await makePlace(key);
    const temporary = temporaryPath(path, newUploadId(clock.now()));
    return attempt(`write ${key}`, () => startUpload({ key, path, temporary, signal, attempt, name }));
  };
  const put = async (key: string, body: Uint8Array): Promise<void> => {
    const upload = await beginUpload(key, undefined);
    try {
      await upload.write(body);
      await upload.complete();
    } catch (error) {
      await upload.abort().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
  };
  const get = async (key: string): Promise<Uint8Array> => {
    const handle = await openToRead(key);
    try {
      return await attempt(`read ${key}`, () => handle.readFile());
    } finally {
      await handle.close();
    }
  };
  const remove = async (key: string): Promise<void> => {
    const path = await find(key);
    if (path === undefined) return;
    await attempt(`remove ${key}`, async () => {
      await ifThere(() => unlink(path));
      await syncDirectory(dirname(path));
    });
  };
  const list = async function* (prefix: string): AsyncGenerator<StoredObject> {
    const base = await root();
    for (const { key } of await attempt(`list ${prefix}`, () => objectsIn(entriesIn(base), prefix))) {
      const found = await attempt(`look at ${key}`, () => statIfThere(join(base, key)));
      if (found) yield { key, size: found.size, modifiedAt: found.mtime };
    }
  };

  return {
    name,
    kind: 'folder',
    beginUpload,
    put,
    get,
    remove,
    list,
    async check(signal) {
      signal?.throwIfAborted();
      await proveStore({ name, put, get, list, remove }, `Look at the disk or mount behind ${options.path}.`);
      return `folder ${options.path}, can be listed, written and deleted in`;
    },
    async read(key, signal) {
      signal.throwIfAborted();
      const handle = await openToRead(key);
      return abortable(Readable.from(readAll(handle, key, attempt), { objectMode: false }), signal);
    },
    async stat(key) {
      const path = await find(key);
      const found = path && (await attempt(`look at ${key}`, () => statIfThere(path)));
      return found ? { key, size: found.size, modifiedAt: found.mtime } : undefined;
    },
    async *openUploads(prefix) {
      const base = await root();
      yield* await attempt(`list ${prefix}`, () => uploadsIn(entriesIn(base), prefix));
    },
    async abortUpload(upload: OpenUpload) {
      assertKey(upload.key);
      const path = isUploadId(upload.id) ? await find(upload.key) : undefined;
      if (path === undefined) return;
      const temporary = temporaryPath(path, upload.id);
      await attempt(`abort the upload of ${upload.key}`, () => ifThere(() => unlink(temporary)));
    },
  };
}

interface UploadParts {
  readonly key: string;
  readonly path: string;
  readonly temporary: string;
  readonly signal: AbortSignal | undefined;
  readonly attempt: Attempt;
  readonly name: string;
}

async function startUpload({ key, path, temporary, signal, attempt, name }: UploadParts): Promise<Upload> {
  const handle = await open(temporary, 'wx', 0o600);
  let size = 0;
  let state: 'open' | 'renamed' | 'done' | 'aborted' = 'open';

  const publish = async (): Promise<StoredObject> => {
    await handle.sync();
    const written = await handle.stat();
    if (written.size !== size) {
      throw keptTooLittle(name, key, written.size, size, 'Look at the disk or mount behind the folder.');
    }
    await rename(temporary, path).catch((error: unknown) => {
      throw codeOf(error) === 'ENOENT' ? abortedElsewhere(name, key) : error;
    });
    state = 'renamed';
    await syncDirectory(dirname(path));
    await handle.close();
    return { key, size, modifiedAt: written.mtime };
  };

  return {
    async write(chunk) {
      signal?.throwIfAborted();
      await attempt(`write ${key}`, async () => {
        for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten;
      });
      size += chunk.length;
    },
    async complete() {
      signal?.throwIfAborted();
      const stored = await attempt(`complete ${key}`, publish);
      state = 'done';
      return stored;
    },
    async abort() {
      if (state === 'done' || state === 'aborted') return;
      // Renamed, but not known to be on disk: what the caller was told has failed must not stay.
      const leftover = state === 'renamed' ? path : temporary;
      await attempt(`abort the upload of ${key}`, async () => {
        await ifThere(() => unlink(leftover));
        await handle.close();
      });
      state = 'aborted';
    },
  };
}

async function* readAll(handle: FileHandle, key: string, attempt: Attempt): AsyncGenerator<Buffer> {
  try {
    for (;;) {
      const { bytesRead, buffer } = await attempt(`read ${key}`, () => handle.read(Buffer.allocUnsafe(READ_SIZE)));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** What lies in the directories below `base`. */
function entriesIn(base: string): (directoryKey: string) => Promise<readonly TreeEntry[] | undefined> {
  return async (directoryKey) => {
    const entries = await ifThere(() => readdir(join(base, directoryKey), { withFileTypes: true }));
    return entries?.map((entry) => ({
      name: entry.name,
      kind: entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other',
    }));
  };
}

/**
 * Makes the directories below `base`, one in the other, and sees to it that they outlive a power cut.
 * False when something that is no directory is in the way.
 */
async function makeDirectories(base: string, names: readonly string[]): Promise<boolean> {
  let parent = base;
  for (const directoryName of names) {
    const directory = join(parent, directoryName);
    try {
      await mkdir(directory, { mode: 0o700 });
      await syncDirectory(parent);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      if (!(await lstat(directory)).isDirectory()) return false;
    }
    parent = directory;
  }
  return true;
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function statIfThere(path: string): Promise<{ size: number; mtime: Date } | undefined> {
  const found = await ifThere(() => lstat(path));
  return found?.isFile() === true ? found : undefined;
}

/** Undefined when there is no such file; a symbolic link in its place counts as none. */
async function ifThere<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

type Attempt = <T>(what: string, action: () => Promise<T>) => Promise<T>;

/** Runs an action on the disk, and says in our words what went wrong. */
function attempts(name: string, path: string): Attempt {
  return async (what, action) => {
    try {
      return await action();
    } catch (error) {
      if (error instanceof KeyturnError) throw error;
      throw describe(name, path, what, error);
    }
  };
}

/** What the file system's errors mean, and what to do about them. */
const MEANINGS: readonly {
  errors: readonly string[];
  code: ErrorCode;
  words: string;
  hint: (path: string) => string;
}[] = [
  {
    errors: ['ENOSPC', 'EDQUOT', 'EFBIG'],
    code: 'store.full',
    words: 'the disk is full',
    hint: (path) => `Make room on the disk of ${path}, or raise the quota.`,
  },
  {
    errors: ['EACCES', 'EPERM', 'EROFS'],
    code: 'store.credentials',
    words: 'that is not allowed',
    hint: (path) => `Let Keyturn's user read and write ${path} (owner, mode, mount options).`,
  },
  {
    errors: ['ENOENT', 'ENOTDIR'],
    code: 'store.not-found',
    words: 'the folder is not there',
    hint: (path) => `Create ${path}, or mount what belongs there.`,
  },
  {
    errors: ['EIO', 'ESTALE', 'ENOTCONN', 'EHOSTDOWN', 'EHOSTUNREACH', 'ETIMEDOUT', 'ENODEV', 'ENXIO'],
    code: 'store.unreachable',
    words: 'the disk does not answer',
    hint: (path) => `Look at the disk or mount behind ${path}.`,
  },
];

function describe(name: string, path: string, what: string, error: unknown): KeyturnError {
  const errno = codeOf(error) ?? 'unknown error';
  const meaning = MEANINGS.find((candidate) => candidate.errors.includes(errno));
  const why = meaning === undefined ? errno : `${meaning.words} (${errno})`;
  return new KeyturnError(meaning?.code ?? 'store.refused', `Store ${name} could not ${what}: ${why}.`, {
    hint: meaning?.hint(path) ?? `Look at ${path} and at the system's log.`,
    cause: error,
  });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
