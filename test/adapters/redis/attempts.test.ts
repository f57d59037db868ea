import { expect, test } from 'vitest';
import { afterAttempt, backoffMs, mayStart } from '../../../src/adapters/redis/attempts.ts';

test("'later' and an interruption are free, whatever the attempt", () => {
  for (const attempt of [1, 3, 4]) {
    expect(afterAttempt({ kind: 'later', afterMs: 7 }, attempt, 3)).toEqual({ kind: 'wait', delayMs: 7, free: true });
    expect(afterAttempt({ kind: 'interrupted' }, attempt, 3)).toEqual({ kind: 'wait', delayMs: 0, free: true });
  }
});

test('being taken from its worker costs an attempt, and the last one is followed by a report', () => {
  for (const attempt of [1, 3]) {
    expect(afterAttempt({ kind: 'taken' }, attempt, 3)).toEqual({ kind: 'wait', delayMs: 0, free: false });
  }
});

test("'again' and a throw cost an attempt; 'again' ends the job at the last one, a throw is followed by a report", () => {
  expect(afterAttempt({ kind: 'again', afterMs: 7 }, 2, 3)).toEqual({ kind: 'wait', delayMs: 7, free: false });
  expect(afterAttempt({ kind: 'again', afterMs: 7 }, 3, 3)).toEqual({ kind: 'failed' });
  expect(afterAttempt({ kind: 'threw' }, 2, 3)).toEqual({ kind: 'wait', delayMs: 2_000, free: false });
  expect(afterAttempt({ kind: 'threw' }, 3, 3)).toEqual({ kind: 'wait', delayMs: 4_000, free: false });
});

test('done is done at any attempt', () => {
  expect(afterAttempt({ kind: 'done' }, 4, 3)).toEqual({ kind: 'completed' });
});

test('a report that fails is tried five times in all, so that a job can not die for ever', () => {
  const tries = [4, 5, 6, 7, 8].map((attempt) => afterAttempt({ kind: 'threw' }, attempt, 3).kind);
  expect(tries).toEqual(['wait', 'wait', 'wait', 'wait', 'failed']);
  expect(mayStart(8, 3)).toBe(true);
  expect(mayStart(9, 3)).toBe(false);
});

test('the backoff doubles from a second to a minute', () => {
  expect([1, 2, 3, 6, 7, 1000].map(backoffMs)).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000]);
});
