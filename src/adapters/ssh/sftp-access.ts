/** Owns how an SFTP server is used as a store: time limits, tries, where an object lies, and errors in our words. */
import type { KeyturnError } from '../../domain/error.ts';
import { assertKey } from '../../domain/object-key.ts';
import type { Clock } from '../../ports.ts';
import { hiddenBeside } from '../../transfer/object-tree.ts';
import { retrying, type RetryPolicy } from '../../transfer/retry.ts';
import { linkInTheWay } from '../../transfer/tree-errors.ts';
import { sftpConnection, type SftpConnection } from './sftp-connection.ts';
import { describeSftpError, isRefusal, isTransient, type SftpPlace } from './sftp-errors.ts';
import { STATUS, type SessionTimes, type SftpFile, type SftpSession } from './sftp-session.ts';

/** Numbers that fit nearly everyone; tests make them small. */
export interface SftpTuning extends SessionTimes {
  readonly retry: RetryPolicy;
  /** So long the connection stays open without being used. Milliseconds. */
  readonly idleMs: number;
  /** Bytes of one READ or WRITE, and how many of them are on their way at once; their product is the memory taken. */
  readonly chunkSize: number;
  readonly chunks: number;
}

export const defaultSftpTuning: SftpTuning = {
  connectMs: 15_000,
  // Questions "are you there?" wait behind the bytes that are on their way: on a slow line for long.
  keepaliveMs: 30_000,
  stallMs: 30_000,
  // A gigabyte that waits in the server's memory may take a slow disk minutes.
  syncMs: 600_000,
  // Five tries in about 25 s: a server that restarts is waited for.
  retry: { tries: 5, pauseMs: 1_000, withinMs: 60_000 },
  idleMs: 5_000,
  // What OpenSSH takes at once; others are given less by ssh2.
  chunkSize: 255 * 1024,
  chunks: 16,
};

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: the store's own. */
  readonly retry?: RetryPolicy;
}

/** An object, and where it lies. */
export interface FoundObject extends SftpFile {
  readonly path: string;
}

export interface SftpAccess {
  readonly place: SftpPlace;
  readonly tuning: SftpTuning;
  readonly clock: Clock;
  readonly connection: SftpConnection;
  /** The answer of `action`, tried again on a new connection when one was lost; throws KeyturnError, or the signal's reason. */
  readonly ask: <T>(what: string, action: (session: SftpSession) => Promise<T>, options?: AskOptions) => Promise<T>;
  /** What `error` is to people; asks the server for its free space when that may be why. */
  readonly explain: (what: string, error: unknown) => Promise<KeyturnError>;
  /** A path on the server, below the store's folder. */
  readonly at: (below: string) => string;
  /** Where `key` belongs. Throws store.refused for what is no key. */
  readonly pathOf: (key: string) => string;
  /** Undefined when it is not there. Follows no links. Throws SftpRefusal when not even the store's folder is there. */
  readonly find: (session: SftpSession, key: string) => Promise<FoundObject | undefined>;
  /** Makes the directories for `key`. Throws store.refused when something else is in their way. */
  readonly makePlace: (session: SftpSession, key: string) => Promise<void>;
}

export function sftpAccess(
  place: SftpPlace,
  open: () => Promise<SftpSession>,
  tuning: SftpTuning,
  clock: Clock,
): SftpAccess {
  const connection = sftpConnection(open, tuning.idleMs);
  const at = (below: string): string => `${place.path.replace(/\/+$/, '')}/${below}`;
  const pathOf = (key: string): string => {
    assertKey(key);
    return at(key);
  };
  const parentsOf = (key: string): string[] => {
    const names = key.split('/').slice(0, -1);
    return names.map((_, i) => at(names.slice(0, i + 1).join('/')));
  };
  const lookAtParents = async (session: SftpSession, key: string): Promise<('there' | 'missing' | 'wrong')[]> => {
    const found = await Promise.all(parentsOf(key).map((path) => ifThere(session.lstat(path))));
    return found.map((file) => (file === undefined ? 'missing' : file.kind === 'directory' ? 'there' : 'wrong'));
  };
  const explain = async (what: string, error: unknown): Promise<KeyturnError> => {
    const space = isRefusal(error, STATUS.failure) ? await spaceLeft(connection, place.path) : undefined;
    return describeSftpError(place, what, error, space);
  };

  return {
    place,
    tuning,
    clock,
    connection,
    at,
    pathOf,
    async ask(what, action, { signal, retry = tuning.retry } = {}) {
      try {
        return await retrying(() => connection.use(action, signal), isTransient, retry, clock, signal);
      } catch (error) {
        signal?.throwIfAborted();
        throw await explain(what, error);
      }
    },
    explain,
    async find(session, key) {
      const path = pathOf(key);
      // All at once: it is one way there and back.
      const [parents, file, aside] = await Promise.all([
        lookAtParents(session, key),
        ifThere(session.lstat(path)),
        session.can.posixRename ? undefined : ifThere(session.lstat(asidePath(path))),
      ]);
      if (parents.includes('wrong')) throw linkInTheWay(place.store, place.path, key);
      const found = file ? { ...file, path } : aside && { ...aside, path: asidePath(path) };
      if (found === undefined) await session.stat(place.path);
      return found?.kind === 'file' ? found : undefined;
    },
    async makePlace(session, key) {
      const parents = parentsOf(key);
      const states = await lookAtParents(session, key);
      for (const [i, path] of parents.entries()) {
        if (states[i] === 'there') continue;
        const made = states[i] === 'missing' && (await makeDirectory(session, path));
        if (!made) throw linkInTheWay(place.store, place.path, key);
      }
    },
  };
}

/** Where an object waits while it is replaced on a server that can't do that at once. No key and no upload has such a name. */
export function asidePath(path: string): string {
  return hiddenBeside(path, 'replaced');
}

/** False when something that is no directory is in the way. */
async function makeDirectory(session: SftpSession, path: string): Promise<boolean> {
  try {
    await session.mkdir(path);
    return true;
  } catch (error) {
    // Another may have made it meanwhile, and the protocol knows no status for that.
    if (!isRefusal(error, STATUS.failure)) throw error;
    const found = await ifThere(session.lstat(path));
    if (found === undefined) throw error;
    return found.kind === 'directory';
  }
}

/** Undefined when there is no such file. */
export async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isRefusal(error, STATUS.noSuchFile)) return undefined;
    throw error;
  }
}

/** Undefined when the server does not tell. */
async function spaceLeft(connection: SftpConnection, path: string) {
  return connection
    .use(async (session) => (session.can.statvfs ? session.statvfs(path) : undefined))
    .catch(() => undefined);
}
