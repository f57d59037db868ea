import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/adapters/clock.ts';
import { folderStore } from '../../../src/adapters/stores/folder.ts';
import type { SnapshotStore } from '../../../src/ports.ts';
import { snapshotStoreContract } from '../../contracts/snapshot-store.ts';

const never = new AbortController().signal;

snapshotStoreContract('a folder', async () => {
  const path = await mkdtemp(join(tmpdir(), 'keyturn-folder-'));
  return {
    store: folderStore({ name: 'disk', path }, systemClock),
    close: () => rm(path, { recursive: true }),
  };
});

describe('a folder', () => {
  let path: string;
  let store: SnapshotStore;
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'keyturn-folder-'));
    store = folderStore({ name: 'disk', path }, systemClock);
  });
  afterEach(() => rm(path, { recursive: true, force: true }));

  const upload = async (key: string): Promise<void> => {
    const open = await store.beginUpload(key, never);
    await open.write(Buffer.from('bytes'));
    await open.complete();
  };
  const listed = async (prefix: string): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of store.list(prefix)) keys.push(key);
    return keys;
  };

  test('its files and folders are for nobody else to read', async () => {
    await upload('prod/eu/a.db');
    const modeOf = async (name: string) => ((await stat(join(path, name))).mode & 0o777).toString(8);
    expect(await modeOf('prod')).toBe('700');
    expect(await modeOf('prod/eu')).toBe('700');
    expect(await modeOf('prod/eu/a.db')).toBe('600');
  });

  test('an upload is a hidden file beside its object, and gone when it ends', async () => {
    const open = await store.beginUpload('prod/a.db', never);
    expect(await readdir(join(path, 'prod'))).toEqual([expect.stringMatching(/^\.a\.db\.\d+-[0-9a-f]{16}\.upload$/)]);
    await open.complete();
    expect(await readdir(join(path, 'prod'))).toEqual(['a.db']);
  });

  test('no symbolic link is followed, neither to read nor to write', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'keyturn-outside-'));
    await writeFile(join(outside, 'a.db'), 'not yours');
    await symlink(outside, join(path, 'prod'));
    await mkdir(join(path, 'dev'));
    await symlink(join(outside, 'a.db'), join(path, 'dev/a.db'));

    for (const action of [
      () => store.get('prod/a.db'),
      () => store.stat('prod/a.db'),
      () => store.remove('prod/a.db'),
      () => store.put('prod/b.db', Buffer.from('x')),
      () => store.beginUpload('prod/b.db', never),
    ]) {
      await expect(action()).rejects.toMatchObject({ code: 'store.refused' });
    }
    await expect(store.get('dev/a.db')).rejects.toMatchObject({ code: 'store.not-found' });
    expect(await store.stat('dev/a.db')).toBeUndefined();
    expect(await listed('')).toEqual([]);
    await store.put('dev/a.db', Buffer.from('ours'));
    expect(await readFile(join(outside, 'a.db'), 'utf8')).toBe('not yours');
    expect(await readdir(outside)).toEqual(['a.db']);
    await rm(outside, { recursive: true });
  });

  test('the folder itself may be named by a symbolic link', async () => {
    const link = `${path}-link`;
    await symlink(path, link);
    store = folderStore({ name: 'disk', path: link }, systemClock);
    await upload('prod/a.db');
    expect(await listed('prod/')).toEqual(['prod/a.db']);
    await rm(link);
  });

  test('a folder that is missing is not made: it may be a disk that is not mounted', async () => {
    await rm(path, { recursive: true });
    const missing = { code: 'store.not-found', hint: expect.stringContaining('mount') as string };
    for (const action of [
      () => store.check(),
      () => listed('prod/'),
      () => store.get('prod/a.db'),
      () => store.stat('prod/a.db'),
      () => store.put('prod/a.db', Buffer.from('x')),
      () => store.beginUpload('prod/a.db', never),
    ]) {
      await expect(action()).rejects.toMatchObject(missing);
    }
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  test('a file where a folder should be is no object', async () => {
    await store.put('prod', Buffer.from('x'));
    expect(await store.stat('prod/a.db')).toBeUndefined();
    await expect(store.get('prod/a.db')).rejects.toMatchObject({ code: 'store.not-found' });
    await expect(store.put('prod/a.db', Buffer.from('x'))).rejects.toMatchObject({ name: 'KeyturnError' });
    expect(await listed('prod/')).toEqual([]);
    await mkdir(join(path, 'dev'));
    expect(await store.stat('dev')).toBeUndefined();
    await expect(store.get('dev')).rejects.toMatchObject({ code: 'store.not-found' });
  });

  test('what others put there under names that are none of ours is left out', async () => {
    await mkdir(join(path, 'prod/.git'), { recursive: true });
    for (const name of ['prod/.hidden', 'prod/.git/config', 'prod/a\\b', 'prod/etcd-snapshot-1.db']) {
      await writeFile(join(path, name), 'x');
    }
    expect(await listed('')).toEqual(['prod/etcd-snapshot-1.db']);
  });

  test('a leftover of a killed process is found with the time it began', async () => {
    const killed = { now: () => new Date('2026-11-21T06:00:00Z'), sleep: async () => undefined };
    await folderStore({ name: 'disk', path }, killed).beginUpload('prod/a.db', never);
    const found = [];
    for await (const open of store.openUploads('prod/')) found.push(open);
    expect(found).toMatchObject([{ key: 'prod/a.db', startedAt: new Date('2026-11-21T06:00:00Z') }]);
  });

  test('an upload id that is none removes nothing', async () => {
    await upload('prod/a.db');
    for (const id of ['', '../a.db', '1-0123456789abcdef/../../a', '*']) {
      await store.abortUpload({ key: 'prod/a.db', id, startedAt: new Date() });
    }
    expect(await listed('')).toEqual(['prod/a.db']);
  });

  /** Root may write everywhere: the store's own user is what is tried here. */
  const asNobody = (code: string): string => {
    const program = `
      import { folderStore } from '${new URL('../../../src/adapters/stores/folder.ts', import.meta.url).href}';
      import { systemClock } from '${new URL('../../../src/adapters/clock.ts', import.meta.url).href}';
      if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
      const store = folderStore({ name: 'disk', path: ${JSON.stringify(path)} }, systemClock);
      ${code}.then(() => console.log('done'), (error) => console.log(error.code, error.hint));
    `;
    const tsx = new URL('../../../node_modules/tsx/dist/loader.mjs', import.meta.url).href;
    return execFileSync(process.execPath, ['--import', tsx, '--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
  };

  test('a folder that may not be written to is told as a matter of rights', async () => {
    await chmod(path, 0o555);
    expect(asNobody("store.put('prod/a.db', Buffer.from('x'))")).toMatch(/^store\.credentials Let Keyturn's user/);
    expect(asNobody('store.check()')).toMatch(/^store\.credentials/);
    await chmod(path, 0o755);
  });
});
