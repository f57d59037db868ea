/** The words that narrow a list of snapshots down, and what is said when one is mistyped. */
import { describe, expect, test } from 'vitest';
import { isSnapshotName, parseFilters } from '../../src/commands/snapshot-filter.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { SnapshotEntry } from '../../src/domain/snapshot-entry.ts';

const STORES = ['ceph', 'Offsite'];

function entry(
  id: string,
  takenAt: string,
  change: Partial<SnapshotEntry> & { damaged?: boolean; stores?: string[] } = {},
): SnapshotEntry {
  const { damaged = false, stores = STORES, ...rest } = change;
  const copies = stores.map((store) => ({ store, key: `prod/${id}.db`, size: 1, isDamaged: damaged }));
  return { id, cluster: 'prod', takenAt, origin: 'keyturn', copies, isHeld: false, ...rest };
}

const ALL = [
  entry('a', '2026-11-21T06:00:00.000Z', { isHeld: true }),
  entry('b', '2026-11-21T00:00:00.000Z', { damaged: true }),
  entry('c', '2026-11-20T23:59:59.000Z', { stores: ['ceph'] }),
  entry('d', '2026-10-31T00:00:00.000Z', { origin: 'other' }),
  entry('e', '2025-12-31T00:00:00.000Z', { origin: 'adopted', isHeld: true }),
];

function refusal(word: string): KeyturnError {
  try {
    parseFilters([word], STORES);
  } catch (error) {
    if (error instanceof KeyturnError) return error;
    throw error;
  }
  throw new Error(`"${word}" was understood`);
}

describe('what fits', () => {
  test.each([
    ['', 'abcde'],
    ['held', 'ae'],
    ['HELD', 'ae'],
    ['damaged', 'b'],
    ['other', 'de'],
    ['in:offsite', 'abde'],
    ['missing:offsite', 'c'],
    ['2026-11', 'abc'],
    ['2026-11-21', 'ab'],
    ['2025', 'e'],
    ['before:2026-11', 'de'],
    ['before:2026-11-21', 'cde'],
    ['after:2026-11-20', 'ab'],
    ['after:2026-10', 'abc'],
    ['after:2025 before:2026-11-21 in:ceph', 'cd'],
    ['held other', 'e'],
  ])('%j', (words, ids) => {
    const filters = parseFilters(words.split(' ').filter(Boolean), STORES);
    expect(
      ALL.filter((each) => filters.every((filter) => filter.fits(each)))
        .map(({ id }) => id)
        .join(''),
    ).toBe(ids);
  });

  test('a filter is remembered as it can be typed again', () => {
    expect(parseFilters(['HELD', 'in:OFFSITE'], STORES).map(({ word }) => word)).toEqual(['held', 'in:Offsite']);
  });
});

describe('a mistyped filter gets the nearest right one', () => {
  test.each([
    ['hold', 'held'],
    ['damage', 'damaged'],
    ['others', 'other'],
    ['in:cehp', 'in:ceph'],
    ['mising:ceph', 'missing:ceph'],
    ['befor:2026-11', 'before:2026-11'],
    ['after:2026-1', 'after:2026-01'],
    ['before:2026/11/3', 'before:2026-11-03'],
  ])('%s', (typed, right) => {
    const error = refusal(typed);
    expect(error.code).toBe('command.invalid');
    expect(error.hint).toContain(`Did you mean "${right}"?`);
  });

  test.each(['xyzzy', 'in:', 'constructor', '__proto__:x', 'before:soon', '2026-13', '2026-11-32'])(
    '%s: all there are',
    (typed) => {
      expect(refusal(typed).hint).toContain('Filters are: held, damaged, other');
    },
  );
});

test('the name of a snapshot is told from a filter', () => {
  for (const name of [
    '20261121T060000Z-17',
    '20261121t060000z-17',
    'nightly.db',
    'v2/Full-00000000-00000042-1763704800.gz',
  ])
    expect(isSnapshotName(name)).toBe(true);
  for (const filter of ['held', '2026-11', 'in:ceph', 'before:2026-11-21', 'prod-eu'])
    expect(isSnapshotName(filter)).toBe(false);
});
