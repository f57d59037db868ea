/** Holds the SFTP store against a real sshd: the contract, and what happens when the server fails or is another than thought. */
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cloneDir } from '../../deploy/local/parts/host.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import type { SftpTuning } from '../../src/adapters/ssh/sftp-access.ts';
import { sftpStore, type SftpStoreOptions } from '../../src/adapters/ssh/sftp-store.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { snapshotStoreContract } from '../contracts/snapshot-store.ts';
import { snapshotStoreFaults } from '../contracts/snapshot-store-faults.ts';
import { startLink } from '../support/link.ts';
import { startTestSftp, type TestSftp, type TestSftpOptions } from '../support/sftp-server.ts';
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

const never = new AbortController().signal;
const MiB = 1024 * 1024;

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
const keysIn = async (store: SnapshotStore): Promise<string[]> => (await all(store.list(''))).map(({ key }) => key);

describe('a real sshd', () => {
  let sftp: TestSftp;
  let store: SnapshotStore;
  const started: TestSftp[] = [];
  const start = async (more: TestSftpOptions = {}): Promise<TestSftp> => {
    const another = await startTestSftp(more);
    started.push(another);
    return another;
  };
  const storeIn = (server: TestSftp, more: Partial<SftpStoreOptions> = {}): SnapshotStore =>
    sftpStore({ ...server.options, ...more }, deps, quick);

  beforeAll(async () => {
    sftp = await start();
    store = storeIn(sftp);
  });
  beforeEach(async () => {
    for (const name of await readdir(sftp.folder)) await rm(join(sftp.folder, name), { recursive: true });
  });
  afterAll(async () => {
    for (const server of started) await server.remove();
  });

  test('a check tells where it was, and what is free there', async () => {
    expect(await store.check()).toMatch(
      /^keyturn@127\.0\.0\.1:\d+\/etcd-backup, can be listed, written and deleted in, [\d.]+ GB free$/,
    );
    const bare = await start({ unknownRequests: EXTENSIONS });
    expect(await storeIn(bare).check()).toMatch(/can be listed, written and deleted in, without fsync$/);
  });

  test('20,000 files in one folder are listed in seconds', async () => {
    await mkdir(join(sftp.folder, 'prod'));
    const names = Array.from({ length: 20_000 }, (_, n) => `20261121T060000Z-${n}.db`);
    for (const name of names) await writeFile(join(sftp.folder, 'prod', name), name);
    await chown(join(sftp.folder, 'prod'), 1000, 1000);
    const before = Date.now();
    const found = await all(store.list('prod/'));
    expect(Date.now() - before).toBeLessThan(10_000);
    expect(found.map(({ key }) => key)).toEqual(names.map((name) => `prod/${name}`).sort());
    expect(found.find(({ key }) => key === `prod/${names[7]}`)?.size).toBe(names[7]?.length);
  });

  test('links are not followed, wherever they lead', async () => {
    await mkdir(join(sftp.folder, 'real'));
    await writeFile(join(sftp.folder, 'real', 'a.db'), 'a');
    await chown(join(sftp.folder, 'real'), 1000, 1000);
    await symlink('real', join(sftp.folder, 'linked'));
    await symlink('real/a.db', join(sftp.folder, 'link.db'));
    expect(await keysIn(store)).toEqual(['real/a.db']);
    expect(await store.stat('link.db')).toBeUndefined();
    await expect(store.get('link.db')).rejects.toMatchObject({ code: 'store.not-found' });
    await store.remove('link.db');
    const refused = { code: 'store.refused', message: expect.stringContaining('link') as string };
    await expect(store.get('linked/a.db')).rejects.toMatchObject(refused);
    await expect(store.put('linked/b.db', Buffer.from('b'))).rejects.toMatchObject(refused);
    await expect(store.remove('linked/a.db')).rejects.toMatchObject(refused);
    expect((await readdir(sftp.folder)).sort()).toEqual(['link.db', 'linked', 'real']);
  });

  test('a folder that is missing is told as such, and is never an empty store', async () => {
    const missing = storeIn(sftp, { path: '/not-mounted' });
    const notThere = { code: 'store.not-found', hint: expect.stringContaining('/not-mounted') as string };
    await expect(missing.check()).rejects.toMatchObject(notThere);
    await expect(all(missing.list(''))).rejects.toMatchObject(notThere);
    await expect(all(missing.list('prod/'))).rejects.toMatchObject(notThere);
    await expect(all(missing.openUploads('prod/'))).rejects.toMatchObject(notThere);
    await expect(missing.stat('prod/a.db')).rejects.toMatchObject(notThere);
    await expect(missing.put('prod/a.db', Buffer.from('a'))).rejects.toMatchObject(notThere);
  });

  test('a folder that may not be written to is a matter of rights', async () => {
    // The root of a chroot belongs to root.
    const above = storeIn(sftp, { path: '/' });
    const denied = { code: 'store.credentials', hint: expect.stringContaining('user keyturn') as string };
    await expect(above.check()).rejects.toMatchObject(denied);
    await expect(above.put('a.db', Buffer.from('a'))).rejects.toMatchObject(denied);
    await expect(above.put('prod/a.db', Buffer.from('a'))).rejects.toMatchObject(denied);
  });

  test('a full disk is told as a full disk, though OpenSSH does not say so', async () => {
    const small = storeIn(await start({ sizeLimit: 8 * MiB }));
    const upload = await small.beginUpload('prod/a.db', never);
    const writing = async (): Promise<void> => {
      for (let n = 0; n < 16; n += 1) await upload.write(randomBytes(MiB));
      await upload.complete();
    };
    await expect(writing()).rejects.toMatchObject({
      code: 'store.full',
      hint: expect.stringContaining('room') as string,
    });
    await upload.abort();
    expect(await all(small.openUploads(''))).toEqual([]);
  });

  test('an upload whose line is cut goes on over another connection, and is read back before it counts', async () => {
    const line = await startLink({ host: '127.0.0.1', port: sftp.port });
    const through = storeIn(sftp, { ssh: { ...sftp.options.ssh, port: line.port } });
    const body = randomBytes(24 * MiB);
    try {
      const send = async (key: string, halfWay: () => Promise<void>): Promise<void> => {
        const upload = await through.beginUpload(key, never);
        for (let at = 0; at < body.length; at += MiB) {
          if (at === body.length / 2) await halfWay();
          await upload.write(body.subarray(at, at + MiB));
        }
        await upload.complete().catch(async (error: unknown) => {
          await upload.abort();
          throw error;
        });
      };
      await send('prod/a.db', async () => line.cut());
      expect(Buffer.from(await through.get('prod/a.db')).equals(body)).toBe(true);

      const damaged = send('prod/b.db', async () => {
        line.cut();
        const [name = ''] = (await readdir(join(sftp.folder, 'prod'))).filter((each) => each.startsWith('.b.db.'));
        const file = await open(join(sftp.folder, 'prod', name), 'r+');
        await file.write(Buffer.alloc(4_096), 0, 4_096, 0);
        await file.close();
      });
      await expect(damaged).rejects.toMatchObject({ code: 'store.corrupt' });
      expect(await readdir(join(sftp.folder, 'prod'))).toEqual(['a.db']);
    } finally {
      await through.check();
      await line.close();
    }
  });

  test('what an interrupted replacing has set aside is still the object, until a newer one is there or it is removed', async () => {
    const bare = await start({ unknownRequests: EXTENSIONS });
    const there = storeIn(bare);
    await there.put('prod/a.json', Buffer.from('old'));
    await rename(join(bare.folder, 'prod/a.json'), join(bare.folder, 'prod/.a.json.replaced'));
    expect(await keysIn(there)).toEqual(['prod/a.json']);
    expect(Buffer.from(await there.get('prod/a.json')).toString()).toBe('old');
    expect(await there.stat('prod/a.json')).toMatchObject({ size: 3 });
    await there.put('prod/a.json', Buffer.from('newer'));
    expect(Buffer.from(await there.get('prod/a.json')).toString()).toBe('newer');
    expect(await readdir(join(bare.folder, 'prod'))).toEqual(['a.json']);
    await rename(join(bare.folder, 'prod/a.json'), join(bare.folder, 'prod/.a.json.replaced'));
    await there.remove('prod/a.json');
    expect(await readdir(join(bare.folder, 'prod'))).toEqual([]);
  });

  test('a server behind a jump host is reached through it', async () => {
    const jump = await start({ sshdConfig: ['DisableForwarding no', 'AllowTcpForwarding yes'] });
    const bastions = [{ name: 'jump', address: jump.host, ssh: jump.options.ssh }];
    const options = { ...sftp.options, ssh: { ...sftp.options.ssh, via: 'jump' } };
    const behind = sftpStore(options, { ...deps, bastions }, quick);
    await behind.put('prod/a.json', Buffer.from('{}'));
    expect(await keysIn(behind)).toEqual(['prod/a.json']);
    expect(await jumps(jump)).toBeGreaterThan(0);
    await expect(sftpStore(options, deps).check()).rejects.toMatchObject({ code: 'config.invalid' });
  });

  test('a user who may log in but not use SFTP is told so', async () => {
    const shell = await start({ sshdConfig: ['ForceCommand /bin/false'] });
    await expect(storeIn(shell).check()).rejects.toMatchObject({
      code: 'store.refused',
      hint: expect.stringContaining('Subsystem sftp') as string,
    });
  });

  test.each([
    ['a key exchange with SHA-1', ['KexAlgorithms diffie-hellman-group14-sha1'], 'ed25519'],
    ['a key exchange of 1998', ['KexAlgorithms diffie-hellman-group1-sha1'], 'ed25519'],
    ['a host key signed with SHA-1', ['HostKeyAlgorithms ssh-rsa'], 'rsa'],
    ['a cipher in CBC mode', ['Ciphers aes256-cbc'], 'ed25519'],
  ] as const)(
    '%s is refused with a hint that names the option, and works with it',
    async (_, sshdConfig, hostKeyType) => {
      const old = await start({ sshdConfig, hostKeyType });
      await expect(storeIn(old).check()).rejects.toMatchObject({
        code: 'store.refused',
        message: expect.stringContaining('no common') as string,
        hint: expect.stringContaining('legacyAlgorithms: true') as string,
      });
      const allowed = storeIn(old, { legacyAlgorithms: true });
      const body = randomBytes(3 * MiB);
      await allowed.put('prod/a.db', body);
      expect(Buffer.from(await allowed.get('prod/a.db')).equals(body)).toBe(true);
      const stranger = storeIn(old, { legacyAlgorithms: true, ssh: { ...old.options.ssh, hostKeys: [sftp.hostKey] } });
      await expect(stranger.check()).rejects.toMatchObject({ code: 'ssh.host-key' });
    },
  );

  test('a process that has used the store ends by itself soon after', async () => {
    const before = Date.now();
    const program = `
      import { systemClock } from './src/adapters/clock.ts';
      import { sftpStore } from './src/adapters/ssh/sftp-store.ts';
      const store = sftpStore(${JSON.stringify(sftp.options)}, { clock: systemClock, bastions: [] });
      await store.put('a.json', Buffer.from('{}'));
      console.log('stored');`;
    const { stdout } = await execa(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
      cwd: cloneDir,
      timeout: 30_000,
    });
    expect(stdout).toBe('stored');
    expect(Date.now() - before).toBeLessThan(20_000);
  });
});

/** How many logins the jump host has carried on, by its log. */
async function jumps({ folder }: TestSftp): Promise<number> {
  const log = await readFile(join(folder, '../../log'), 'utf8');
  return log.split('\n').filter((line) => line.includes('Accepted publickey')).length;
}
