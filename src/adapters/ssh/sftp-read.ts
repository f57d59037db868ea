/** Owns reading one object from an SFTP server to its last byte, taken up again where a connection broke. */
import { Readable } from 'node:stream';
import { KeyturnError } from '../../domain/error.ts';
import { abortable } from '../../transfer/abortable.ts';
import { objectMissing } from '../../transfer/tree-errors.ts';
import type { SftpAccess, SftpTuning } from './sftp-access.ts';
import { isTransient } from './sftp-errors.ts';
import type { SftpFile, SftpSession } from './sftp-session.ts';

interface Opened extends SftpFile {
  readonly session: SftpSession;
  readonly handle: Buffer;
  /** Gives the connection back; what is open on it is closed. */
  close(): void;
}

/** Throws store.not-found before it resolves; the stream fails with store.* when the object can't be had whole. */
export async function readObject(access: SftpAccess, key: string, signal: AbortSignal): Promise<Readable> {
  const source = { opened: await openObject(access, key, signal) };
  const bytes = Readable.from(allBytes(access, key, signal, source), {
    objectMode: false,
    highWaterMark: access.tuning.chunkSize,
  });
  // Not in the generator: one that was never asked for anything does not run to its end.
  bytes.once('close', () => source.opened.close());
  return abortable(bytes, signal);
}

async function openObject(access: SftpAccess, key: string, signal: AbortSignal): Promise<Opened> {
  const open = async (session: SftpSession): Promise<Opened> => {
    const found = await access.find(session, key);
    if (found === undefined) throw objectMissing(access.place.store, key);
    const handle = await session.open(found.path, 'read');
    const release = access.connection.keep(session);
    let isOpen = true;
    const close = (): void => {
      if (isOpen && !session.gone.aborted) session.close(handle).catch(() => undefined); // nothing depends on it
      isOpen = false;
      release();
    };
    try {
      return { session, handle, close, ...(await session.fstat(handle)) };
    } catch (error) {
      close();
      throw error;
    }
  };
  return access.ask(`read ${key}`, open, { signal });
}

async function* allBytes(
  access: SftpAccess,
  key: string,
  signal: AbortSignal,
  source: { opened: Opened },
): AsyncGenerator<Buffer> {
  const { size, modifiedAt } = source.opened;
  for (let at = 0, fruitless = 0; ;) {
    const before = at;
    try {
      for await (const chunk of readAhead(source.opened, { from: at, to: size }, access.tuning)) {
        at += chunk.length;
        yield chunk;
      }
      if (at === size) return;
      throw changed(access, key);
    } catch (error) {
      signal.throwIfAborted();
      fruitless = at > before ? 0 : fruitless + 1;
      if (!isTransient(error) || fruitless >= access.tuning.retry.tries)
        throw await access.explain(`read ${key}`, error);
    }
    source.opened.close();
    source.opened = await openObject(access, key, signal);
    const { opened } = source;
    if (opened.size !== size || opened.modifiedAt.getTime() !== modifiedAt.getTime()) throw changed(access, key);
  }
}

/** The bytes in order, several READs being on their way at once; ends early where the file does. Throws as the session does. */
export async function* readAhead(
  { session, handle }: Pick<Opened, 'session' | 'handle'>,
  { from, to }: { readonly from: number; readonly to: number },
  { chunkSize, chunks }: Pick<SftpTuning, 'chunkSize' | 'chunks'>,
): AsyncGenerator<Buffer> {
  const onTheWay: { readonly length: number; readonly bytes: Promise<Buffer> }[] = [];
  for (let next = from; ;) {
    while (onTheWay.length < chunks && next < to) {
      const length = Math.min(chunkSize, to - next);
      const bytes = readWhole(session, handle, length, next);
      bytes.catch(() => undefined); // it is thrown when its turn comes
      onTheWay.push({ length, bytes });
      next += length;
    }
    const first = onTheWay.shift();
    if (first === undefined) return;
    const bytes = await first.bytes;
    if (bytes.length > 0) yield bytes;
    if (bytes.length < first.length) return;
  }
}

/** Servers may send less than was asked for; less comes back only at the end of the file. */
async function readWhole(session: SftpSession, handle: Buffer, length: number, position: number): Promise<Buffer> {
  const first = await session.read(handle, length, position);
  if (first.length === length || first.length === 0) return first;
  const rest = await readWhole(session, handle, length - first.length, position + first.length);
  return Buffer.concat([first, rest]);
}

function changed({ place }: SftpAccess, key: string): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${place.store} changed ${key} while it was read.`, {
    hint: 'Read it again; it may have been replaced meanwhile.',
  });
}
