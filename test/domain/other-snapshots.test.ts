/** Names of other tools' snapshots: what each tells, and what is none. */
import { describe, expect, test } from 'vitest';
import { readOtherName } from '../../src/domain/other-snapshots.ts';

describe('a snapshot', () => {
  test.each([
    ['etcd-snapshot-20261121-063015.db', '2026-11-21T06:30:15.000Z'],
    ['etcd-snapshot-20261121.db', '2026-11-21T00:00:00.000Z'],
    ['Full-00000000-00000042-1763704800', '2025-11-21T06:00:00.000Z'],
    ['Full-00000000-00000042-1763704800.gz', '2025-11-21T06:00:00.000Z'],
    ['Full-00000000-00000042-1763704800.zlib.final', '2025-11-21T06:00:00.000Z'],
    ['Full-00000000-00000042-1763704800.final', '2025-11-21T06:00:00.000Z'],
    ['v2/Full-00000000-00000042-1763704800.lzw', '2025-11-21T06:00:00.000Z'],
    ['v2/Backup-1763700000/Full-00000000-00000042-1763704800', '2025-11-21T06:00:00.000Z'],
    ['v1/Backup-1763700000/Full-00000000-123456789012-1763704800.gz', '2025-11-21T06:00:00.000Z'],
    ['Backup-1763700000/Full-0-1-1763704800', '2025-11-21T06:00:00.000Z'],
    ['nightly.db', undefined],
    ['etcd-snapshot-20260231-000000.db', undefined],
    ['etcd-snapshot-20261121-246060.db', undefined],
    ['ночь 3.db', undefined],
  ])('%s', (name, takenAt) => {
    expect(readOtherName(name)).toEqual({ kind: 'snapshot', takenAt });
  });
});

test.each([
  'Incr-00000043-00000099-1763704900',
  'v2/Incr-00000043-00000099-1763704900.gz',
  'v2/Backup-1763700000/Incr-00000043-00000099-1763704900.zlib',
])('%s is an increment, and no snapshot', (name) => {
  expect(readOtherName(name)).toEqual({ kind: 'increment' });
});

test.each([
  '',
  '.db',
  '.hidden.db',
  'notes.txt',
  'etcd-snapshot-20261121-063015.db.hold.json',
  'folder/etcd-snapshot-20261121.db',
  'v2/Backup-1763700000/Full-00000000-00000042-1763704800/0000000001',
  'v3/Full-00000000-00000042-1763704800',
  'Full-00000000-00000042',
  'Full-00000000-00000042-99999999999999',
  'Full-a-b-1763704800',
  '../other/x.db',
  'a\\b.db',
  'line\nbreak.db',
  `${'x'.repeat(300)}.db`,
])('%j is nothing that Keyturn knows', (name) => {
  expect(readOtherName(name)).toBeUndefined();
});
