/** Owns how Azure Blob is spoken to: address, credentials, tries, and errors in our words. */
import type { BlockBlobClient, ContainerClient } from '@azure/storage-blob';
import { KeyturnError } from '../../domain/error.ts';
import type { Clock } from '../../ports.ts';
import { asking, type Asking } from './asking.ts';
import { describeAzureError, isTransient, type AzurePlace } from './azure-errors.ts';
import { azureHttpClient } from './azure-http.ts';
import { environmentIdentity } from './azure-identity.ts';
import { requireEncryption, type LineOptions } from './tls.ts';
import type { StoreTuning } from './tuning.ts';

export interface AzureBlobStoreOptions extends LineOptions {
  /** `https://ACCOUNT.blob.core.windows.net`; of others with the account behind it, as in `http://127.0.0.1:10000/ACCOUNT`. */
  readonly endpoint: string;
  readonly container: string;
  /** Goes before every key; without leading or trailing slash; may be empty. */
  readonly prefix: string;
  /** Values, not references. 'default': what the environment has (managed identity, workload identity, service principal). */
  readonly credentials:
    | { readonly kind: 'key'; readonly accountName: string; readonly accountKey: string }
    | { readonly kind: 'sas'; readonly sasToken: string }
    | { readonly kind: 'default' };
}

export interface AzureAccess extends Asking {
  readonly place: AzurePlace;
  readonly tuning: StoreTuning;
  readonly clock: Clock;
  /** `''`, or the prefix with its slash. */
  readonly base: string;
  /** Made when it is first asked for. */
  readonly container: () => Promise<ContainerClient>;
  /** The blob of a key. */
  readonly blob: (key: string) => Promise<BlockBlobClient>;
}

/**
 * Throws config.invalid for a plain `http://` endpoint that is not allowed, or where a token would go over it. Opens no
 * connection, and loads no SDK: who has no such store does not pay for it (0.3 s and 12 MB; with an identity twice that).
 */
export function azureAccess(options: AzureBlobStoreOptions, tuning: StoreTuning, clock: Clock): AzureAccess {
  requireEncryption(options);
  const { name: store, credentials, prefix } = options;
  const endpoint = options.endpoint.replace(/\/$/, '');
  if (credentials.kind === 'default' && endpoint.startsWith('http://')) {
    throw new KeyturnError('config.invalid', `Store ${store} has no credentials of its own, and plain http.`, {
      hint: `Use https://, or give store ${store} an accountKey: tokens of an identity never go over plain http.`,
    });
  }
  const place: AzurePlace = { store, container: options.container, endpoint };
  const base = prefix === '' ? '' : `${prefix}/`;
  const describe = (what: string, error: unknown) => describeAzureError(place, what, error);
  let client: Promise<ContainerClient> | undefined;
  const container = () => (client ??= containerClient({ ...options, endpoint }, tuning));
  return {
    place,
    tuning,
    clock,
    base,
    container,
    blob: async (key) => (await container()).getBlockBlobClient(`${base}${key}`),
    ...asking({ retry: tuning.retry, clock, isTransient, describe }),
  };
}

async function containerClient(options: AzureBlobStoreOptions, tuning: StoreTuning): Promise<ContainerClient> {
  const { AnonymousCredential, ContainerClient, StorageSharedKeyCredential, newPipeline } =
    await import('@azure/storage-blob');
  const { credentials, endpoint, container } = options;
  const url = `${endpoint}/${container}`;
  const pipelineTo = (credential: Parameters<typeof newPipeline>[0]) =>
    newPipeline(credential, {
      httpClient: azureHttpClient(options, tuning),
      // Tries are ours (`ask`): bounded in time, and stopped by a signal.
      retryOptions: { maxTries: 1 },
    });
  switch (credentials.kind) {
    case 'key': {
      const { accountName, accountKey } = credentials;
      return new ContainerClient(url, pipelineTo(new StorageSharedKeyCredential(accountName, accountKey)));
    }
    case 'sas':
      return new ContainerClient(
        `${url}?${credentials.sasToken.replace(/^\?/, '')}`,
        pipelineTo(new AnonymousCredential()),
      );
    case 'default':
      return new ContainerClient(url, pipelineTo(await environmentIdentity(tuning.idleTimeoutMs)));
  }
}
