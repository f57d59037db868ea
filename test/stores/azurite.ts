/** A real Azure Blob service for tests: an Azurite of the test's own. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureAzurite } from '../../deploy/local/parts/azurite.ts';
import { defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { startAzurite, type AzuriteOptions, type LocalAzurite } from '../../deploy/local/services/azurite.ts';
import type { AzureBlobStoreOptions } from '../../src/adapters/stores/azure.ts';
import { freePort } from '../support/free-port.ts';

export interface TestAzurite extends LocalAzurite {
  readonly options: AzureBlobStoreOptions;
  readonly accountKey: string;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

/** On a free port of the loopback address. */
export async function startTestAzurite(limits: Pick<AzuriteOptions, 'quota'> = {}): Promise<TestAzurite> {
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-azurite-'));
  const program = await ensureAzurite({ cacheDir: defaultCacheDir() });
  const account = { accountName: 'keyturn', accountKey: randomBytes(64).toString('base64'), container: 'etcd-backup' };
  const azurite = await startAzurite({ dir, program, port: await freePort(), ...account, ...limits });
  const { accountName, accountKey, container } = account;
  return {
    ...azurite,
    accountKey,
    options: {
      name: 'azure',
      endpoint: azurite.endpoint,
      container,
      prefix: 'site',
      allowPlainHttp: true,
      caFile: undefined,
      credentials: { kind: 'key', accountName, accountKey },
    },
    async remove() {
      await azurite.stop();
      await rm(dir, { recursive: true });
    },
  };
}
