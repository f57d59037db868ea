import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  emptyHead,
  joinSegments,
  nextLine,
  openingFact,
  readChain,
  verifyAudit,
  type AuditFact,
  type AuditHead,
} from '../../src/domain/audit.ts';

const AT = new Date('2026-11-21T06:00:00.000Z');

function write(facts: readonly AuditFact[], chain = 'a'): { readonly lines: string[]; readonly head: AuditHead } {
  let head = emptyHead(chain);
  const lines = facts.map((fact) => {
    const next = nextLine(head, fact, AT);
    head = next.head;
    return next.line;
  });
  return { lines, head };
}

const verify = (lines: readonly string[], known: readonly AuditHead[] = []) =>
  verifyAudit(new Map([['a', lines.join('')]]), known);

const fact = fc
  .record({ type: fc.constantFrom('backup.stored', 'restore.approved', 'step'), what: fc.jsonValue() })
  .map((each): AuditFact => each);
const facts = fc.array(fact, { minLength: 1, maxLength: 12 });
const at = (lines: readonly string[], seed: number): number => seed % lines.length;
const seeds = fc.nat(1_000_000);

describe('a chain as it was written', () => {
  test('is whole, and tells every fact as it was', () => {
    fc.assert(
      fc.property(facts, (all) => {
        const { lines, head } = write(all);
        const { entries, ...verdict } = readChain('a', lines.join(''));
        expect(verdict).toEqual({ chain: 'a', head, torn: undefined, broken: undefined });
        expect(entries.map((entry) => entry.fact)).toEqual(JSON.parse(JSON.stringify(all)));
        expect(verify(lines, [head])).toMatchObject({ whole: true, entries: all.length, problems: [] });
      }),
    );
  });

  test('carries in each entry the hash of the one before', () => {
    const { lines } = write([{ type: 'x' }, { type: 'y' }]);
    const [first, second] = lines.map((line) => JSON.parse(line) as { hash: string; previous: string });
    expect(first?.previous).toBe('0'.repeat(64));
    expect(second?.previous).toBe(first?.hash);
  });
});

describe('with its head known elsewhere nothing can be done to a chain unseen', () => {
  test('a changed byte is found', () => {
    fc.assert(
      fc.property(facts, seeds, fc.integer({ min: 1, max: 255 }), (all, seed, xor) => {
        const { lines, head } = write(all);
        const bytes = Buffer.from(lines.join(''));
        const place = seed % bytes.length;
        bytes[place] = (bytes[place] ?? 0) ^ xor;
        expect(verify([bytes.toString('latin1')], [head]).whole).toBe(false);
      }),
    );
  });

  test('an entry that was changed and hashed anew is found, and so is everything written anew after it', () => {
    fc.assert(
      fc.property(facts, seeds, fc.boolean(), (all, seed, wholeRest) => {
        const { lines, head } = write(all);
        const changed = all.map((each, i) => (i === at(lines, seed) ? { ...each, type: 'other' } : each));
        const forged = write(changed).lines;
        const mixed = lines.map((line, i) =>
          i === at(lines, seed) || (wholeRest && i > at(lines, seed)) ? (forged[i] ?? '') : line,
        );
        expect(verify(mixed, [head]).whole).toBe(false);
      }),
    );
  });

  test('a removed entry is found, wherever it stood', () => {
    fc.assert(
      fc.property(facts, seeds, (all, seed) => {
        const { lines, head } = write(all);
        expect(verify(lines.toSpliced(at(lines, seed), 1), [head]).whole).toBe(false);
      }),
    );
  });

  test('entries cut off the end are found', () => {
    fc.assert(
      fc.property(facts, seeds, (all, seed) => {
        const { lines, head } = write(all);
        const verdict = verify(lines.slice(0, at(lines, seed)), [head]);
        expect(verdict.problems).toEqual([
          `Chain a ends after entry ${at(lines, seed)}; it had at least ${all.length}.`,
        ]);
      }),
    );
  });

  test('two entries that changed places are found', () => {
    fc.assert(
      fc.property(facts, seeds, seeds, (all, one, two) => {
        const { lines, head } = write(all);
        const [i, j] = [at(lines, one), at(lines, two)];
        fc.pre(i !== j);
        const swapped = lines.with(i, lines[j] ?? '').with(j, lines[i] ?? '');
        expect(verify(swapped, [head]).whole).toBe(false);
      }),
    );
  });

  test('an inserted entry is found: a copy, one of another chain, or one made to fit', () => {
    fc.assert(
      fc.property(facts, seeds, fc.constantFrom('copy', 'foreign', 'forged'), (all, seed, how) => {
        const { lines, head } = write(all);
        const place = seed % (lines.length + 1);
        const before = readChain('a', lines.slice(0, place).join('')).head;
        const line = {
          copy: () => lines[at(lines, seed)] ?? '',
          foreign: () => write(all, 'b').lines[at(lines, seed)] ?? '',
          forged: () => nextLine(before, { type: 'forged' }, AT).line,
        }[how]();
        const verdict = verify(lines.toSpliced(place, 0, line), [head]);
        // One that was made to fit behind the last is new, not inserted: the known head is still there.
        expect(verdict.whole).toBe(how === 'forged' && place === lines.length);
      }),
    );
  });
});

describe('without any head from elsewhere', () => {
  test('what was changed, removed, moved or inserted before the last entry is found', () => {
    fc.assert(
      fc.property(facts, seeds, fc.constantFrom('change', 'remove', 'insert'), (all, seed, how) => {
        const { lines } = write(all);
        fc.pre(lines.length > 1);
        const place = seed % (lines.length - 1);
        const tampered = {
          change: () => lines.with(place, write(all.with(place, { type: 'other' })).lines[place] ?? ''),
          remove: () => lines.toSpliced(place, 1),
          insert: () => lines.toSpliced(place, 0, lines[place] ?? ''),
        }[how]();
        expect(verify(tampered).whole).toBe(false);
      }),
    );
  });

  test('a later chain vouches for those that it follows', () => {
    const first = write([{ type: 'x' }, { type: 'y' }]);
    const second = write([{ type: 'audit.opened', follows: [first.head], torn: [], broken: [] }], 'b');
    const both = (lines: readonly string[]) =>
      verifyAudit(
        new Map([
          ['a', lines.join('')],
          ['b', second.lines.join('')],
        ]),
      );
    expect(both(first.lines).whole).toBe(true);
    expect(both(first.lines.slice(0, 1)).problems).toEqual(['Chain a ends after entry 1; it had at least 2.']);
    expect(both(write([{ type: 'x' }, { type: 'z' }]).lines).problems).toEqual([
      'Entry 2 of chain a is not the one that was known: it was written anew.',
    ]);
    expect(verifyAudit(new Map([['b', second.lines.join('')]])).problems).toEqual([
      'Chain a is missing; it had at least 2 entries.',
    ]);
  });
});

describe('where it is broken', () => {
  test('is told with the line and why', () => {
    const { lines } = write([{ type: 'x' }, { type: 'y' }, { type: 'z' }]);
    expect(verify([lines[0] ?? '', lines[2] ?? '']).problems).toEqual([
      'Chain a is broken in line 2, after entry 1: entry 2 should stand here, not 3.',
    ]);
    expect(verify([(lines[0] ?? '').replace('"x"', '"q"')]).problems).toEqual([
      'Chain a is broken in line 1, after entry 0: entry 1 was changed: its hash does not fit.',
    ]);
    expect(verify([(lines[0] ?? '').replace(',', ', ')]).problems[0]).toContain('it is not as it was written');
    expect(verify(['nonsense\n']).problems[0]).toContain('no JSON');
    expect(verify(['{"type":"x"}\n']).problems[0]).toContain('no entry of a known form');
  });

  test('a torn last line is no break, and is told as it stands', () => {
    fc.assert(
      fc.property(facts, seeds, (all, seed) => {
        const { lines } = write(all);
        const last = lines.at(-1) ?? '';
        // In a crash any part of the line may have reached the disk, but not its newline.
        const torn = last.slice(0, seed % last.length);
        const verdict = verify([...lines.slice(0, -1), torn]);
        expect(verdict).toMatchObject({ whole: true, entries: all.length - 1 });
        expect(verdict.torn).toEqual(torn === '' ? [] : [{ chain: 'a', text: torn }]);
      }),
    );
  });
});

describe('a chain that begins beside others', () => {
  test('tells their ends, torn lines and breaks, but not what another has told already', () => {
    const first = write([{ type: 'x' }]);
    const found = [readChain('a', `${first.lines.join('')}torn`), readChain('c', 'nonsense\n')];
    const opening = openingFact(found);
    expect(opening).toEqual({
      type: 'audit.opened',
      follows: [first.head],
      torn: [{ chain: 'a', after: 1, text: 'torn' }],
      broken: ['c'],
    });
    const second = write([opening], 'b');
    expect(openingFact([...found, readChain('b', second.lines.join(''))])).toEqual({
      type: 'audit.opened',
      follows: [second.head],
      torn: [],
      broken: [],
    });
  });
});

describe('segments of a chain', () => {
  test('that overlap are joined to the chain', () => {
    fc.assert(
      fc.property(facts, fc.array(fc.tuple(seeds, seeds), { maxLength: 5 }), (all, cuts) => {
        const { lines } = write(all);
        const piece = (from: number, to: number) => ({ first: from + 1, text: lines.slice(from, to).join('') });
        const extra = cuts.map(([a, b]) =>
          piece(Math.min(at(lines, a), at(lines, b)), Math.max(at(lines, a), at(lines, b)) + 1),
        );
        const halves = [piece(Math.floor(lines.length / 2), lines.length), piece(0, Math.floor(lines.length / 2))];
        expect(joinSegments([...extra, ...halves])).toBe(lines.join(''));
      }),
    );
  });

  test('that hold a line twice break the chain', () => {
    const { lines } = write([{ type: 'x' }, { type: 'y' }]);
    const joined = joinSegments([{ first: 1, text: [lines[0], lines[0], lines[1]].join('') }]);
    expect(readChain('a', joined).broken).toBeDefined();
  });

  test('that differ where they overlap break the chain', () => {
    const { lines } = write([{ type: 'x' }, { type: 'y' }]);
    const forged = write([{ type: 'x' }, { type: 'z' }]).lines;
    const joined = joinSegments([
      { first: 1, text: lines.join('') },
      { first: 2, text: forged[1] ?? '' },
    ]);
    expect(readChain('a', joined).broken).toBeDefined();
  });
});
