/** Owns what every StepUpRecords and every OneTimeCodes must do; run on the fakes, on Redis and on real codes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StepUpRecord } from '../../src/domain/step-up.ts';
import type { OneTimeCodes, StepUpRecords } from '../../src/ports.ts';

export interface StepUpRecordsBench {
  /** One more replica's records on the same data. */
  open(): Promise<StepUpRecords>;
  close(): Promise<void>;
}

const FIRST: StepUpRecord = {
  user: 'U1',
  version: 1,
  secret: 'sealed',
  shown: undefined,
  lastStep: 7,
  wrong: 0,
  anew: undefined,
};

export function stepUpRecordsContract(name: string, begin: () => Promise<StepUpRecordsBench>): void {
  describe(`${name} keeps the contract of StepUpRecords`, () => {
    let bench: StepUpRecordsBench;
    let records: StepUpRecords;
    let other: StepUpRecords;

    beforeEach(async () => {
      bench = await begin();
      records = await bench.open();
      other = await bench.open();
    });
    afterEach(() => bench.close());

    test('nothing is known of a person nobody wrote of', async () => {
      expect(await records.read('U1')).toBe(undefined);
    });

    test('a record is read by any replica, and each person has one', async () => {
      expect(await records.compareAndSet(FIRST)).toBe(true);
      expect(await other.read('U1')).toEqual(FIRST);
      expect(await other.read('U2')).toBe(undefined);
      expect(await other.compareAndSet({ ...FIRST, user: 'U2' })).toBe(true);
    });

    test('only the version before is changed', async () => {
      expect(await records.compareAndSet({ ...FIRST, version: 2 })).toBe(false);
      await records.compareAndSet(FIRST);
      expect(await records.compareAndSet({ ...FIRST, wrong: 1 })).toBe(false);
      expect(await other.compareAndSet({ ...FIRST, version: 2, wrong: 1 })).toBe(true);
      expect(await records.read('U1')).toMatchObject({ version: 2, wrong: 1 });
    });

    test('of two changes at once one wins: a code sent twice in the same moment counts once', async () => {
      await records.compareAndSet(FIRST);
      const used = { ...FIRST, version: 2, lastStep: 8 };
      expect((await Promise.all([records.compareAndSet(used), other.compareAndSet(used)])).sort()).toEqual([
        false,
        true,
      ]);
    });
  });
}

export interface CodesBench {
  readonly codes: OneTimeCodes;
  /** What an authenticator with this secret shows at `at`. */
  readonly codeAt: (secret: string, at: Date) => string;
}

const AT = new Date('2026-11-21T06:30:10.000Z');
const STEP = Math.floor(AT.getTime() / 30_000);
const shifted = (steps: number): Date => new Date(AT.getTime() + steps * 30_000);

export function oneTimeCodesContract(name: string, begin: () => CodesBench): void {
  describe(`${name} keep the contract of OneTimeCodes`, () => {
    test('a code is told by its time step, and is good for one step around', () => {
      const { codes, codeAt } = begin();
      const { sealed, secret } = codes.newSecret('U1', 'alice');
      for (const steps of [-1, 0, 1]) {
        expect(codes.stepOf('U1', sealed, codeAt(secret, shifted(steps)), AT)).toBe(STEP + steps);
      }
      for (const steps of [-3, -2, 2, 3, 2880]) {
        expect(codes.stepOf('U1', sealed, codeAt(secret, shifted(steps)), AT)).toBe(undefined);
      }
    });

    test('spaces in a code do not matter; anything that is no code fits nothing', () => {
      const { codes, codeAt } = begin();
      const { sealed, secret } = codes.newSecret('U1', 'alice');
      const code = codeAt(secret, AT);
      expect(codes.stepOf('U1', sealed, ` ${code.slice(0, 3)} ${code.slice(3)} `, AT)).toBe(STEP);
      for (const text of ['', 'abcdef', `${code}0`, code.slice(1), '１２３４５６'])
        expect(codes.stepOf('U1', sealed, text, AT)).toBe(undefined);
    });

    test('every secret is another one, and is not in its sealed form', () => {
      const { codes } = begin();
      const made = Array.from({ length: 20 }, () => codes.newSecret('U1', 'alice'));
      expect(new Set(made.map(({ secret }) => secret)).size).toBe(20);
      for (const { sealed, secret, uri } of made) {
        expect(sealed).not.toContain(secret);
        expect(uri).toContain(secret);
        expect(uri).toMatch(/^otpauth:\/\/totp\/.*alice/);
      }
    });

    test("a secret sealed for one person can't be used by another", () => {
      const { codes, codeAt } = begin();
      const { sealed, secret } = codes.newSecret('U1', 'alice');
      expect(() => codes.stepOf('U2', sealed, codeAt(secret, AT), AT)).toThrow(
        expect.objectContaining({ code: 'step-up.sealed' }) as Error,
      );
    });
  });
}
