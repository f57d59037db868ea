/**
 * Owns one upload to an SFTP server: written to a hidden file beside the object, many WRITEs being on their way at once, and
 * taken up again where a connection broke. What went through more than one connection is read back before it counts: a server
 * that lost its power may have lost what it had acknowledged.
 */
import { setMaxListeners } from 'node:events';
import { crc32 } from 'node:zlib';
import { KeyturnError } from '../../domain/error.ts';
import type { Upload } from '../../ports.ts';
import { newUploadId, temporaryPath } from '../../transfer/object-tree.ts';
import { partBuffers } from '../../transfer/part-buffers.ts';
import { abortedElsewhere, keptTooLittle } from '../../transfer/tree-errors.ts';
import { ifThere, type SftpAccess } from './sftp-access.ts';
import { isRefusal } from './sftp-errors.ts';
import { readAhead } from './sftp-read.ts';
import { replace } from './sftp-replace.ts';
import { STATUS, type SftpFile, type SftpSession } from './sftp-session.ts';

/** An abort is told of within seconds: what it could not do is found among the open uploads later. */
const ABORT_RETRY = { tries: 3, pauseMs: 500, withinMs: 10_000 };

/** Throws store.*, or the signal's reason. */
export async function sftpUpload(access: SftpAccess, key: string, signal: AbortSignal): Promise<Upload> {
  signal.throwIfAborted();
  const { tuning, place } = access;
  const path = access.pathOf(key);
  const temporary = temporaryPath(path, newUploadId(access.clock.now()));
  const file = await openTemporary(access, key, temporary, signal);

  let size = 0;
  let sum = 0;
  /** What was complete when the rename was asked for; its answer may have been lost. */
  let renaming: SftpFile | undefined;
  let state: 'open' | 'stored' | 'aborted' = 'open';
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  setMaxListeners(tuning.chunks * 2, either); // each WRITE that is on its way listens

  const buffers = partBuffers({
    count: tuning.chunks,
    sizeOf: () => tuning.chunkSize,
    startSum: () => ({ update: (bytes) => (sum = crc32(bytes, sum)) }),
    send: ({ number, bytes }) => send(bytes, (number - 1) * tuning.chunkSize),
  });
  const send = (bytes: Buffer, position: number): Promise<void> =>
    access.ask(`write ${key}`, async (session) => session.write(await file.on(session), bytes, position), {
      signal: either,
    });

  /** The object as it is stored; safe to call again on another connection. */
  const finish = async (session: SftpSession): Promise<SftpFile> => {
    const handle = await file.on(session).catch(async (error: unknown) => {
      // The file is gone: an earlier try has renamed it, and its answer was lost. Or someone else has aborted it.
      if (isAborted(error) && renaming && (await isOurs(session, path, renaming))) return undefined;
      throw error;
    });
    if (handle === undefined) return renaming as SftpFile;
    if (session.can.fsync) await session.fsync(handle);
    const written = await session.fstat(handle);
    if (written.size !== size) throw keptTooLittle(place.store, key, written.size, size, lookAtDisk(access));
    if (file.wasReopened()) await compare(session, handle);
    await file.close();
    renaming = written;
    await replace(session, temporary, path).catch((error: unknown) => {
      throw isRefusal(error, STATUS.noSuchFile) ? abortedElsewhere(place.store, key) : error;
    });
    return written;
  };
  const compare = async (session: SftpSession, handle: Buffer): Promise<void> => {
    let found = 0;
    for await (const bytes of readAhead({ session, handle }, { from: 0, to: size }, tuning))
      found = crc32(bytes, found);
    if (found === sum) return;
    throw new KeyturnError(
      'store.corrupt',
      `Store ${place.store} lost bytes of ${key} when the connection to it broke.`,
      { hint: lookAtDisk(access) },
    );
  };
  const discard = async (session: SftpSession): Promise<void> => {
    const isGone = (await ifThere(session.unlink(temporary).then(() => true))) === undefined;
    // In this order: what was unlinked can't be renamed by a request that is still on its way.
    if (isGone && (await isOurs(session, path, renaming))) await ifThere(session.unlink(path));
  };

  return {
    async write(chunk) {
      signal.throwIfAborted();
      await buffers.write(chunk);
      size += chunk.length;
    },
    async complete() {
      signal.throwIfAborted();
      const rest = buffers.rest();
      if (rest) await send(rest.bytes, (rest.number - 1) * tuning.chunkSize);
      await buffers.drained();
      const { modifiedAt } = await access.ask(`complete ${key}`, finish, { signal });
      state = 'stored';
      buffers.release();
      return { key, size, modifiedAt };
    },
    async abort() {
      if (state !== 'open') return;
      stop.abort(new Error('upload aborted'));
      await buffers.drained().catch(() => undefined); // it was reported when it happened
      buffers.release();
      void file.close().catch(() => undefined); // it goes anyway, and a server that hangs is not waited for
      await access.ask(`abort the upload of ${key}`, discard, { retry: ABORT_RETRY });
      state = 'aborted';
    },
  };
}

/** The file that an upload is written to, open on the connection that is used now. */
interface TemporaryFile {
  /** Opened again when it was open on another connection. Throws store.refused when it is gone. */
  on(session: SftpSession): Promise<Buffer>;
  wasReopened(): boolean;
  /** Throws SftpRefusal: some file systems tell only then that a write failed. Safe twice. */
  close(): Promise<void>;
}

async function openTemporary(
  access: SftpAccess,
  key: string,
  temporary: string,
  signal: AbortSignal,
): Promise<TemporaryFile> {
  interface Opened {
    readonly session: SftpSession;
    readonly handle: Promise<Buffer>;
    readonly release: () => void;
  }
  const take = (session: SftpSession, handle: Promise<Buffer>): Opened => {
    handle.catch(() => undefined); // whoever asked for it is told
    return { session, handle, release: access.connection.keep(session) };
  };
  let isAgain = false;
  const create = async (session: SftpSession): Promise<Opened> => {
    await access.makePlace(session, key);
    const handle = await session.open(temporary, 'create').catch((error: unknown) => {
      // An earlier try may have made it, and its answer was lost. Nobody else makes a file of that name.
      if (isAgain && isRefusal(error, STATUS.failure)) return session.open(temporary, 'continue');
      isAgain = true;
      throw error;
    });
    if (signal.aborted) await session.unlink(temporary);
    signal.throwIfAborted();
    return take(session, Promise.resolve(handle));
  };
  let opened: Opened | undefined = await access.ask(`write ${key}`, create, { signal });
  let session = opened.session;
  let reopened = false;

  return {
    on(wanted) {
      if (opened?.session === wanted) return opened.handle;
      opened?.release();
      reopened = true;
      session = wanted;
      const handle = wanted.open(temporary, 'continue').catch((error: unknown) => {
        throw isRefusal(error, STATUS.noSuchFile) ? abortedElsewhere(access.place.store, key) : error;
      });
      opened = take(wanted, handle);
      return handle;
    },
    wasReopened: () => reopened,
    async close() {
      const closing = opened;
      opened = undefined;
      closing?.release();
      if (closing && !session.gone.aborted) await closing.session.close(await closing.handle);
    },
  };
}

function isAborted(error: unknown): boolean {
  return error instanceof KeyturnError && error.code === 'store.refused';
}

/** True when what lies at `path` is what was complete in the temporary file. */
async function isOurs(session: SftpSession, path: string, written: SftpFile | undefined): Promise<boolean> {
  const found = written && (await ifThere(session.lstat(path)));
  return (
    found?.kind === 'file' &&
    found.size === written?.size &&
    found.modifiedAt.getTime() === written.modifiedAt.getTime()
  );
}

function lookAtDisk({ place }: SftpAccess): string {
  return `Look at the disk behind ${place.path} on ${place.server}, and take the backup again.`;
}
