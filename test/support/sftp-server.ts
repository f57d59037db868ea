/** A real sshd of a test's own that serves one folder by SFTP, and the options of a store in it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../deploy/local/parts/rootfs.ts';
import { startSftp, type LocalSftp, type SftpOptions } from '../../deploy/local/services/sftp.ts';
import type { SftpStoreOptions } from '../../src/adapters/ssh/sftp-store.ts';
import { freePort } from './free-port.ts';

export interface TestSftp extends LocalSftp {
  readonly options: SftpStoreOptions;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

export type TestSftpOptions = Omit<SftpOptions, 'dir' | 'rootfs' | 'netns' | 'host' | 'port'>;

/** On a free port of the loopback address. */
export async function startTestSftp(more: TestSftpOptions = {}): Promise<TestSftp> {
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-sftp-'));
  const rootfs = await ensureRootfs('node', { cacheDir: defaultCacheDir() });
  const sftp = await startSftp({ dir, rootfs, port: await freePort(), ...more });
  return {
    ...sftp,
    options: sftpOptions(sftp),
    async remove() {
      await sftp.stop();
      await rm(dir, { recursive: true });
    },
  };
}

export function sftpOptions(
  {
    host,
    port,
    user,
    path,
    keyFile,
    hostKey,
  }: Pick<LocalSftp, 'host' | 'port' | 'user' | 'path' | 'keyFile' | 'hostKey'>,
  more: Partial<SftpStoreOptions> = {},
): SftpStoreOptions {
  return {
    name: 'offsite',
    host,
    path,
    legacyAlgorithms: false,
    ssh: { user, port, hostKeys: [hostKey], auth: { kind: 'key', keyFile } },
    ...more,
  };
}
