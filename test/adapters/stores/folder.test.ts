import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { folderStore } from '../../../src/adapters/stores/folder.ts';
import { snapshotStoreContract } from '../../contracts/snapshot-store.ts';
import { systemClock } from '../../../src/adapters/clock.ts';

snapshotStoreContract('a folder', async () => {
  const path = await mkdtemp(join(tmpdir(), 'keyturn-folder-'));
  return {
    store: folderStore({ name: 'disk', path }, systemClock),
    close: () => rm(path, { recursive: true }),
  };
});
