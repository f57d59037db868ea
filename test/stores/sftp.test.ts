/** Holds the SFTP store against a real sshd: the contract, and what happens when the server fails or is another than thought. */
import { systemClock } from '../../src/adapters/clock.ts';
import { sftpStore } from '../../src/adapters/ssh/sftp-store.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { startTestSftp } from '../support/sftp-server.ts';

const deps = { clock: systemClock, bastions: [] };

snapshotStoreContract('SFTP, as OpenSSH speaks it,', async () => {
  const sftp = await startTestSftp();
  return { store: sftpStore(sftp.options, deps), close: () => sftp.remove() };
});

/** What OpenSSH adds to the protocol, and most others do not have. */
const EXTENSIONS = ['posix-rename', 'fsync', 'statvfs', 'fstatvfs', 'limits', 'hardlink'];

snapshotStoreContract('SFTP without any extension', async () => {
  const sftp = await startTestSftp({ unknownRequests: EXTENSIONS });
  return { store: sftpStore(sftp.options, deps), close: () => sftp.remove() };
});
