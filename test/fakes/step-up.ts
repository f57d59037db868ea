/** One-time codes in memory: records as they are, and codes whose text anyone can tell from the secret. */
import { KeyturnError } from '../../src/domain/error.ts';
import type { StepUpRecord } from '../../src/domain/step-up.ts';
import type { OneTimeCodes, StepUpRecords } from '../../src/ports.ts';

export function fakeStepUpRecords(): StepUpRecords {
  const kept = new Map<string, string>();
  const read = (user: string): StepUpRecord | undefined => {
    const text = kept.get(user);
    return text === undefined ? undefined : (JSON.parse(text) as StepUpRecord);
  };
  return {
    read: async (user) => read(user),
    async compareAndSet(next) {
      if ((read(next.user)?.version ?? 0) !== next.version - 1) return false;
      kept.set(next.user, JSON.stringify(next));
      return true;
    },
  };
}

export interface FakeCodes extends OneTimeCodes {
  /** What an authenticator with this secret shows at `at`. */
  codeAt(secret: string, at: Date): string;
}

const STEP_MS = 30_000;

export function fakeCodes(): FakeCodes {
  let made = 0;
  const stepAt = (at: Date): number => Math.floor(at.getTime() / STEP_MS);
  const codeOf = (secret: string, step: number): string => {
    const seed = Buffer.from(`${secret}/${step}`).reduce((sum, byte) => (sum * 31 + byte) % 1_000_000, 7);
    return String(seed).padStart(6, '0');
  };
  return {
    codeAt: (secret, at) => codeOf(secret, stepAt(at)),
    newSecret(user, label) {
      const secret = `SECRET${(made += 1)}`;
      return {
        sealed: `sealed:${user}:${Buffer.from(secret).toString('hex')}`,
        secret,
        uri: `otpauth://totp/${encodeURIComponent(label)}?secret=${secret}`,
      };
    },
    stepOf(user, sealed, code, now) {
      const [, owner, hex = ''] = sealed.split(':');
      if (owner !== user) throw new KeyturnError('step-up.sealed', 'Sealed for another.', { hint: 'Enrol anew.' });
      const secret = Buffer.from(hex, 'hex').toString();
      const present = stepAt(now);
      return [present, present - 1, present + 1].find((step) => codeOf(secret, step) === code.replace(/[\s-]/g, ''));
    },
  };
}
