import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_MANIFEST_SIZE, parseManifest, serialiseManifest } from '../../src/domain/snapshot.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';

const problemOf = (value: unknown): string | undefined => {
  const parsed = parseManifest(typeof value === 'string' ? value : JSON.stringify(value));
  return parsed.ok ? undefined : parsed.problem;
};
/** The record with one field, by its path, set to something else (undefined: left out). */
const changed = (path: string, value: unknown): unknown => {
  const record = structuredClone(snapshotRecord()) as unknown as Record<string, unknown>;
  const fields = path.split('.');
  const last = fields.pop() ?? '';
  const holder = fields.reduce((at, field) => at[field] as Record<string, unknown>, record);
  holder[last] = value;
  return record;
};

test('what is written is what is read', () => {
  const record = snapshotRecord();
  expect(parseManifest(serialiseManifest(record))).toEqual({ ok: true, record });
  const byPerson = snapshotRecord({ trigger: { kind: 'person', user: 'U1' }, source: 'etcdctl', checks: [] });
  expect(parseManifest(serialiseManifest(byPerson))).toEqual({ ok: true, record: byPerson });
  const first = snapshotRecord({ trigger: { kind: 'first' } });
  expect(parseManifest(serialiseManifest(first))).toEqual({ ok: true, record: first });
});

test.each([
  ['cluster', '../prod'],
  ['cluster', '.prod'],
  ['cluster', ''],
  ['cluster', 'a/b'],
  ['id', 'latest'],
  ['id', '20261121T060000Z-17\n'],
  ['clusterId', '18446744073709551616'],
  ['clusterId', '-1'],
  ['clusterId', '007'],
  ['clusterId', 12],
  ['member', null],
  ['member', []],
  ['member.name', 'a\nb'],
  ['member.name', 'x'.repeat(257)],
  ['member.isLeader', 'yes'],
  ['keys', '1e9'],
  ['object.key', 'other/20261121T060000Z-17.db'],
  ['object.key', 'prod/../other/x.db'],
  ['object.key', 'prod/.hidden'],
  ['object.key', 'prod/'],
  ['object.key', 'prod/20261121T060000Z-17.manifest.json'],
  ['object.size', -1],
  ['object.size', 1.5],
  ['object.size', 2 ** 60],
  ['object.sha256', 'A'.repeat(64)],
  ['sha256', 'a'.repeat(63)],
  ['source', 'rumour'],
  ['takenAt', '2026-11-21'],
  ['takenAt', '2026-13-21T06:00:00.000Z'],
  ['durationMs', Infinity],
  ['trigger', { kind: 'moon' }],
  ['trigger', { kind: 'first', user: 'U1' }],
  ['trigger', { kind: 'person', user: 'U1', dueAt: '2026-11-21T06:00:00.000Z' }],
  ['trigger.dueAt', undefined],
  ['checks', ['all']],
  ['checks', 'size'],
  ['checks', Array.from({ length: 101 }, () => 'size')],
  ['surprise', true],
  ['object.surprise', true],
])('%s = %j is refused', (path, value) => {
  expect(problemOf(changed(path, value))).toMatch(/expected|unknown field/);
});

test('every field is needed', () => {
  for (const field of Object.keys(snapshotRecord()).filter((name) => name !== 'format')) {
    expect(problemOf(changed(field, undefined)), field).toMatch(new RegExp(`^manifest\\.${field}: expected`));
  }
});

test('another format is refused by its number, whatever else is in it', () => {
  expect(problemOf({ format: 3, anything: true })).toBe('format 3, and this Keyturn reads formats 1 and 2');
  expect(problemOf({})).toContain('format undefined');
  expect(problemOf([])).toContain('format undefined');
  expect(problemOf(null)).toContain('format undefined');
});

test('a field named __proto__ changes nothing and is refused', () => {
  const text = serialiseManifest(snapshotRecord()).replace('{', '{ "__proto__": { "isAdmin": true },');
  expect(problemOf(text)).toBe('manifest: unknown field "__proto__"');
  expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
});

test('what is too long is refused before it is parsed', () => {
  expect(problemOf(' '.repeat(MAX_MANIFEST_SIZE + 1))).toContain('longer than');
});

test('no text makes it throw, and a problem is one short line', () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.string().map((field) => JSON.stringify({ ...snapshotRecord(), [field]: 1 })),
  );
  const field = fc.constantFrom(...Object.keys(snapshotRecord()));
  fc.assert(
    fc.property(text, field, fc.jsonValue(), (anything, path, value) => {
      for (const problem of [problemOf(anything), problemOf(changed(path, value))]) {
        if (problem !== undefined) expect(problem).toMatch(/^[\x20-\x7e]{1,300}$/);
      }
    }),
  );
});

test('a byte that changes anywhere in a manifest is seen', () => {
  const text = serialiseManifest(snapshotRecord());
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.integer({ min: 0, max: 127 }), (at, code) => {
      const changed = text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
      fc.pre(changed !== text);
      expect(parseManifest(changed).ok).toBe(false);
    }),
    { numRuns: 2000 },
  );
});

test('a manifest of format 1, without encoding and seal, is still read, and written again as it was', () => {
  const record = snapshotRecord({ format: 1 });
  const text = `${JSON.stringify({ ...record, encoding: undefined }, null, 2)}\n`;
  expect(parseManifest(text)).toEqual({ ok: true, record });
  expect(serialiseManifest(record)).toBe(text);
});
