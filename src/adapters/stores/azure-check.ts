/** Owns the proof that a container can be worked with: every right that Keyturn needs is used once. */
import { randomBytes } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';
import type { AskOptions } from './asking.ts';
import { blockId, dropBlocks, newUploadId, uploadsUnder } from './azure-blocks.ts';
import type { AzureAccess } from './azure-client.ts';
import { isBlobMissing } from './azure-errors.ts';
import { keepsWhatIsWritten } from './azure-keeping.ts';
import { CHECK_RETRY } from './tuning.ts';

/** What was found, in words. Leaves nothing behind; throws store.* for the first thing that can't be done. */
export async function checkContainer(access: AzureAccess, signal: AbortSignal | undefined): Promise<string> {
  const { ask, place, base } = access;
  const options: AskOptions = { signal, retry: CHECK_RETRY };
  const key = `keyturn-check-${randomBytes(8).toString('hex')}`;
  await ask(
    `list container ${place.container}`,
    async (send) => {
      const pages = (await access.container()).listBlobsFlat({ ...send, prefix: base }).byPage({ maxPageSize: 1 });
      await pages.next();
    },
    options,
  );
  if (await keepsWhatIsWritten(access, signal)) {
    return 'can be listed; a policy keeps all that is written to it, so nothing was written to try';
  }
  await writeReadRemove(access, key, options);
  await stageAndDrop(access, key, options);
  return 'can be listed, written and deleted in';
}

async function writeReadRemove(access: AzureAccess, key: string, options: AskOptions): Promise<void> {
  const { ask, askIfThere, place } = access;
  const body = randomBytes(32);
  const remove = async (): Promise<unknown> => (await access.blob(key)).delete();
  try {
    await ask('write a blob', async (send) => (await access.blob(key)).upload(body, body.length, send), options);
    const found = await ask(
      'read a blob',
      async (send) =>
        (await access.blob(key)).downloadToBuffer(0, body.length, { ...send, maxRetryRequestsPerBlock: 0 }),
      options,
    );
    if (!body.equals(found)) {
      throw new KeyturnError('store.corrupt', `Store ${place.store} does not give back what was written to it.`, {
        hint: `Look at the log of ${place.endpoint}.`,
      });
    }
  } catch (error) {
    // It may have been written although its answer was lost; the first error is the one to tell.
    await askIfThere('remove a blob', remove, () => true, { retry: { ...CHECK_RETRY, tries: 1 } });
    throw error;
  }
  await askIfThere('remove a blob', remove, isBlobMissing, { retry: CHECK_RETRY });
}

async function stageAndDrop(access: AzureAccess, key: string, options: AskOptions): Promise<void> {
  const upload = newUploadId(access.clock.now());
  try {
    await access.ask(
      'stage a block',
      async (send) => (await access.blob(key)).stageBlock(blockId(upload, 1), 'x', 1, send),
      options,
    );
    await uploadsUnder(access, key);
  } finally {
    await dropBlocks(access, key, upload);
  }
}
