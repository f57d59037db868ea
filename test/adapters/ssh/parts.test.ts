import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { hostKeyAlgorithms, isPinned, presentedKey } from '../../../src/adapters/ssh/host-key.ts';
import { extensionsOf, sendSignal, widenWindow, WIDE_WINDOW } from '../../../src/adapters/ssh/internals.ts';
import { quoteArgv } from '../../../src/adapters/ssh/quote.ts';
import { isRefusal, isSudoMissing } from '../../../src/adapters/ssh/sudo.ts';

describe('quoting', () => {
  test('leaves plain words alone, and puts all else into quotes that no shell looks into', () => {
    expect(quoteArgv(['cat', '/etc/a-b_c.d', '--x=1'])).toBe('cat /etc/a-b_c.d --x=1');
    expect(quoteArgv(['echo', "it's", '$x', '', 'a b', '~'])).toBe(`echo 'it'\\''s' '$x' '' 'a b' '~'`);
  });

  test('refuses what no program could be given', () => {
    expect(() => quoteArgv(['a\0b'])).toThrow('NUL');
  });
});

describe('host keys', () => {
  const key = Buffer.from('AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS', 'base64');

  test('are told with type and fingerprint as OpenSSH prints them', () => {
    const { type, fingerprint } = presentedKey(key);
    expect(type).toBe('ssh-ed25519');
    expect(fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    expect(isPinned({ type, fingerprint }, [fingerprint])).toBe(true);
    expect(isPinned({ type, fingerprint }, [`${fingerprint}=`])).toBe(true);
    expect(isPinned({ type, fingerprint }, [fingerprint.toLowerCase()])).toBe(false);
    expect(isPinned({ type, fingerprint }, [])).toBe(false);
  });

  test('of a type that was shown already are not asked for again', () => {
    const left = hostKeyAlgorithms([presentedKey(key)]);
    expect(left).not.toContain('ssh-ed25519');
    expect(left).toContain('rsa-sha2-512');
    expect(hostKeyAlgorithms([])[0]).toBe('ssh-ed25519');
  });
});

describe('sudo', () => {
  const result = (code: number, stderr: string): Parameters<typeof isRefusal>[0] => ({
    code,
    signal: undefined,
    stdout: Buffer.alloc(0),
    stderr,
  });

  test.each([
    'sudo: a password is required\n',
    "Sorry, user k is not allowed to execute '/usr/bin/cat /etc/shadow' as root on cp1.\n",
    'Sorry, user k may not run sudo on cp1.\n',
    'sudo: a terminal is required to read the password; either use the -S option\n',
    'sudo: sorry, you must have a tty to run sudo\n',
    'k is not in the sudoers file.\n',
  ])('refuses with %j', (stderr) => {
    expect(isRefusal(result(1, stderr))).toBe(true);
    expect(isRefusal(result(0, stderr))).toBe(false);
  });

  test('does not refuse when the command itself fails', () => {
    expect(isRefusal(result(1, 'cat: /etc/x: No such file or directory\n'))).toBe(false);
    expect(isSudoMissing(result(127, 'env: ‘sudo’: No such file or directory\n'))).toBe(true);
    expect(isSudoMissing(result(127, 'env: ‘cat’: No such file or directory\n'))).toBe(false);
  });
});

describe("ssh2's private parts", () => {
  const { Channel, MAX_WINDOW } = createRequire(import.meta.url)('ssh2/lib/Channel.js') as {
    Channel: new (
      client: object,
      info: object,
      options: object,
    ) => NodeJS.ReadableStream & {
      incoming: { window: number };
      push(chunk: Buffer | null): boolean;
    };
    MAX_WINDOW: number;
  };
  const sent: unknown[] = [];
  const client = {
    _protocol: {
      channelWindowAdjust: (id: number, bytes: number) => sent.push(['window', id, bytes]),
      signal: (id: number, name: string) => sent.push(['signal', id, name]),
    },
  };
  const make = (): InstanceType<typeof Channel> =>
    new Channel(
      client,
      {
        type: 'session',
        incoming: { id: 1, window: MAX_WINDOW, packetSize: 32768, state: 'open' },
        outgoing: { id: 9, window: 0, packetSize: 32768, state: 'open' },
      },
      {},
    );

  test('are still there: a channel of this very version gets a wide window, and signals', () => {
    sent.length = 0;
    const channel = make();
    expect(widenWindow(channel)).toBe(true);
    expect(channel.incoming.window).toBe(WIDE_WINDOW);
    expect(sendSignal(channel, 'TERM')).toBe(true);
    expect(sent).toEqual([
      ['window', 9, WIDE_WINDOW - MAX_WINDOW],
      ['signal', 9, 'TERM'],
    ]);
  });

  test('widen the window again when half of it is used, and only while the reader keeps up', async () => {
    const channel = make();
    widenWindow(channel);
    sent.length = 0;
    const arrive = (bytes: number): void => {
      channel.incoming.window -= bytes;
      channel.push(Buffer.alloc(bytes));
    };
    channel.on('data', () => undefined);
    await new Promise((flowing) => setImmediate(flowing));
    arrive(WIDE_WINDOW / 2 - 1);
    expect(sent).toEqual([]);
    arrive(1);
    expect(sent).toEqual([['window', 9, WIDE_WINDOW / 2]]);
    channel.pause();
    arrive(WIDE_WINDOW);
    expect(sent).toHaveLength(1);
  });

  test('are in SFTP sessions too: a wide window that is filled up, and the names of extensions', () => {
    const { SFTP } = createRequire(import.meta.url)('ssh2/lib/protocol/SFTP.js') as {
      SFTP: new (client: object, info: object) => { incoming: { window: number }; push(chunk: Buffer): void };
    };
    const session = new SFTP(client, {
      type: 'session',
      incoming: { id: 1, window: MAX_WINDOW, packetSize: 32768, state: 'open' },
      outgoing: { id: 9, window: 0, packetSize: 32768, state: 'open' },
    });
    expect(widenWindow(session)).toBe(true);
    sent.length = 0;
    session.incoming.window -= WIDE_WINDOW / 2;
    // A packet of protocol version 3 that names one extension.
    const version = [2, 0, 0, 0, 3, 0, 0, 0, 1, 120, 0, 0, 0, 1, 49];
    session.push(Buffer.from([0, 0, 0, version.length, ...version]));
    expect(sent).toEqual([['window', 9, WIDE_WINDOW / 2]]);
    expect(extensionsOf(session)).toEqual({ x: '1' });
  });

  test('may be gone: then nothing is touched', () => {
    expect(extensionsOf({})).toEqual({});
    expect(widenWindow({})).toBe(false);
    expect(widenWindow({ incoming: { window: 1 }, outgoing: { id: 1, state: 'open' }, _client: {} })).toBe(false);
    expect(sendSignal({}, 'TERM')).toBe(false);
  });
});
