/** Owns Azure Blob as a store: Azure's own service, Azurite, and whoever else speaks it. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { ContainerListBlobFlatSegmentResponse, ContainerListBlobsOptions } from '@azure/storage-blob';
import { assertKey, isKey } from '../../domain/object-key.ts';
import type { Clock, OpenUpload, SnapshotStore, StoredObject } from '../../ports.ts';
import { beganAt, dropBlocks, uploadsUnder } from './azure-blocks.ts';
import { checkContainer } from './azure-check.ts';
import { azureAccess, type AzureAccess, type AzureBlobStoreOptions } from './azure-client.ts';
import { isBlobMissing } from './azure-errors.ts';
import { removeBlob, setLegalHold } from './azure-keeping.ts';
import { readBlob } from './azure-read.ts';
import { azureUpload } from './azure-upload.ts';
import { defaultTuning, type StoreTuning } from './tuning.ts';

export type { AzureBlobStoreOptions } from './azure-client.ts';

/**
 * A container, or the part of it below a prefix. Opens no connection by itself. Of two uploads of one key at once the one
 * that is completed first ends the other (docs/decisions/0021). Throws config.invalid for a plain `http://` endpoint that
 * is not allowed.
 */
export function azureBlobStore(
  options: AzureBlobStoreOptions,
  clock: Clock,
  tuning: Partial<StoreTuning> = {},
): SnapshotStore {
  const access = azureAccess(options, { ...defaultTuning, ...tuning }, clock);
  const { ask, askIfThere, place } = access;

  const read = async (key: string, signal: AbortSignal): Promise<Readable> => {
    assertKey(key);
    signal.throwIfAborted();
    return readBlob(access, key, signal);
  };
  return {
    name: options.name,
    kind: 'azure-blob',
    read,
    async check(signal) {
      return `container ${place.container} at ${place.endpoint}, ${await checkContainer(access, signal)}`;
    },
    async beginUpload(key, signal) {
      assertKey(key);
      signal.throwIfAborted();
      return azureUpload(access, key, signal);
    },
    async put(key, body) {
      assertKey(key);
      const blobContentType = key.endsWith('.json') ? 'application/json' : 'application/octet-stream';
      const blobHTTPHeaders = { blobContentType, blobContentMD5: createHash('md5').update(body).digest() };
      await ask(`store ${key}`, async (send) =>
        (await access.blob(key)).upload(body, body.length, { ...send, blobHTTPHeaders }),
      );
    },
    async get(key) {
      const chunks: Buffer[] = [];
      for await (const chunk of await read(key, new AbortController().signal)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    },
    async stat(key) {
      assertKey(key);
      const found = await askIfThere(
        `look at ${key}`,
        async (send) => (await access.blob(key)).getProperties(send),
        isBlobMissing,
      );
      return found && { key, size: found.contentLength ?? 0, modifiedAt: found.lastModified ?? new Date(0) };
    },
    async *list(prefix) {
      yield* blobs(access, `list ${prefix}`, { prefix });
    },
    async remove(key) {
      assertKey(key);
      await removeBlob(access, key);
    },
    async legalHold(key, on) {
      assertKey(key);
      return setLegalHold(access, key, on);
    },
    async *openUploads(prefix) {
      yield* openUploads(access, prefix);
    },
    async abortUpload({ key, id }) {
      assertKey(key);
      await dropBlocks(access, key, id);
    },
  };
}

async function* blobs(
  access: AzureAccess,
  what: string,
  { prefix, ...options }: ContainerListBlobsOptions & { readonly prefix: string },
): AsyncGenerator<StoredObject> {
  const { ask, base, tuning } = access;
  for (let page: string | undefined, more = true; more;) {
    const settings = { maxPageSize: tuning.pageSize, ...(page === undefined ? {} : { continuationToken: page }) };
    const answer = await ask(what, async (send) => {
      const listing = (await access.container()).listBlobsFlat({ ...options, ...send, prefix: `${base}${prefix}` });
      const { value } = (await listing.byPage(settings).next()) as { value?: ContainerListBlobFlatSegmentResponse };
      return value;
    });
    for (const { name, properties } of answer?.segment.blobItems ?? []) {
      const key = name.slice(base.length);
      if (isKey(key)) yield { key, size: properties.contentLength ?? 0, modifiedAt: properties.lastModified };
    }
    page = answer?.continuationToken;
    more = page !== undefined && page !== '';
  }
}

/** Names under which nothing is committed are listed as empty; which of the empty ones those are, their blocks tell. */
async function* openUploads(access: AzureAccess, prefix: string): AsyncGenerator<OpenUpload> {
  const all = blobs(access, `list open uploads of ${prefix}`, { prefix, includeUncommitedBlobs: true });
  for await (const { key, size, modifiedAt } of all) {
    if (size > 0) continue;
    for (const id of await uploadsUnder(access, key)) yield { key, id, startedAt: beganAt(id) ?? modifiedAt };
  }
}
