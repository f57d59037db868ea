/** Owns SFTP as a store: a folder on a server that is reached by SSH. Objects appear by rename only, and links are not followed. */
import type { SshLogin } from '../../domain/cluster.ts';
import { assertKey } from '../../domain/object-key.ts';
import type { Clock, SnapshotStore } from '../../ports.ts';
import { unlessAborted } from '../../transfer/abortable.ts';
import { isUploadId, objectsIn, temporaryPath, uploadsIn, type ReadDirectory } from '../../transfer/object-tree.ts';
import { proveStore } from '../../transfer/prove-store.ts';
import { describe, type Target } from './login.ts';
import { defaultSftpTuning, ifThere, sftpAccess, type SftpAccess, type SftpTuning } from './sftp-access.ts';
import { readObject } from './sftp-read.ts';
import { forgetAside } from './sftp-replace.ts';
import { openSession, type SftpEntry, type SftpSession } from './sftp-session.ts';
import { sftpUpload } from './sftp-upload.ts';

export interface SftpStoreOptions {
  readonly name: string;
  readonly host: string;
  /** Absolute, on the server; must exist: a folder that is missing may be a disk that is not mounted. */
  readonly path: string;
  readonly ssh: SshLogin;
  /** Also offer what OpenSSH gave up: diffie-hellman-group1-sha1, ssh-rsa and the like. */
  readonly legacyAlgorithms: boolean;
}

export interface SftpStoreDeps {
  readonly clock: Clock;
  /** Jump hosts that `SshLogin.via` names. */
  readonly bastions: readonly Target[];
}

/** Somebody waits for the answer: one more try, and no long pauses. */
const CHECK_RETRY = { tries: 2, pauseMs: 500, withinMs: 10_000 };

/** Opens no connection by itself; files are made 0600, folders 0700, less the server's umask. */
export function sftpStore(
  options: SftpStoreOptions,
  { clock, bastions }: SftpStoreDeps,
  tuned: Partial<SftpTuning> = {},
): SnapshotStore {
  const { name, ssh } = options;
  const tuning = { ...defaultSftpTuning, ...tuned };
  const target: Target = { name, address: options.host, ssh, legacyAlgorithms: options.legacyAlgorithms };
  const place = { store: name, server: describe(target), user: ssh.user, path: options.path };
  const never = new AbortController().signal;
  const access = sftpAccess(place, () => openSession(target, bastions, tuning, never), tuning, clock);
  const { ask, pathOf, find, connection } = access;

  const put = async (key: string, body: Uint8Array): Promise<void> => {
    const upload = await sftpUpload(access, key, never);
    try {
      await upload.write(body);
      await upload.complete();
    } catch (error) {
      await upload.abort().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
  };
  const get = async (key: string): Promise<Uint8Array> => {
    const chunks: Buffer[] = [];
    for await (const chunk of await readObject(access, key, never)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  };
  const remove = async (key: string): Promise<void> => {
    const path = pathOf(key);
    await ask(`remove ${key}`, async (session) => {
      if ((await find(session, key)) === undefined) return;
      // First, or a crash in between would bring back an older one.
      if (!session.can.posixRename) await forgetAside(session, path);
      await ifThere(session.unlink(path));
    });
  };
  const list: SnapshotStore['list'] = async function* (prefix) {
    const found = await ask(`list ${prefix}`, (session) => objectsIn(entriesOf(access, session), prefix));
    for (const { key, entry } of found) yield { key, size: entry.size, modifiedAt: entry.modifiedAt };
  };

  return {
    name,
    kind: 'sftp',
    put,
    get,
    remove,
    list,
    beginUpload: (key, signal) => sftpUpload(access, key, signal),
    read: (key, signal) => readObject(access, key, signal),
    async check(signal) {
      signal?.throwIfAborted();
      try {
        await ask(`open ${options.path}`, (session) => session.stat(options.path), { signal, retry: CHECK_RETRY });
        const proving = proveStore({ name, put, get, list, remove }, `Look at ${options.path} on ${place.server}.`);
        await unlessAborted(proving, signal);
        const found = await ask('look at its folder', describeServer(options.path), { signal });
        return `${ssh.user}@${options.host}:${ssh.port}${options.path}, can be listed, written and deleted in${found}`;
      } finally {
        // Whoever only checks wants to end.
        await connection.closeUnused();
      }
    },
    async stat(key) {
      const found = await ask(`look at ${key}`, (session) => find(session, key));
      return found && { key, size: found.size, modifiedAt: found.modifiedAt };
    },
    async *openUploads(prefix) {
      yield* await ask(`list ${prefix}`, (session) => uploadsIn(entriesOf(access, session), prefix));
    },
    async abortUpload({ key, id }) {
      assertKey(key);
      if (!isUploadId(id)) return;
      const temporary = temporaryPath(pathOf(key), id);
      await ask(`abort the upload of ${key}`, async (session) => {
        await find(session, key); // refuses a link on the way
        await ifThere(session.unlink(temporary));
      });
    },
  };
}

/** What lies in the directories below `path`; what was set aside while it is replaced counts where nothing newer is. */
function entriesOf({ at, place }: SftpAccess, session: SftpSession): ReadDirectory<SftpEntry> {
  return async (directoryKey) => {
    const reading = session.readdir(at(directoryKey));
    // A store whose folder is missing must not look like an empty one.
    const entries = await (directoryKey === '' ? reading : ifThere(reading));
    if (entries === undefined) await session.stat(place.path);
    if (entries === undefined || session.can.posixRename) return entries;
    const names = new Set(entries.map(({ name }) => name));
    return entries.map((entry) => {
      const of = ASIDE.exec(entry.name)?.[1];
      return of === undefined || names.has(of) ? entry : { ...entry, name: of };
    });
  };
}

const ASIDE = /^\.(.+)\.replaced$/;

/** What is worth knowing: free space, and what the server lacks. Begins with a comma. */
function describeServer(path: string): (session: SftpSession) => Promise<string> {
  return async (session) => {
    const space = session.can.statvfs ? await session.statvfs(path) : undefined;
    const free = space === undefined ? '' : `, ${gigabytes(space.free)} free`;
    return `${free}${session.can.fsync ? '' : ', without fsync'}`;
  };
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
