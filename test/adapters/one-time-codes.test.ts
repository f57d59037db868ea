/** Real one-time codes: the RFC's own numbers, and secrets that only the key opens. */
import { randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';
import { describe, expect, test } from 'vitest';
import { noCodes, oneTimeCodes, sealingKey } from '../../src/adapters/one-time-codes.ts';
import { oneTimeCodesContract } from '../contracts/step-up.ts';

const codeAt = (secret: string, at: Date): string =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: at.getTime() });

oneTimeCodesContract('real one-time codes', () => ({
  codes: oneTimeCodes({ key: randomBytes(32), issuer: 'Keyturn' }),
  codeAt,
}));

describe('codes', () => {
  // RFC 6238, appendix B, SHA-1: the last six of its eight digits.
  test.each([
    [59, '287082'],
    [1_111_111_109, '081804'],
    [1_234_567_890, '005924'],
    [20_000_000_000, '353130'],
  ])('are those of RFC 6238 at %i s', (seconds, code) => {
    expect(codeAt(Secret.fromLatin1('12345678901234567890').base32, new Date(seconds * 1000))).toBe(code);
  });

  test('come from 20 random bytes, and the authenticator is told how to make them', () => {
    const { secret, uri } = oneTimeCodes({ key: randomBytes(32), issuer: 'Keyturn' }).newSecret('U1', 'alice');
    expect(Secret.fromBase32(secret).bytes).toHaveLength(20);
    const { searchParams } = new URL(uri);
    expect(Object.fromEntries(searchParams)).toMatchObject({ issuer: 'Keyturn', secret, digits: '6', period: '30' });
  });
});

describe('a sealed secret', () => {
  const key = randomBytes(32);
  const codes = oneTimeCodes({ key, issuer: 'Keyturn' });
  const opening =
    (sealed: string, by = codes) =>
    () =>
      by.stepOf('U1', sealed, '123456', new Date());
  const cantBeOpened = expect.objectContaining({ code: 'step-up.sealed' }) as Error;

  test('is opened after a restart with the same key, and with no other', () => {
    const { sealed, secret } = codes.newSecret('U1', 'alice');
    const now = new Date();
    const restarted = oneTimeCodes({ key: Buffer.from(key), issuer: 'Keyturn' });
    expect(restarted.stepOf('U1', sealed, codeAt(secret, now), now)).toBe(Math.floor(now.getTime() / 30_000));
    expect(opening(sealed, oneTimeCodes({ key: randomBytes(32), issuer: 'Keyturn' }))).toThrow(cantBeOpened);
  });

  test('that was changed in any byte is refused', () => {
    const { sealed } = codes.newSecret('U1', 'alice');
    const [form = '', name = '', text = ''] = sealed.split('.');
    const bytes = Buffer.from(text, 'base64url');
    for (const at of bytes.keys()) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(opening(`${form}.${name}.${changed.toString('base64url')}`)).toThrow(cantBeOpened);
    }
    for (const broken of ['', 'v1', `v2.${name}.${text}`, `v1.${name}.`, `v1.${name}.${text.slice(0, 20)}`]) {
      expect(opening(broken)).toThrow(cantBeOpened);
    }
  });
});

describe('the key file', () => {
  test('holds 32 bytes in base64 or hex', () => {
    const key = randomBytes(32);
    expect(sealingKey(`${key.toString('base64')}\n`)).toEqual(key);
    expect(sealingKey(key.toString('hex'))).toEqual(key);
  });

  test.each(['', 'secret', randomBytes(16).toString('hex'), randomBytes(33).toString('base64'), `${'A'.repeat(42)}!`])(
    'is refused without being shown when it holds anything else',
    (text) => {
      let error: unknown;
      try {
        sealingKey(text);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({ code: 'config.invalid' });
      if (text !== '') expect(JSON.stringify([(error as Error).message, error])).not.toContain(text);
    },
  );
});

test('without a key nobody enrols and no code counts; what to configure is said', () => {
  const codes = noCodes();
  for (const use of [() => codes.newSecret('U1', 'ann'), () => codes.stepOf('U1', 'v1.x.y', '123456', new Date(0))]) {
    expect(use).toThrow(
      expect.objectContaining({
        code: 'step-up.not-now',
        hint: expect.stringContaining('stepUp.key') as string,
      }) as Error,
    );
  }
});
