/** The note of a hold: what is kept of it, and that nothing but a whole one is believed. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  holdOf,
  parseHold,
  reasonOf,
  serialiseHold,
  strongest,
  UNREADABLE,
  type HoldNote,
} from '../../src/domain/hold.ts';
import { sealed } from '../../src/domain/sealed.ts';

const note: HoldNote = { format: 1, reason: 'before the upgrade', by: 'U0ADA', at: '2026-11-21T06:00:00.000Z' };
const ending: HoldNote = { ...note, until: '2026-12-31T23:59:59.999Z' };

describe('a note', () => {
  test.each([note, ending])('is read as it was written', (each) => {
    expect(parseHold(serialiseHold(each))).toEqual(each);
    expect(holdOf(serialiseHold(each))).toEqual({ reason: each.reason, until: each.until });
  });

  test('in which a byte changed holds for ever', () => {
    const text = serialiseHold(ending);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 0, max: 127 }), (at, code) => {
        const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
        fc.pre(changed !== text);
        expect(holdOf(changed)).toEqual(UNREADABLE);
      }),
    );
  });

  test.each([
    ['no JSON', '{'],
    ['nothing', ''],
    ['far too long', sealed({ ...note, reason: 'x'.repeat(20_000) })],
    ['another format', sealed({ ...note, format: 2 })],
    ['a field too many', sealed({ ...note, more: 1 })],
    ['two lines for a reason', sealed({ ...note, reason: 'a\nb' })],
    ['no reason', sealed({ ...note, reason: '' })],
    ['no time', sealed({ ...note, at: 'yesterday' })],
    ['an end that is no time', sealed({ ...note, until: '2026-12-31' })],
  ])('that is %s is none', (_, text) => {
    expect(parseHold(text)).toBeUndefined();
  });
});

test('of several the one that lasts longest counts', () => {
  const short = { ...note, until: '2026-12-01T00:00:00.000Z' };
  expect(strongest([short, ending])).toBe(ending);
  expect(strongest([ending, note, short])).toBe(note);
  expect(strongest<HoldNote>([])).toBeUndefined();
});

test('a reason is kept on one line, and never empty nor too long to be read again', () => {
  expect(reasonOf('  the \n auditors\u2028asked ')).toBe('the auditors asked');
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (typed) => {
      const reason = reasonOf(typed);
      if (reason !== '') expect(parseHold(serialiseHold({ ...note, reason }))?.reason).toBe(reason);
    }),
  );
});
