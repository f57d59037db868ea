/** Owns blocks that were staged under a name and are not committed: whose they are, and how they are dropped. */
import { randomBytes } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';
import type { AzureAccess } from './azure-client.ts';
import { isAnswer, isBlobMissing, isReplaced } from './azure-errors.ts';
import { keepsWhatIsWritten } from './azure-keeping.ts';
import { ABORT_RETRY } from './tuning.ts';

/** Names an upload in the ids of its blocks: when it began, in milliseconds, and 16 hexadecimal digits. */
export type UploadId = `${number}-${string}`;

export function newUploadId(now: Date): UploadId {
  return `${now.getTime()}-${randomBytes(8).toString('hex')}`;
}

/** When it began; undefined for uploads that are not Keyturn's. */
export function beganAt(id: string): Date | undefined {
  const ms = /^(\d{13})-[0-9a-f]{16}$/.exec(id)?.[1];
  return ms === undefined ? undefined : new Date(Number(ms));
}

/** Of one length under one name, as the service wants it; 64 bytes at most before the base64. */
export function blockId(upload: UploadId, number: number): string {
  return Buffer.from(`keyturn ${upload} ${String(number).padStart(5, '0')}`).toString('base64');
}

/** Uploads of whoever does not write its name into the ids of blocks. */
const FOREIGN = 'foreign';

/** The upload that a block belongs to; blocks that are not Keyturn's are one upload. */
export function uploadOf(block: string): string {
  const id = /^keyturn (\d{13}-[0-9a-f]{16}) \d{5}$/.exec(Buffer.from(block, 'base64').toString('latin1'))?.[1];
  return id ?? FOREIGN;
}

/** Which uploads have uncommitted blocks under the name of `key`. */
export async function uploadsUnder(access: AzureAccess, key: string): Promise<string[]> {
  const list = await access.askIfThere(
    `look at the blocks of ${key}`,
    async (send) => (await access.blob(key)).getBlockList('uncommitted', send),
    isBlobMissing,
    { retry: ABORT_RETRY },
  );
  return [...new Set((list?.uncommittedBlocks ?? []).map(({ name }) => uploadOf(name)))];
}

/** Metadata by which the empty blob is known whose commit drops the blocks under its name. */
const DROPS_BLOCKS = { keyturndropsblocks: 'yes' };

/**
 * Drops the blocks of this upload, and with it those of others under the same name, unless a blob is stored there: Azure
 * has no call for that, but it lets go of blocks that a commit does not name, so none is committed, and the empty blob
 * removed again. Where a blob is stored it is left alone; its uncommitted blocks are listed nowhere, and go with the next upload or after a week. Where a
 * policy would keep the empty one for ever, they go after a week, too. No error when they are gone already.
 * `isLateExpected`: blocks were sent and never answered; it is watched for a second whether one still arrives.
 */
export async function dropBlocks(
  access: AzureAccess,
  key: string,
  upload: string,
  { isLateExpected = false }: { readonly isLateExpected?: boolean } = {},
): Promise<void> {
  const wanted = isLateExpected ? CLEAN_LOOKS : 1;
  for (let looks = 0, clean = 0; looks < MOST_LOOKS; looks += 1) {
    const isThere = (await uploadsUnder(access, key)).includes(upload);
    if (isThere && (await keepsWhatIsWritten(access))) return;
    if (isThere && (await commitAndRemoveNothing(access, key)) === 'a blob is stored') return;
    clean = isThere ? 0 : clean + 1;
    if (clean >= wanted) return;
    if (looks > 0 || !isThere) await access.clock.sleep(BETWEEN_LOOKS_MS);
  }
  throw new KeyturnError(
    'store.refused',
    `Store ${access.place.store} still has an upload of ${key} after its abort.`,
    {
      hint: 'Abort it again later; Azure drops what is left of it after a week.',
    },
  );
}

/** A server that stood still may take in a block whose sender is long gone. */
const CLEAN_LOOKS = 3;
const MOST_LOOKS = 8;
const BETWEEN_LOOKS_MS = 500;

async function commitAndRemoveNothing(access: AzureAccess, key: string): Promise<'done' | 'a blob is stored'> {
  const what = `abort the upload of ${key}`;
  const retry = { retry: ABORT_RETRY };
  const committed = await access.askIfThere(
    what,
    async (send) =>
      (await access.blob(key)).commitBlockList([], {
        ...send,
        metadata: DROPS_BLOCKS,
        conditions: { ifNoneMatch: '*' },
      }),
    (error) => isAnswer(error, 'BlobAlreadyExists') || isReplaced(error),
    retry,
  );
  const etag = committed?.etag ?? (await emptyOne(access, key));
  if (etag === undefined) return 'a blob is stored';
  await access.askIfThere(
    what,
    async (send) => (await access.blob(key)).delete({ ...send, conditions: { ifMatch: etag } }),
    // Somebody's upload was completed in between: its blob stays.
    (error) => isBlobMissing(error) || isReplaced(error),
    retry,
  );
  return 'done';
}

/** An empty blob that an earlier try committed, although its answer was lost, or that somebody did who was killed. */
async function emptyOne(access: AzureAccess, key: string): Promise<string | undefined> {
  const found = await access.askIfThere(
    `look at ${key}`,
    async (send) => (await access.blob(key)).getProperties(send),
    isBlobMissing,
    { retry: ABORT_RETRY },
  );
  return found?.contentLength === 0 && found.metadata?.['keyturndropsblocks'] === 'yes' ? found.etag : undefined;
}
