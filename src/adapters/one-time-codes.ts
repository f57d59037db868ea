/**
 * Owns the technology of one-time codes: RFC 6238 as authenticator apps know it (SHA-1, six digits, 30 seconds), and
 * AES-256-GCM that seals their secrets, each for one person.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';
import { KeyturnError } from '../domain/error.ts';
import type { OneTimeCodes } from '../ports.ts';

const PERIOD_S = 30;
const DIGITS = 6;
/** RFC 4226 asks for at least 16 bytes and recommends 20. */
const SECRET_BYTES = 20;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** The key in a file's text: 32 bytes in base64 or hex. Throws config.invalid; the text is never shown. */
export function sealingKey(text: string): Buffer {
  const trimmed = text.trim();
  const isHex = /^[0-9a-fA-F]{64}$/.test(trimmed);
  const key = Buffer.from(trimmed, isHex ? 'hex' : 'base64');
  if (key.length === KEY_BYTES && (isHex || /^[A-Za-z0-9+/]{43}=?$/.test(trimmed))) return key;
  throw new KeyturnError('config.invalid', 'The key file for one-time codes holds no key of 32 bytes.', {
    hint: 'Make one with: openssl rand -base64 32',
  });
}

/** `issuer`: what authenticators show above the codes. */
export function oneTimeCodes({ key, issuer }: { readonly key: Buffer; readonly issuer: string }): OneTimeCodes {
  return {
    newSecret(user, label) {
      const secret = new Secret({ size: SECRET_BYTES });
      const totp = totpOf(secret, { issuer, label });
      return { sealed: seal(key, user, secret.bytes), secret: secret.base32, uri: totp.toString() };
    },
    stepOf(user, sealed, code, now) {
      const token = code.replace(/[\s-]/g, '');
      if (!/^[0-9]{6}$/.test(token)) return undefined;
      const timestamp = now.getTime();
      const bytes = unseal(key, user, sealed);
      const secret = new Secret({ buffer: new Uint8Array(bytes).buffer });
      const delta = totpOf(secret, { issuer, label: user }).validate({ token, timestamp, window: 1 });
      return delta === null ? undefined : TOTP.counter({ period: PERIOD_S, timestamp }) + delta;
    },
  };
}

/** Where no key is configured: nobody can enrol, and no code counts. */
export function noCodes(): OneTimeCodes {
  const refuse = (): never => {
    throw new KeyturnError('step-up.not-now', 'One-time codes are not set up here.', {
      hint: "Name a key in stepUp.key of Keyturn's configuration; a cluster asks for codes with approvals.stepUp: totp.",
    });
  };
  return { newSecret: refuse, stepOf: refuse };
}

function totpOf(secret: Secret, names: { readonly issuer: string; readonly label: string }): TOTP {
  return new TOTP({ ...names, secret, algorithm: 'SHA1', digits: DIGITS, period: PERIOD_S });
}

/** `v1.<key>.<base64url of iv, tag and ciphertext>`; bound to the user, so that it can't be given to another. */
function seal(key: Buffer, user: string, secret: Uint8Array): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(user));
  const body = Buffer.concat([cipher.update(secret), cipher.final()]);
  return `v1.${nameOf(key)}.${Buffer.concat([iv, cipher.getAuthTag(), body]).toString('base64url')}`;
}

function unseal(key: Buffer, user: string, sealed: string): Buffer {
  const [form, keyName, text = ''] = sealed.split('.');
  if (form !== 'v1' || keyName !== nameOf(key)) throw cantOpen('it was sealed with another key');
  const bytes = Buffer.from(text, 'base64url');
  const iv = bytes.subarray(0, IV_BYTES);
  const tag = bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES);
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(user)).setAuthTag(tag);
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw cantOpen('it was changed, or belongs to another person', error);
  }
}

/** Tells keys apart without telling the key. */
function nameOf(key: Buffer): string {
  return createHash('sha256').update('keyturn one-time codes ').update(key).digest('hex').slice(0, 8);
}

function cantOpen(why: string, cause?: unknown): KeyturnError {
  return new KeyturnError('step-up.sealed', `The stored secret of your one-time codes can't be opened: ${why}.`, {
    hint: 'Restore the key file for one-time codes, or enrol anew.',
    cause,
  });
}
