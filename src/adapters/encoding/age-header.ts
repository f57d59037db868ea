/**
 * Owns the header of an age file: who may have the file's key. The library makes and reads it; the key comes to us, since the payload
 * is sealed with Node's own, faster cipher. Source: age-encryption.org/v1, "Header".
 */
import { Decrypter, Encrypter, Stanza, type Identity, type Recipient } from 'age-encryption';
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import type { ByteReader } from './byte-reader.ts';

/** A header longer than this, in bytes, is none. */
const LONGEST_HEADER = 64 * 1024;
/** The last line: a MAC of 32 bytes in base64. */
const LAST_LINE = /\n--- [A-Za-z0-9+/]{43}\n/;
/** Behind the header the library writes a nonce and the tag of an empty payload. */
const EMPTY_PAYLOAD = 32;

/** A new file key, and the header that gives it to each of the recipients. */
export async function makeHeader(
  recipients: readonly (string | Recipient)[],
): Promise<{ readonly header: Uint8Array; readonly fileKey: Uint8Array }> {
  let fileKey = new Uint8Array(0);
  const encrypter = new Encrypter();
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = Uint8Array.from(key);
      return [];
    },
  });
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  const file = await encrypter.encrypt(new Uint8Array(0));
  return { header: file.subarray(0, file.length - EMPTY_PAYLOAD), fileKey };
}

/** The file's key; undefined when there is no header, it was changed, or none of the identities fits it. */
export async function openHeader(
  bytes: ByteReader,
  identities: readonly (string | Identity)[],
): Promise<Uint8Array | undefined> {
  const header = await readHeader(bytes);
  if (header === undefined) return undefined;
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  // Whatever the library says of it, the header can't be used.
  return decrypter.decryptHeader(header).catch(() => undefined);
}

async function readHeader(bytes: ByteReader): Promise<Buffer | undefined> {
  let header = '';
  // The header ends with a line; a line is never read beyond its end.
  while (header.length < LONGEST_HEADER && !(await bytes.isAtEnd())) {
    header += (await bytes.read(1)).toString('latin1');
    if (header.endsWith('\n') && LAST_LINE.test(header)) return Buffer.from(header, 'latin1');
  }
  return undefined;
}

// ── Passphrases ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** age's own: 256 MiB of memory and half a second or so. */
const WORK_FACTOR = 18;
const FILE_KEY = 16;
const TAG = 16;

/** As the library's, but it does not hold everything up while it computes. */
export function passphraseRecipient(passphrase: string): Recipient {
  return {
    async wrapFileKey(fileKey) {
      const salt = randomBytes(16);
      const cipher = createCipheriv('chacha20-poly1305', await scryptKey(passphrase, salt), Buffer.alloc(12), {
        authTagLength: TAG,
      });
      const wrapped = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
      return [new Stanza(['scrypt', withoutPadding(salt), String(WORK_FACTOR)], wrapped)];
    },
  };
}

/** Opens what was made with age's own work factor: a header may not ask for more memory than that. */
export function passphraseIdentity(passphrase: string): Identity {
  return {
    async unwrapFileKey(stanzas) {
      const [stanza] = stanzas;
      const [kind, saltText = '', factor] = stanza?.args ?? [];
      const salt = Buffer.from(saltText, 'base64');
      const isOurs = kind === 'scrypt' && stanzas.length === 1 && stanza?.args.length === 3;
      if (!isOurs || factor !== String(WORK_FACTOR) || salt.length !== 16 || withoutPadding(salt) !== saltText)
        return null;
      return unwrap(await scryptKey(passphrase, salt), stanza.body);
    },
  };
}

function unwrap(key: Buffer, wrapped: Uint8Array): Uint8Array | null {
  if (wrapped.length !== FILE_KEY + TAG) return null;
  const decipher = createDecipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: TAG });
  decipher.setAuthTag(wrapped.subarray(FILE_KEY));
  const fileKey = decipher.update(wrapped.subarray(0, FILE_KEY));
  try {
    decipher.final();
  } catch {
    return null;
  }
  return fileKey;
}

function scryptKey(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  const cost = { N: 2 ** WORK_FACTOR, r: 8, p: 1, maxmem: 2 ** (WORK_FACTOR + 11) };
  const salted = Buffer.concat([Buffer.from('age-encryption.org/v1/scrypt'), salt]);
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salted, 32, cost, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

function withoutPadding(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
