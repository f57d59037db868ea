/** Holds the SFTP store against a real sshd: the contract, and what happens when the server fails or is another than thought. */
import { readFile } from 'node:fs/promises';
import { systemClock } from '../../src/adapters/clock.ts';
import type { SftpTuning } from '../../src/adapters/ssh/sftp-access.ts';
import { sftpStore } from '../../src/adapters/ssh/sftp-store.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { startTestSftp, type TestSftp } from '../support/sftp-server.ts';
import { startThrottle } from '../support/throttle.ts';

const deps = { clock: systemClock, bastions: [] };
/** Gives up within half a minute, and waits for a server that is started again. */
const quick: Partial<SftpTuning> = {
  connectMs: 2_000,
  stallMs: 4_000,
  retry: { tries: 5, pauseMs: 200, withinMs: 10_000 },
};
/** What OpenSSH adds to the protocol, and most others do not have. */
const EXTENSIONS = ['posix-rename', 'fsync', 'statvfs', 'fstatvfs', 'limits', 'hardlink'];

for (const [name, unknownRequests] of [
  ['SFTP, as OpenSSH speaks it,', []],
  ['SFTP without any extension', EXTENSIONS],
] as const) {
  snapshotStoreContract(name, async () => {
    const sftp = await startTestSftp({ unknownRequests });
    return { store: sftpStore(sftp.options, deps), close: () => sftp.remove() };
  });

  snapshotStoreFaults(name, async () => {
    const sftp = await startTestSftp({ unknownRequests });
    const ends: (() => Promise<void>)[] = [() => sftp.remove()];
    const { options } = sftp;
    const { ssh } = options;
    const stranger = await startTestSftp();
    ends.push(() => stranger.remove());
    return {
      store: sftpStore(options, deps, quick),
      kill: () => sftp.kill9(),
      restart: () => sftp.restart(),
      pause: () => sftp.pause(),
      resume: () => sftp.resume(),
      async slow(bytesPerSecond) {
        const line = await startThrottle({ target: { host: options.host, port: ssh.port }, bytesPerSecond });
        ends.push(() => line.close());
        return sftpStore({ ...options, ssh: { ...ssh, port: line.port } }, deps);
      },
      async full(bytes) {
        const small = await startTestSftp({ unknownRequests, sizeLimit: bytes });
        ends.push(() => small.remove());
        return sftpStore(small.options, deps, quick);
      },
      wrongCredentials: sftpStore(
        { ...options, ssh: { ...ssh, auth: { kind: 'key', keyFile: stranger.keyFile } } },
        deps,
      ),
      wrongPeer: {
        store: sftpStore({ ...options, ssh: { ...ssh, hostKeys: [stranger.hostKey] } }, deps),
        code: 'ssh.host-key',
        names: [stranger.hostKey, sftp.hostKey],
      },
      secrets: await Promise.all([sftp, stranger].map(keyOf)),
      async close() {
        for (const end of ends.splice(0).reverse()) await end();
      },
    };
  });
}

/** A line in the midst of the private key. */
async function keyOf({ keyFile }: TestSftp): Promise<string> {
  return (await readFile(keyFile, 'utf8')).split('\n')[2] ?? '';
}
