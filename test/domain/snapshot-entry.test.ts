/** What listings alone tell: entries, strays, holds, damage, other tools' snapshots and those that were adopted. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adoptedManifestKey, damageKey, holdKey, manifestKey } from '../../src/domain/snapshot.ts';
import { holdKeyFor, keysOf, readListings, type Listing, type SnapshotEntry } from '../../src/domain/snapshot-entry.ts';

const AT = new Date('2026-11-20T10:00:00.123Z');
const ID = '20261121T060000Z-17';

function listing(store: string, keys: readonly string[], adopted: Record<string, string> = {}): Listing {
  return {
    store,
    objects: keys.map((key) => ({ key, size: key.length, modifiedAt: AT })),
    adopted: new Map(Object.entries(adopted)),
  };
}
const own = (id: string, suffix = ''): string[] => [`prod/${id}.db${suffix}`, manifestKey('prod', id)];
const brief = ({ id, origin, copies }: SnapshotEntry) => [
  id,
  origin,
  copies.map(({ store, key }) => `${store}:${key}`),
];

describe('own snapshots', () => {
  test('a snapshot is an object with its manifest, whatever its encoding', () => {
    for (const suffix of ['', '.zst', '.age', '.zst.age']) {
      const { entries, strays } = readListings('prod', [listing('a', own(ID, suffix))]);
      expect(entries.map(brief)).toEqual([[ID, 'keyturn', [`a:prod/${ID}.db${suffix}`]]]);
      expect(entries[0]?.takenAt).toBe('2026-11-21T06:00:00.000Z');
      expect(strays).toEqual([]);
    }
  });

  test('a copy knows what its manifest is told apart by', () => {
    const { entries } = readListings('prod', [listing('a', own(ID))]);
    expect(entries[0]?.copies[0]?.manifest).toEqual({ key: manifestKey('prod', ID), size: 38, modifiedAt: AT });
  });

  test('one without the other is a stray', () => {
    const { entries, strays } = readListings('prod', [
      listing('a', [`prod/${ID}.db`]),
      listing('b', [manifestKey('prod', ID)]),
    ]);
    expect(entries).toEqual([]);
    expect(strays.map(({ store, kind }) => [store, kind])).toEqual([
      ['a', 'object-without-manifest'],
      ['b', 'manifest-without-object'],
    ]);
  });

  test('notes beside a snapshot that is gone are strays', () => {
    const adopted = [adoptedManifestKey('prod', '20261122T000000Z-1'), damageKey('prod', '20261122T000000Z-1')];
    const { strays } = readListings('prod', [listing('a', [damageKey('prod', ID), holdKey('prod', ID), ...adopted])]);
    expect(strays.map(({ key, kind }) => [key, kind])).toEqual([
      [damageKey('prod', ID), 'sidecar-without-manifest'],
      [holdKey('prod', ID), 'sidecar-without-manifest'],
    ]);
  });

  test('held anywhere is held; damage is of one copy', () => {
    const a = listing('a', [...own(ID), damageKey('prod', ID)]);
    const b = listing('b', [...own(ID), holdKey('prod', ID)]);
    const { entries } = readListings('prod', [a, b]);
    expect(entries).toMatchObject([{ isHeld: true, copies: [{ isDamaged: true }, { isDamaged: false }] }]);
  });

  test('names of others, of another cluster or of no form at all are not taken for ours', () => {
    const keys = [
      'prod/x.manifest.json',
      'prod/notes.txt',
      `prod-eu/${ID}.db`,
      'prod/20261121T060000Z-17.db.gz',
      'prod/__proto__',
    ];
    expect(readListings('prod', [listing('a', keys)])).toEqual({ entries: [], strays: [], increments: 0 });
  });
});

describe("other tools' snapshots", () => {
  const file = 'prod/etcd-snapshot-20261121-063000.db';
  const brctl = 'prod/v2/Backup-1763700000/Full-00000000-00000042-1763704800.gz';

  test('are listed with the time in their name, or else that of the store', () => {
    const { entries } = readListings('prod', [listing('a', [file, brctl, 'prod/nightly.db']), listing('b', [file])]);
    expect(entries.map(({ id, takenAt, origin, copies }) => [id, takenAt, origin, copies.length])).toEqual([
      ['etcd-snapshot-20261121-063000.db', '2026-11-21T06:30:00.000Z', 'other', 2],
      ['nightly.db', '2026-11-20T10:00:00.000Z', 'other', 1],
      [brctl.slice(5), '2025-11-21T06:00:00.000Z', 'other', 1],
    ]);
  });

  test('increments are left out and counted once', () => {
    const keys = ['prod/v2/Incr-00000043-00000050-1763704900', 'prod/v2/Incr-00000051-00000060-1763704950'];
    expect(readListings('prod', [listing('a', keys), listing('b', keys)])).toMatchObject({
      entries: [],
      increments: 2,
    });
  });

  test('of which a manifest was made are one entry, and no stray', () => {
    const manifest = adoptedManifestKey('prod', ID);
    const a = listing('a', [file, manifest], { [manifest]: file });
    const { entries, strays } = readListings('prod', [a, listing('b', [file])]);
    expect(entries.map(brief)).toEqual([[ID, 'adopted', [`a:${file}`, `b:${file}`]]]);
    expect(entries[0]?.copies.map((copy) => copy.manifest?.key)).toEqual([manifest, undefined]);
    expect(strays).toEqual([]);
  });

  test('adopted twice count once, with the lesser id; the other manifest is a stray', () => {
    const [first, second] = [adoptedManifestKey('prod', ID), adoptedManifestKey('prod', '20261121T060000Z-18')];
    const a = listing('a', [file, second], { [second]: file });
    const b = listing('b', [file, first], { [first]: file });
    for (const all of [
      [a, b],
      [b, a],
    ]) {
      const { entries, strays } = readListings('prod', all);
      expect(entries.map(({ id }) => id)).toEqual([ID]);
      expect(strays).toMatchObject([{ store: 'a', key: second, kind: 'manifest-without-object' }]);
    }
  });

  test('that are gone leave their manifest as a stray', () => {
    const manifest = adoptedManifestKey('prod', ID);
    const { entries, strays } = readListings('prod', [listing('a', [manifest], { [manifest]: file })]);
    expect(entries).toEqual([]);
    expect(strays).toMatchObject([{ key: manifest, kind: 'manifest-without-object' }]);
  });

  test('a hold stays on it when it is adopted', () => {
    const manifest = adoptedManifestKey('prod', ID);
    const hold = `${file}.hold.json`;
    const before = readListings('prod', [listing('a', [file, hold])]).entries[0] as SnapshotEntry;
    const after = readListings('prod', [listing('a', [file, hold, manifest], { [manifest]: file })])
      .entries[0] as SnapshotEntry;
    expect([before.isHeld, after.isHeld]).toEqual([true, true]);
    expect([holdKeyFor(before, file), holdKeyFor(after, file)]).toEqual([hold, hold]);
  });

  test("an adoption can't claim an object of Keyturn's own", () => {
    const manifest = adoptedManifestKey('prod', '20261121T060000Z-99');
    const { entries, strays } = readListings('prod', [
      listing('a', [...own(ID), manifest], { [manifest]: `prod/${ID}.db` }),
    ]);
    expect(entries.map(brief)).toEqual([[ID, 'keyturn', [`a:prod/${ID}.db`]]]);
    expect(strays).toMatchObject([{ key: manifest }]);
  });
});

test('what goes with a snapshot is its manifest first, then its object and what lies beside it', () => {
  const [entry] = readListings('prod', [listing('a', own(ID, '.zst'))]).entries as [SnapshotEntry];
  expect(keysOf(entry, `prod/${ID}.db.zst`)).toEqual([
    manifestKey('prod', ID),
    `prod/${ID}.db.zst`,
    holdKey('prod', ID),
    damageKey('prod', ID),
  ]);
});

test('every object is in one entry at most, no key makes it throw, and the order of stores and keys does not matter', () => {
  const id = fc.constantFrom(ID, '20261121T060000Z-18', '20261122T000000Z-1');
  const key = fc.oneof(
    id.chain((each) =>
      fc.constantFrom(...own(each), ...own(each, '.zst'), holdKey('prod', each), adoptedManifestKey('prod', each)),
    ),
    fc.constantFrom('prod/etcd-snapshot-20261121.db', 'prod/nightly.db', 'prod/v2/Incr-1-2-3', 'prod/v2/Full-1-2-3'),
    fc.string().map((text) => `prod/${text}`),
  );
  const listings = fc
    .uniqueArray(fc.uniqueArray(key, { maxLength: 12 }), { maxLength: 3 })
    .map((all) =>
      all.map((keys, i) => listing(`s${i}`, keys, { [adoptedManifestKey('prod', ID)]: 'prod/nightly.db' })),
    );
  fc.assert(
    fc.property(listings, (all) => {
      const { entries } = readListings('prod', all);
      const copies = entries.flatMap((entry) => entry.copies.map(({ store, key: object }) => `${store} ${object}`));
      expect(new Set(copies).size).toBe(copies.length);
      const turned = all.map((each) => ({ ...each, objects: [...each.objects].reverse() })).reverse();
      expect(readListings('prod', turned).entries.map(({ id: each }) => each)).toEqual(entries.map((each) => each.id));
    }),
  );
});
