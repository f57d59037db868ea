/** Encryption by itself: recipients, identities, passphrases, and the files that they come from. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { Decrypter, Encrypter } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeAgeKey, type AgeKey } from '../../../deploy/local/parts/age-key.ts';
import { checkEncryption } from '../../../src/adapters/encoding/check.ts';
import type { EncryptionOptions } from '../../../src/adapters/encoding/keys.ts';
import { PLAIN, type Encoding } from '../../../src/domain/snapshot.ts';
import { inChunks, snapshotCoderContract } from '../../contracts/snapshot-coder.ts';
import { coderOf } from '../../support/coder.ts';

const NEVER = new AbortController().signal;
const SAID = Buffer.from('the whole of etcd');

let dir: string;
let ours: AgeKey;
let theirs: AgeKey;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keyturn-age-'));
  ours = await writeAgeKey(join(dir, 'ours'));
  theirs = await writeAgeKey(join(dir, 'theirs'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8');
}

async function stored(options: Partial<EncryptionOptions>): Promise<{ encoding: Encoding; bytes: Buffer }> {
  const coder = coderOf(options);
  const encoding = coder.encodingFor('none');
  return { encoding, bytes: await buffer(coder.encode(encoding, inChunks(SAID), NEVER)) };
}

function opened(options: Partial<EncryptionOptions>, { encoding, bytes }: { encoding: Encoding; bytes: Buffer }) {
  return buffer(coderOf(options).decode(encoding, inChunks(bytes), NEVER));
}

function full(options: Partial<EncryptionOptions>): EncryptionOptions {
  return { recipients: [], passphraseFile: undefined, identityFiles: [], ...options };
}

snapshotCoderContract('the coder that encrypts', async () => {
  const coder = coderOf({ recipients: [ours.recipient, theirs.recipient], identityFiles: [ours.file] });
  return { coder, encoding: coder.encodingFor('none'), runs: 40 };
});

describe('recipients', () => {
  test('each of them opens a snapshot with any tool that reads age files', async () => {
    const { bytes } = await stored({ recipients: [ours.recipient, theirs.recipient] });
    for (const key of [ours, theirs]) {
      const decrypter = new Decrypter();
      decrypter.addIdentity(/AGE-SECRET-KEY-\S+/.exec(await textOf(key.file))?.[0] ?? '');
      expect(Buffer.from(await decrypter.decrypt(bytes))).toEqual(SAID);
    }
  });

  test('new snapshots are for those that are configured now, old ones open with the identity that was theirs', async () => {
    const before = await stored({ recipients: [ours.recipient] });
    const after = await stored({ recipients: [theirs.recipient] });
    expect([before.encoding.recipients, after.encoding.recipients]).toEqual([[ours.recipient], [theirs.recipient]]);
    const both = { recipients: [theirs.recipient], identityFiles: [theirs.file, ours.file] };
    expect(await opened(both, before)).toEqual(SAID);
    expect(await opened(both, after)).toEqual(SAID);
    await expect(opened({ identityFiles: [theirs.file] }, before)).rejects.toMatchObject({
      code: 'encryption.no-identity',
      message: expect.stringContaining(ours.recipient) as string,
    });
  });

  test('named twice count once', () => {
    const { recipient } = ours;
    expect(coderOf({ recipients: [recipient, recipient] }).encodingFor('none').recipients).toEqual([recipient]);
  });

  test('that are mistyped stop the encryption before anything is read', async () => {
    let isRead = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      isRead = true;
      yield SAID;
    }
    const mistyped = `${ours.recipient.slice(0, -1)}${ours.recipient.endsWith('q') ? 'p' : 'q'}`;
    const coder = coderOf({ recipients: [ours.recipient, mistyped] });
    const bytes = buffer(coder.encode(coder.encodingFor('none'), source(), NEVER));
    await expect(bytes).rejects.toMatchObject({ code: 'encryption.failed' });
    expect(isRead).toBe(false);
  });

  test('without any, what is stored is the snapshot itself', async () => {
    expect(await stored({})).toEqual({ encoding: PLAIN, bytes: SAID });
  });
});

describe('identity files', () => {
  test('may hold comments and several identities, and end lines as Windows does', async () => {
    const identities = await Promise.all([theirs, ours].map(({ file: path }) => textOf(path)));
    const all = await file('several', `# mine\r\n\r\n${identities.join('\r\n')}`);
    expect(await opened({ identityFiles: [all] }, await stored({ recipients: [ours.recipient] }))).toEqual(SAID);
  });

  test('one that can not be read does not keep another from fitting', async () => {
    const options = { identityFiles: [join(dir, 'gone'), ours.file] };
    expect(await opened(options, await stored({ recipients: [ours.recipient] }))).toEqual(SAID);
    expect(await coderOf(options).obstacle((await stored({ recipients: [ours.recipient] })).encoding)).toBe(undefined);
  });

  test('that hold no key are told by their name, never by what is in them', async () => {
    const identity = (await textOf(ours.file)).trim().split('\n').at(-1) ?? '';
    const mistyped = `${identity.slice(0, -1)}${identity.endsWith('Q') ? 'P' : 'Q'}`;
    for (const [name, text] of [
      ['mistyped', `${mistyped}\n`],
      ['ssh', '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n'],
      ['encrypted', 'age-encryption.org/v1'],
      ['empty', ''],
    ] as const) {
      const path = await file(name, text);
      const told = await coderOf({ identityFiles: [path] }).obstacle(
        (await stored({ recipients: [ours.recipient] })).encoding,
      );
      expect(told).toMatchObject({ code: 'encryption.no-identity', message: expect.stringContaining(path) as string });
      if (text !== '') expect(JSON.stringify(told)).not.toContain(text.trim().slice(0, 30));
    }
  });

  test('are read when they are needed: one that comes later opens what was refused before', async () => {
    const path = join(dir, 'later');
    const coder = coderOf({ identityFiles: [path] });
    const { encoding } = await stored({ recipients: [ours.recipient] });
    expect((await coder.obstacle(encoding))?.code).toBe('encryption.no-identity');
    await writeFile(path, await textOf(ours.file));
    expect(await coder.obstacle(encoding)).toBe(undefined);
  });

  test('what the manifest says is for us and is not counts as damaged', async () => {
    const { bytes } = await stored({ recipients: [theirs.recipient] });
    const { encoding } = await stored({ recipients: [ours.recipient] });
    await expect(opened({ identityFiles: [ours.file] }, { encoding, bytes })).rejects.toMatchObject({
      code: 'snapshot.damaged',
    });
  });
});

describe('a passphrase', () => {
  test('encrypts as age -p does, and its file opens what it encrypted', async () => {
    const passphraseFile = await file('passphrase', 'correct horse battery\n');
    const snapshot = await stored({ passphraseFile });
    expect(snapshot.encoding.recipients).toEqual(['passphrase']);
    const decrypter = new Decrypter();
    decrypter.addPassphrase('correct horse battery');
    expect(Buffer.from(await decrypter.decrypt(snapshot.bytes))).toEqual(SAID);
    expect(await opened({ passphraseFile }, snapshot)).toEqual(SAID);
    // After a change to recipients it is one of the identities.
    expect(await opened({ recipients: [ours.recipient], identityFiles: [passphraseFile] }, snapshot)).toEqual(SAID);
  });

  test('that is another one is told so', async () => {
    const snapshot = await stored({ passphraseFile: await file('right', 'right') });
    await expect(opened({ passphraseFile: await file('wrong', 'wrong') }, snapshot)).rejects.toMatchObject({
      code: 'snapshot.damaged',
      message: expect.stringContaining('another passphrase') as string,
    });
  });

  test('of a header that asks for more work than age ever does is not tried', async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase('right');
    encrypter.setScryptWorkFactor(10);
    const text = Buffer.from(await encrypter.encrypt(SAID)).toString('latin1');
    const bytes = Buffer.from(text.replace(/^(-> scrypt \S+) 10$/m, '$1 30'), 'latin1');
    const encoding: Encoding = { compression: 'none', encryption: 'age', recipients: ['passphrase'] };
    const began = performance.now();
    const ended = opened({ passphraseFile: await file('right2', 'right') }, { encoding, bytes });
    await expect(ended).rejects.toMatchObject({ code: 'snapshot.damaged' });
    expect(performance.now() - began).toBeLessThan(500);
  });

  test('must be one line', async () => {
    for (const text of ['', '\n', 'one\ntwo\n']) {
      const passphraseFile = await file('lines', text);
      await expect(stored({ passphraseFile })).rejects.toMatchObject({ code: 'encryption.failed' });
    }
  });
});

describe('keyturn check', () => {
  test('says how many recipients there are, and warns when no identity here is theirs', async () => {
    const recipients = [ours.recipient];
    expect(await checkEncryption(full({ recipients, identityFiles: [ours.file] }))).toEqual({
      found: 'new snapshots to 1 recipient, 1 identity here',
      warning: undefined,
    });
    const other = await checkEncryption(full({ recipients, identityFiles: [theirs.file] }));
    expect(other.warning).toMatch(/No identity here opens them/);
  });

  test('warns of a key that every user may read', async () => {
    const { recipient, file: path } = await writeAgeKey(join(dir, 'loose'));
    await chmod(path, 0o644);
    const { warning } = await checkEncryption(full({ recipients: [recipient], identityFiles: [path] }));
    expect(warning).toBe(`Every user of this machine may read ${path} (mode 0644): chmod 600 ${path}`);
  });

  test('fails on a file that is not there and on recipients that are mistyped', async () => {
    await expect(checkEncryption(full({ identityFiles: [join(dir, 'gone')] }))).rejects.toMatchObject({
      code: 'encryption.no-identity',
      message: expect.stringContaining('gone') as string,
    });
    await expect(checkEncryption(full({ recipients: ['age1mistyped'] }))).rejects.toMatchObject({
      code: 'encryption.failed',
    });
  });
});
