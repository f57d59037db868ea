/** Rules of the SFTP store that need no server: tries, one connection, replacing without posix-rename, errors, algorithms. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { algorithmsFor, isMismatch, noCommonAlgorithm } from '../../../src/adapters/ssh/algorithms.ts';
import { defaultSftpTuning, sftpAccess, type SftpAccess } from '../../../src/adapters/ssh/sftp-access.ts';
import { sftpConnection } from '../../../src/adapters/ssh/sftp-connection.ts';
import { describeSftpError } from '../../../src/adapters/ssh/sftp-errors.ts';
import { readObject } from '../../../src/adapters/ssh/sftp-read.ts';
import { replace } from '../../../src/adapters/ssh/sftp-replace.ts';
import { SftpRefusal, type SftpSession } from '../../../src/adapters/ssh/sftp-session.ts';
import { sftpUpload } from '../../../src/adapters/ssh/sftp-upload.ts';
import { KeyturnError, type ErrorCode } from '../../../src/domain/error.ts';
import { hastyClock } from '../../fakes/clock.ts';
import { fakeSftp, lostConnection, type FakeSftp } from '../../fakes/sftp-session.ts';

const place = { store: 'offsite', server: 'offsite (10.0.0.9:22)', user: 'backup', path: '/srv' };
const never = new AbortController().signal;
const problem = (code: ErrorCode): KeyturnError => new KeyturnError(code, 'It did not work.', { hint: 'Do this.' });

/** Answers one after the other; the last one again and again. */
function accessOver(...sessions: readonly (SftpSession | Error)[]): { access: SftpAccess; opened: () => number } {
  let opened = 0;
  const open = async (): Promise<SftpSession> => {
    const next = sessions[Math.min(opened, sessions.length - 1)];
    opened += 1;
    if (next === undefined || next instanceof Error) throw next ?? new Error('no session');
    return next;
  };
  const tuning = { ...defaultSftpTuning, chunkSize: 4, chunks: 3, idleMs: 1 };
  return { access: sftpAccess(place, open, tuning, hastyClock()), opened: () => opened };
}

describe('tries', () => {
  test('a server that is away is tried five times, and then said to be unreachable', async () => {
    const { access, opened } = accessOver(problem('ssh.unreachable'));
    const asked = access.ask('list x', (session) => session.stat('/srv'));
    await expect(asked).rejects.toMatchObject({
      code: 'store.unreachable',
      message: expect.stringContaining('list x') as string,
    });
    expect(opened()).toBe(5);
  });

  test('a server that comes back in time is asked again, on a new connection', async () => {
    const server = fakeSftp();
    const { access, opened } = accessOver(
      problem('ssh.unreachable'),
      server.session({ breaksAt: 1 }),
      server.session(),
    );
    expect(await access.ask('look', (session) => session.stat('/srv'))).toMatchObject({ kind: 'directory' });
    expect(opened()).toBe(3);
  });

  test.each([
    ['ssh.host-key', 'ssh.host-key'],
    ['ssh.auth', 'store.credentials'],
    ['ssh.algorithms', 'store.refused'],
    ['config.invalid', 'config.invalid'],
    ['ssh.forward-refused', 'store.unreachable'],
  ] as const)('%s is final, and told as %s', async (from, to) => {
    const { access, opened } = accessOver(problem(from));
    await expect(access.ask('list', (session) => session.stat('/srv'))).rejects.toMatchObject({
      code: to,
      hint: 'Do this.',
    });
    expect(opened()).toBe(1);
  });

  test('an aborted signal ends the waiting between tries with its reason', async () => {
    const { access } = accessOver(problem('ssh.unreachable'));
    const stop = new AbortController();
    const reason = new Error('told to stop');
    const asked = access.ask('list', (session) => session.stat('/srv'), { signal: stop.signal });
    stop.abort(reason);
    await expect(asked).rejects.toBe(reason);
  });
});

describe('one connection', () => {
  test('is shared by all who ask at the same time, and made anew only when it was lost', async () => {
    const server = fakeSftp();
    let opened = 0;
    const sessions: SftpSession[] = [];
    const connection = sftpConnection(async () => {
      opened += 1;
      sessions.push(server.session());
      return sessions.at(-1) as SftpSession;
    }, 10_000);
    await Promise.all([1, 2, 3].map(() => connection.use((session) => session.stat('/srv'))));
    expect(opened).toBe(1);
    await sessions[0]?.end();
    await connection.use((session) => session.stat('/srv'));
    expect(opened).toBe(2);
    await connection.closeUnused();
    expect(sessions[1]?.gone.aborted).toBe(true);
  });

  test('is closed when nobody has used it for a while, and not while somebody keeps it', async () => {
    const session = fakeSftp().session();
    const connection = sftpConnection(async () => session, 20);
    const release = await connection.use(async (used) => connection.keep(used));
    await new Promise((resolve) => setTimeout(resolve, 60));
    await connection.closeUnused();
    expect(session.gone.aborted).toBe(false);
    release();
    release();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(session.gone.aborted).toBe(true);
  });

  test('that could not be made is tried by the next who asks', async () => {
    const session = fakeSftp().session();
    let opened = 0;
    const connection = sftpConnection(async () => {
      opened += 1;
      if (opened === 1) throw lostConnection();
      return session;
    }, 1);
    await expect(connection.use(async () => 'never')).rejects.toMatchObject({ code: 'ssh.lost' });
    expect(await connection.use(async () => 'here')).toBe('here');
  });
});

describe('replacing on a server that does not replace', () => {
  const started = (): FakeSftp => {
    const server = fakeSftp();
    server.files.set('/srv/a', Buffer.from('old'));
    server.files.set('/srv/.new', Buffer.from('new'));
    return server;
  };
  const bare = (server: FakeSftp, breaksAt?: number): SftpSession =>
    server.session({ posixRename: false, ...(breaksAt === undefined ? {} : { breaksAt }) });
  const seen = async (server: FakeSftp): Promise<string> => {
    const { access } = accessOver(bare(server));
    const chunks = (await (await readObject(access, 'a', never)).toArray()) as Buffer[];
    return Buffer.concat(chunks).toString();
  };

  test('the new one is there in the end, and nothing else', async () => {
    const server = started();
    await replace(bare(server), '/srv/.new', '/srv/a');
    expect([...server.files.entries()].map(([path, body]) => [path, body.toString()])).toEqual([['/srv/a', 'new']]);
  });

  test('whenever the connection breaks, the old one or the new one is found, and another try ends it', async () => {
    for (let breaksAt = 1; ; breaksAt += 1) {
      const server = started();
      const failed = await replace(bare(server, breaksAt), '/srv/.new', '/srv/a').then(
        () => false,
        () => true,
      );
      expect(['old', 'new']).toContain(await seen(server));
      if (!failed) break;
      if (server.files.has('/srv/.new')) await replace(bare(server), '/srv/.new', '/srv/a');
      expect(await seen(server)).toBe('new');
      expect(breaksAt).toBeLessThan(20);
    }
  });

  test('two who replace at the same time: one of theirs is there in the end', async () => {
    const server = started();
    server.files.set('/srv/.other', Buffer.from('other'));
    await Promise.all([replace(bare(server), '/srv/.new', '/srv/a'), replace(bare(server), '/srv/.other', '/srv/a')]);
    expect(['new', 'other']).toContain(await seen(server));
    expect([...server.files.keys()].filter((path) => !path.startsWith('/srv/.'))).toEqual(['/srv/a']);
  });
});

describe('an upload', () => {
  const body = Buffer.from('some more than three chunks of four bytes');
  const run = async (access: SftpAccess): Promise<unknown> => {
    const upload = await sftpUpload(access, 'prod/a.db', never);
    try {
      for (const byte of body) await upload.write(Buffer.of(byte));
      return await upload.complete();
    } catch (error) {
      await upload.abort();
      return error;
    }
  };

  test('whichever request the connection breaks at, the object is whole in the end and nothing else is left', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 4 }),
        fc.boolean(),
        async (breaks, posixRename) => {
          const server = fakeSftp();
          const sessions = [
            ...breaks.map((breaksAt) => server.session({ breaksAt, posixRename })),
            server.session({ posixRename }),
          ];
          expect(await run(accessOver(...sessions).access)).toMatchObject({ key: 'prod/a.db', size: body.length });
          expect([...server.files]).toEqual([['/srv/prod/a.db', body]]);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('that went through two connections is read back, and refused when the server lost bytes in between', async () => {
    const server = fakeSftp();
    const { access } = accessOver(server.session({ breaksAt: 12 }), server.session());
    const upload = await sftpUpload(access, 'a.db', never);
    for (const byte of body.subarray(0, 20)) await upload.write(Buffer.of(byte));
    // As after a power cut: the file is as long as it was, and its beginning never got to the disk.
    await expect.poll(() => [...server.files.values()][0]?.length).toBeGreaterThan(15);
    for (const bytes of server.files.values()) bytes.fill(0, 0, 4);
    for (const byte of body.subarray(20)) await upload.write(Buffer.of(byte));
    await expect(upload.complete()).rejects.toMatchObject({ code: 'store.corrupt' });
    await upload.abort();
    expect([...server.files]).toEqual([]);
  });

  test('that was renamed though the answer was lost is known to be there', async () => {
    const server = fakeSftp();
    const whole = server.session();
    const ending = new AbortController();
    const deaf: SftpSession = {
      ...whole,
      gone: ending.signal,
      async posixRename(from, to) {
        await whole.posixRename(from, to);
        ending.abort(lostConnection());
        throw lostConnection();
      },
    };
    expect(await run(accessOver(deaf, server.session()).access)).toMatchObject({ size: body.length });
    expect([...server.files]).toEqual([['/srv/prod/a.db', body]]);
  });
});

describe('what a refusal means', () => {
  const told = (status: number, space?: Parameters<typeof describeSftpError>[3]): string =>
    describeSftpError(place, 'write a', new SftpRefusal(status), space).code;
  const GB = 1e9;

  test.each([
    [2, 'store.not-found'],
    [3, 'store.credentials'],
    [4, 'store.refused'],
    [5, 'store.refused'],
    [7, 'store.unreachable'],
    [8, 'store.refused'],
    [14, 'store.full'],
    [15, 'store.full'],
  ])('status %i is %s', (status, code) => {
    expect(told(status)).toBe(code);
  });

  test('a failure without a reason is a full disk when nothing is free, or no inode, and a matter of mounting when it is read-only', () => {
    expect(told(4, { free: 10 * GB, freeInodes: 1_000, readOnly: false })).toBe('store.refused');
    expect(told(4, { free: 0, freeInodes: 1_000, readOnly: false })).toBe('store.full');
    expect(told(4, { free: 10 * GB, freeInodes: 0, readOnly: false })).toBe('store.full');
    expect(told(4, { free: 10 * GB, freeInodes: 1_000, readOnly: true })).toBe('store.credentials');
  });

  test('a bug stays a final refusal that names the server', () => {
    const error = describeSftpError(place, 'write a', new TypeError('x is not a function'), undefined);
    expect(error).toMatchObject({ code: 'store.refused' });
    expect(error.message).toContain(place.server);
    expect(error.message).not.toContain('not a function');
  });
});

describe('algorithms', () => {
  const OLD = /sha1|cbc|^ssh-rsa$|ssh-dss/;

  test('nothing that OpenSSH gave up is offered unless it is allowed', () => {
    for (const speaker of [{}, { legacyAlgorithms: false }]) {
      const offer = JSON.stringify(algorithmsFor(speaker, []));
      expect(offer).not.toMatch(/sha1|cbc|"ssh-rsa"|ssh-dss/);
    }
    const { kex, cipher, serverHostKey } = algorithmsFor({ legacyAlgorithms: true }, []);
    expect(JSON.stringify(kex)).toContain('diffie-hellman-group1-sha1');
    expect(JSON.stringify(kex)).toContain('diffie-hellman-group14-sha1');
    // The old ones come last: a server that knows better ones uses those.
    const hostKeys = serverHostKey as string[];
    expect(hostKeys.at(-1)).toBe('ssh-rsa');
    expect((cipher as string[]).findIndex((name) => OLD.test(name))).toBeGreaterThan(3);
  });

  test('a host that showed its RSA key already is not asked for it again', () => {
    const seen = [{ type: 'ssh-rsa', fingerprint: 'SHA256:x' }];
    expect(algorithmsFor({ legacyAlgorithms: true }, seen).serverHostKey).not.toContain('ssh-rsa');
  });

  test('the hint names the option only where there is one that is not set', () => {
    const error = new Error('Handshake failed: no matching key exchange algorithm');
    expect(isMismatch(error)).toBe(true);
    expect(noCommonAlgorithm({ legacyAlgorithms: false }, 'offsite', error).hint).toContain('legacyAlgorithms: true');
    expect(noCommonAlgorithm({ legacyAlgorithms: true }, 'offsite', error).hint).not.toContain('legacyAlgorithms');
    expect(noCommonAlgorithm({}, 'cp1', error).hint).not.toContain('legacyAlgorithms');
  });
});
