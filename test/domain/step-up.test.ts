/** What holds for one-time codes: each counts once, five wrong ones lock, a new secret needs a second person. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  agreeAnew,
  ANEW_MS,
  askAnew,
  confirmSecret,
  LOCKED_AFTER,
  showSecret,
  SHOWN_MS,
  standingOf,
  useCode,
} from '../../src/domain/step-up.ts';
import type { StepUpOutcome, StepUpRecord } from '../../src/domain/step-up.ts';
import { later, NOW } from '../support/requests.ts';

function kept(outcome: StepUpOutcome): StepUpRecord {
  if (outcome.kind === 'ok') return outcome.record;
  throw new Error(`refused: ${outcome.code}`);
}

function codeOf(outcome: StepUpOutcome): string {
  return outcome.kind === 'ok' ? 'ok' : outcome.code;
}

/** The record after an attempt that may be refused. */
function after(record: StepUpRecord, outcome: StepUpOutcome): StepUpRecord {
  return outcome.record ?? record;
}

const shown = kept(showSecret(undefined, { user: 'U1', secret: 's1', now: NOW }));
const enrolled = kept(confirmSecret(shown, { step: 100, now: NOW }));
const wrongOnes = (n: number): StepUpRecord =>
  Array.from({ length: n }).reduce<StepUpRecord>((so) => after(so, useCode(so, undefined)), enrolled);

describe('enrolling', () => {
  test('counts only after the first code of the secret that was shown', () => {
    expect(standingOf(undefined)).toBe('none');
    expect(standingOf(shown)).toBe('none');
    expect(codeOf(useCode(shown, 100))).toBe('step-up.not-enrolled');
    expect(codeOf(useCode(undefined, 100))).toBe('step-up.not-enrolled');
    expect(enrolled).toMatchObject({ secret: 's1', shown: undefined, lastStep: 100 });
    expect(standingOf(enrolled)).toBe('enrolled');
  });

  test('uses up the code that confirmed it', () => {
    expect(codeOf(useCode(enrolled, 100))).toBe('step-up.used-code');
    expect(codeOf(useCode(enrolled, 101))).toBe('ok');
  });

  test('begun again forgets the secret that was shown before', () => {
    const again = kept(showSecret(shown, { user: 'U1', secret: 's2', now: NOW }));
    expect(kept(confirmSecret(again, { step: 100, now: NOW })).secret).toBe('s2');
  });

  test('must be confirmed in ten minutes', () => {
    expect(codeOf(confirmSecret(shown, { step: 1, now: later(SHOWN_MS - 1) }))).toBe('ok');
    expect(codeOf(confirmSecret(shown, { step: 1, now: later(SHOWN_MS) }))).toBe('step-up.not-now');
    expect(codeOf(confirmSecret(undefined, { step: 1, now: NOW }))).toBe('step-up.not-now');
    expect(codeOf(confirmSecret(enrolled, { step: 1, now: NOW }))).toBe('step-up.not-now');
  });

  test('is over after five wrong codes', () => {
    let record = shown;
    for (let i = 0; i < LOCKED_AFTER; i += 1)
      record = after(record, confirmSecret(record, { step: undefined, now: NOW }));
    expect(codeOf(confirmSecret(record, { step: 100, now: NOW }))).toBe('step-up.not-now');
  });
});

describe('a code', () => {
  test('counts once, and none older than it counts any more', () => {
    const used = kept(useCode(enrolled, 105));
    for (const step of [105, 104, 0]) expect(codeOf(useCode(used, step))).toBe('step-up.used-code');
    expect(codeOf(useCode(used, 106))).toBe('ok');
  });

  test('that is wrong five times in a row locks; a right one in between starts the count anew', () => {
    expect(standingOf(wrongOnes(4))).toBe('enrolled');
    expect(standingOf(wrongOnes(5))).toBe('locked');
    const saved = kept(useCode(wrongOnes(4), 101));
    expect(saved.wrong).toBe(0);
    expect(codeOf(useCode(wrongOnes(5), 101))).toBe('step-up.locked');
  });

  test('that was used counts as a wrong one', () => {
    expect(after(enrolled, useCode(enrolled, 100)).wrong).toBe(1);
  });

  test('says how many tries are left', () => {
    const hint = (outcome: StepUpOutcome): string => (outcome.kind === 'refused' ? outcome.hint : '');
    expect(hint(useCode(enrolled, undefined))).toContain('4 tries are left');
    expect(hint(useCode(wrongOnes(3), undefined))).toContain('1 try is left');
  });
});

describe('enrolling anew', () => {
  const asked = kept(askAnew(enrolled, NOW));
  const agreed = kept(agreeAnew(asked, { by: 'U2', now: NOW }));
  const show = (record: StepUpRecord, now = NOW): StepUpOutcome =>
    showSecret(record, { user: 'U1', secret: 's2', now });

  test('needs a second person: not before, not one alone', () => {
    expect(codeOf(show(enrolled))).toBe('step-up.not-now');
    expect(codeOf(show(asked))).toBe('step-up.not-now');
    expect(codeOf(agreeAnew(asked, { by: 'U1', now: NOW }))).toBe('review.not-counted');
    expect(codeOf(agreeAnew(enrolled, { by: 'U2', now: NOW }))).toBe('step-up.not-now');
    expect(codeOf(show(agreed))).toBe('ok');
  });

  test('leaves the old secret in force until the new one is confirmed, and not after', () => {
    const both = kept(show(agreed));
    expect(both.secret).toBe('s1');
    const fresh = kept(confirmSecret(both, { step: 200, now: NOW }));
    expect(fresh).toMatchObject({ secret: 's2', lastStep: 200, anew: undefined });
  });

  test('is agreed to for one time only', () => {
    const fresh = kept(confirmSecret(kept(show(agreed)), { step: 200, now: NOW }));
    expect(codeOf(show(fresh))).toBe('step-up.not-now');
  });

  test('asked again wants consent again', () => {
    expect(codeOf(show(kept(askAnew(agreed, NOW))))).toBe('step-up.not-now');
  });

  test('must be agreed to and done within an hour each', () => {
    expect(codeOf(agreeAnew(asked, { by: 'U2', now: later(ANEW_MS) }))).toBe('step-up.not-now');
    expect(codeOf(show(agreed, later(ANEW_MS)))).toBe('step-up.not-now');
    const late = kept(show(agreed, later(ANEW_MS - 1)));
    expect(codeOf(confirmSecret(late, { step: 200, now: later(ANEW_MS) }))).toBe('step-up.not-now');
  });

  test('ends a lock, and nothing else does', () => {
    const locked = wrongOnes(5);
    const wanted = kept(askAnew(locked, NOW));
    expect(standingOf(wanted)).toBe('locked');
    const fresh = kept(
      confirmSecret(kept(show(kept(agreeAnew(wanted, { by: 'U2', now: NOW })))), { step: 200, now: NOW }),
    );
    expect(standingOf(fresh)).toBe('enrolled');
  });

  test('is not for those who have nothing yet', () => {
    expect(codeOf(askAnew(undefined, NOW))).toBe('step-up.not-enrolled');
    expect(codeOf(askAnew(shown, NOW))).toBe('step-up.not-enrolled');
  });
});

test('no time step is ever accepted twice or after a newer one, and never more than four wrong ones go before a right one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.integer({ min: 95, max: 130 }), { nil: undefined }), { maxLength: 40 }),
      (steps) => {
        let record = enrolled;
        let newest = 100;
        let wrong = 0;
        for (const step of steps) {
          const outcome = useCode(record, step);
          if (outcome.kind === 'ok') {
            expect(step).toBeGreaterThan(newest);
            expect(wrong).toBeLessThan(LOCKED_AFTER);
            newest = step ?? newest;
            wrong = 0;
          } else wrong += 1;
          record = after(record, outcome);
        }
      },
    ),
    { seed: 20261121 },
  );
});
