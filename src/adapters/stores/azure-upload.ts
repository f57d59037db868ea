/** Owns one upload to Azure Blob: blocks staged while they are filled, one commit, nothing left after an abort. */
import { createHash, type Hash } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';
import type { StoredObject, Upload } from '../../ports.ts';
import type { AskOptions, SendOptions } from './asking.ts';
import { blockId, dropBlocks, newUploadId } from './azure-blocks.ts';
import type { AzureAccess } from './azure-client.ts';
import { isBlobMissing, isReplaced, statusOf } from './azure-errors.ts';
import { partBuffers, type Part } from '../../transfer/part-buffers.ts';
import { ABORT_RETRY } from './tuning.ts';

/** Metadata by which an upload knows its own blob again, after a commit whose answer was lost. */
const UPLOAD_MARK = 'keyturnupload';

/** A blob has 50,000 blocks at most, 390 GiB with the default of 8 MiB; nothing has to grow. */
export function azureUpload(access: AzureAccess, key: string, outer: AbortSignal): Upload {
  const { tuning } = access;
  const id = newUploadId(access.clock.now());
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  const about = { metadata: { [UPLOAD_MARK]: id }, blobHTTPHeaders: { blobContentType: 'application/octet-stream' } };
  let size = 0;
  let staged = 0;
  let unanswered = false;
  let state: 'open' | 'completing' | 'stored' | 'aborted' = 'open';

  const stage = async ({ number, bytes, sum }: Part<Hash>): Promise<void> => {
    staged = Math.max(staged, number);
    const transactionalContentMD5 = sum.digest();
    const send = async (options: SendOptions): Promise<void> => {
      try {
        const more = { ...options, transactionalContentMD5 };
        await (await access.blob(key)).stageBlock(blockId(id, number), bytes, bytes.length, more);
      } catch (error) {
        unanswered ||= statusOf(error) === undefined;
        throw error;
      }
    };
    await access.ask(`store part ${number} of ${key}`, send, { signal });
  };
  const buffers = partBuffers<Hash>({
    count: tuning.buffers,
    sizeOf: () => tuning.partSize,
    startSum: () => createHash('md5'),
    send: stage,
  });

  /** Our blob as it is stored now; undefined when there is none, or one that is not of this upload. */
  const findOurs = async (how: AskOptions): Promise<(StoredObject & { readonly etag: string }) | undefined> => {
    const found = await access.askIfThere(
      `look at ${key}`,
      async (send) => (await access.blob(key)).getProperties(send),
      isBlobMissing,
      how,
    );
    if (found?.metadata?.[UPLOAD_MARK] !== id) return undefined;
    const { contentLength = -1, lastModified = access.clock.now(), etag = '' } = found;
    return { key, size: contentLength, modifiedAt: lastModified, etag };
  };
  /** What fits into one part is put at once, and stays out of the listing of open uploads. */
  const putWhole = async (): Promise<void> => {
    const rest = buffers.rest();
    const body = rest?.bytes ?? Buffer.alloc(0);
    const headers = { ...about.blobHTTPHeaders, blobContentMD5: (rest?.sum ?? createHash('md5')).digest() };
    await access.ask(
      `store ${key}`,
      async (send) =>
        (await access.blob(key)).upload(body, body.length, { ...send, ...about, blobHTTPHeaders: headers }),
      { signal },
    );
  };
  /** Safe to repeat after a lost answer: the ids are found among the committed blocks then. */
  const commit = async (): Promise<void> => {
    const rest = buffers.rest();
    if (rest) await stage(rest);
    const blocks = Array.from({ length: staged }, (_, index) => blockId(id, index + 1));
    await access.ask(
      `complete the upload of ${key}`,
      async (send) => (await access.blob(key)).commitBlockList(blocks, { ...send, ...about }),
      { signal },
    );
  };

  return {
    async write(chunk) {
      outer.throwIfAborted();
      await buffers.write(chunk);
      size += chunk.length;
    },
    async complete() {
      outer.throwIfAborted();
      await buffers.drained();
      state = 'completing';
      await (staged > 0 ? commit() : putWhole());
      const stored = await findOurs({ signal });
      if (stored?.size !== size) {
        const found = stored ? `${stored.size} bytes` : 'nothing of this upload';
        throw new KeyturnError('store.corrupt', `Store ${access.place.store} shows ${found} of ${key}, not ${size}.`, {
          hint: `Take the backup again; if it stays so, look at the log of ${access.place.endpoint}.`,
        });
      }
      state = 'stored';
      buffers.release();
      return { key, size, modifiedAt: stored.modifiedAt };
    },
    async abort() {
      if (state === 'stored' || state === 'aborted') return;
      const mayBeVisible = state === 'completing';
      // A block that arrives after the abort would stay for a week: none may be on its way.
      stop.abort(new Error('upload aborted'));
      await buffers.drained().catch(() => undefined); // it was reported when it happened
      buffers.release();
      if (staged > 0) await dropBlocks(access, key, id, { isLateExpected: unanswered });
      const ours = mayBeVisible ? await findOurs({ retry: ABORT_RETRY }) : undefined;
      if (ours) {
        await access.askIfThere(
          `remove ${key}`,
          async (send) => (await access.blob(key)).delete({ ...send, conditions: { ifMatch: ours.etag } }),
          (error) => isBlobMissing(error) || isReplaced(error),
          { retry: ABORT_RETRY },
        );
      }
      state = 'aborted';
    },
  };
}
