/** The note that holds a snapshot: what it says is strict, what lies there holds in any case. */
import { expect, test } from 'vitest';
import { holdOf, MAX_HOLD_SIZE, parseHold, serialiseHold, strongest, UNREADABLE } from '../../src/domain/hold.ts';
import type { HoldNote } from '../../src/domain/hold.ts';

const NOTE: HoldNote = { format: 1, reason: 'before the upgrade', by: 'U0ADA00001', at: '2026-11-21T06:00:00.000Z' };
const UNTIL: HoldNote = { ...NOTE, until: '2026-12-01T00:00:00.000Z' };

test('what was written is read again', () => {
  for (const note of [NOTE, UNTIL]) expect(parseHold(serialiseHold(note))).toEqual(note);
  expect(holdOf(serialiseHold(UNTIL))).toEqual({ reason: NOTE.reason, until: UNTIL.until });
});

test.each<readonly [string, unknown]>([
  ['no object', 'held'],
  ['nothing', null],
  ['a list', [NOTE]],
  ['another format', { ...NOTE, format: 2 }],
  ['an unknown field', { ...NOTE, for: 'ever' }],
  ['no reason', { ...NOTE, reason: undefined }],
  ['an empty reason', { ...NOTE, reason: '' }],
  ['a reason of two lines', { ...NOTE, reason: 'a\nb' }],
  ['nobody', { ...NOTE, by: 7 }],
  ['no time', { ...NOTE, at: 'yesterday' }],
  ['an end that is none', { ...NOTE, until: '2026-12-01' }],
  ['an end that is null', { ...NOTE, until: null }],
])('%s is no note, and holds for ever', (_, value) => {
  expect(parseHold(JSON.stringify(value))).toBe(undefined);
  expect(holdOf(JSON.stringify(value))).toEqual(UNREADABLE);
});

test('a text that is no JSON, or too long, is no note', () => {
  expect(parseHold('{')).toBe(undefined);
  expect(parseHold(' '.repeat(MAX_HOLD_SIZE) + serialiseHold(NOTE))).toBe(undefined);
});

test('of several holds the one that lasts longest counts', () => {
  const early = { reason: 'a', until: '2026-11-22T00:00:00.000Z' };
  const late = { reason: 'b', until: '2026-11-23T00:00:00.000Z' };
  expect(strongest([early, late])).toBe(late);
  expect(strongest([late, UNREADABLE, early])).toBe(UNREADABLE);
  expect(strongest([])).toBe(undefined);
});
