import { expect, test } from 'vitest';
import { proveAudit, type AuditCopy } from '../../src/commands/verify-audit.ts';
import { emptyHead, nextLine } from '../../src/domain/audit.ts';
import { KeyturnError } from '../../src/domain/error.ts';

function lines(chain: string, ...types: readonly string[]): string[] {
  let head = emptyHead(chain);
  return types.map((type) => {
    const next = nextLine(head, { type }, new Date('2026-11-21T06:00:00.000Z'));
    head = next.head;
    return next.line;
  });
}

const copy = (name: string, chains: Readonly<Record<string, readonly string[]>>): AuditCopy => ({
  name,
  read: async () => new Map(Object.entries(chains).map(([chain, all]) => [chain, all.join('')])),
});

const a = lines('a', 'one', 'two', 'three');
const other = lines('b', 'one');

test('copies that are whole are told so; a store that is behind or knows other machines is no problem', async () => {
  expect(await proveAudit(copy('disk', { a }), copy('store s3', { a: a.slice(0, 2), b: other }))).toEqual({
    whole: true,
    lines: ['disk: 3 entries in 1 chain, whole', 'store s3: 3 entries in 2 chains, whole'],
  });
});

test('a chain that another follows, and that is not in the store yet, is no problem while the disk has it', async () => {
  const head = nextLine(emptyHead('a'), { type: 'one' }, new Date('2026-11-21T06:00:00.000Z')).head;
  const opening = { type: 'audit.opened', follows: [head], torn: [], broken: [] };
  const b = [nextLine(emptyHead('b'), opening, new Date('2026-11-21T06:00:01.000Z')).line];
  expect(await proveAudit(copy('disk', { a, b }), copy('store s3', { b }))).toMatchObject({ whole: true });
  expect(await proveAudit(copy('disk', { b: other }), copy('store s3', { b }))).toMatchObject({ whole: false });
  const forged = lines('a', 'ONE', 'two', 'three');
  expect(await proveAudit(copy('disk', { a, b }), copy('store s3', { a: forged, b }))).toMatchObject({ whole: false });
});

test('without a store the disk is proven alone', async () => {
  expect(await proveAudit(copy('disk', { b: other }), undefined)).toEqual({
    whole: true,
    lines: ['disk: 1 entry in 1 chain, whole'],
  });
});

test('a disk that has less than the store, or something else, is not whole', async () => {
  expect(await proveAudit(copy('disk', { a: a.slice(0, 1) }), copy('store s3', { a }))).toEqual({
    whole: false,
    lines: [
      'disk: 1 entry in 1 chain, NOT whole',
      '  Chain a ends after entry 1; it had at least 3.',
      'store s3: 3 entries in 1 chain, whole',
    ],
  });
  const forged = lines('a', 'one', 'TWO', 'three');
  expect((await proveAudit(copy('disk', { a: forged }), copy('store s3', { a }))).lines[1]).toBe(
    '  Entry 3 of chain a is not the one that was known: it was written anew.',
  );
});

test('a store with a gap is not whole, although the disk is', async () => {
  const proof = await proveAudit(copy('disk', { a }), copy('store s3', { a: a.toSpliced(1, 1) }));
  expect(proof.whole).toBe(false);
  expect(proof.lines[2]).toBe('  Chain a is broken in line 2, after entry 1: entry 2 should stand here, not 3.');
});

test('a torn line is told, and is no problem', async () => {
  expect(await proveAudit(copy('disk', { a: [...a, '{"at'] }), undefined)).toEqual({
    whole: true,
    lines: [
      'disk: 3 entries in 1 chain, whole',
      '  Chain a ends in a line that a crash cut off; nobody was told of it.',
    ],
  });
});

test('a store that can not be read is told with what to do; the disk is proven all the same, and all of it is not known to be whole', async () => {
  const away = new KeyturnError('store.unreachable', 'ceph is away.', { hint: 'Look after it.' });
  const store = { name: 'store ceph', read: () => Promise.reject(away) };
  expect(await proveAudit(copy('disk', { a }), store)).toEqual({
    whole: false,
    lines: ['disk: 3 entries in 1 chain, whole', 'store ceph: NOT read. ceph is away. Look after it.'],
  });
});
