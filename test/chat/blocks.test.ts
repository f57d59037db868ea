/** The small print of Block Kit. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  codeBlocks,
  quote,
  LIMITS,
  bold,
  bytes,
  code,
  count,
  date,
  duration,
  fit,
  lines,
  mrk,
  mention,
  message,
  pageOf,
  pager,
  plain,
  section,
  truncate,
} from '../../src/chat/blocks.ts';
import { HOSTILE } from './samples.ts';

describe('data in a message', () => {
  test('mentions and links in it are dead', () => {
    expect(plain('<!channel> & <@U1>')).toBe('&lt;!channel&gt; &amp; &lt;@U1&gt;');
  });

  test('is on one line, without control characters and turned writing', () => {
    expect(plain('a\nb\u0000c\u202ed')).toBe('a b c d');
  });

  test('can not end the code span or the bold that it stands in', () => {
    expect(code('a`b')).toBe('`aʼb`');
    expect(bold('a*b')).toBe('*a∗b*');
    expect(code('')).toBe('–');
    expect(bold(' ')).toBe('–');
  });

  test('an id that is none is shown, not mentioned', () => {
    expect(mention('U0ADA00001')).toBe('<@U0ADA00001>');
    expect(mention('S0ONCALL02')).toBe('<!subteam^S0ONCALL02>');
    expect(mention('U1> <!channel')).toBe('`U1&gt; &lt;!channel`');
  });
});

describe('cutting', () => {
  test('leaves no half character, no half entity, no half mention, no open code span', () => {
    const text = mrk`${plain(HOSTILE, 5000)} ${mention('U0ADA00001')} ${code(HOSTILE, 500)}`;
    for (let max = 2; max < 400; max += 1) {
      const cut = fit(text, max);
      expect(cut.length).toBeLessThanOrEqual(max);
      expect(cut).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
      expect(cut).not.toMatch(/&(?!amp;|lt;|gt;)/);
      expect(cut).not.toMatch(/<[^>]*$/);
    }
    const span = fit(mrk`${code('a'.repeat(50))}`, 20);
    expect(span.split('`')).toHaveLength(3);
  });

  test('any text keeps to any limit', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.integer({ min: 2, max: 100 }), (text, max) => {
        expect(truncate(text, max).length).toBeLessThanOrEqual(max);
        expect(fit(plain(text), max).length).toBeLessThanOrEqual(max);
      }),
    );
  });
});

describe('numbers', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [9_949, '9.9 kB'],
    [9_950, '10 kB'],
    [412_000_032, '412 MB'],
    [999_600_000, '1.0 GB'],
    [8_000_000_000, '8.0 GB'],
    [3e18, '3000 PB'],
  ])('%d bytes are %s', (size, text) => {
    expect(bytes(size)).toBe(text);
  });

  test.each([
    [0, '0 ms'],
    [400, '400 ms'],
    [38_000, '38 s'],
    [59_600, '1 min'],
    [125_000, '2 min 5 s'],
    [11_400_000, '3 h 10 min'],
    [187_200_000, '2 d 4 h'],
  ])('%d ms are %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  test('thousands are parted, also beyond 2^53', () => {
    expect(count('18446744073709551615')).toBe('18,446,744,073,709,551,615');
    expect(count(10233)).toBe('10,233');
    expect(count('<b>')).toBe('&lt;b&gt;');
  });

  test('a time is the reader’s own, with UTC for those who can not see that', () => {
    expect(date('2026-11-21T18:00:00.000Z')).toBe('<!date^1795284000^{date_short_pretty} {time}|2026-11-21 18:00 UTC>');
    expect(date('<nonsense>')).toBe('&lt;nonsense&gt;');
  });
});

describe('blocks', () => {
  test('lines fill as few sections as hold them whole', () => {
    const line = plain('x'.repeat(1000), 1000);
    const blocks = lines([line, line, line, line]);
    expect(blocks.map((b) => b.text?.text.split('\n').length)).toEqual([2, 2]);
  });

  test('a message keeps to the limits whatever goes in', () => {
    const big = section(plain('"\\😀'.repeat(3000), 9000));
    const view = message(
      plain('x'.repeat(9000), 9000),
      Array.from({ length: 80 }, () => big),
    );
    expect(view.text.length).toBeLessThanOrEqual(LIMITS.text);
    expect(view.blocks.length).toBeLessThanOrEqual(LIMITS.blocks);
    expect(JSON.stringify(view.blocks).length).toBeLessThanOrEqual(LIMITS.blocksJson);
  });

  test('a page out of range is the nearest there is', () => {
    const all = Array.from({ length: 45 }, (_, i) => i);
    expect(pageOf(all, 99, 20)).toMatchObject({ page: 2, pages: 3, items: [40, 41, 42, 43, 44] });
    expect(pageOf(all, -1, 20).page).toBe(0);
    expect(pageOf(all, NaN, 20).page).toBe(0);
    expect(pageOf([], 0, 20)).toEqual({ items: [], page: 0, pages: 1 });
  });

  test('there are buttons only for pages that exist', () => {
    const ids = (page: number, pages: number): string[] =>
      pager('p', page, pages, {}).flatMap((b) =>
        b.type === 'actions' ? b.elements.map((e) => ('action_id' in e ? (e.action_id ?? '') : '')) : [],
      );
    expect(ids(0, 1)).toEqual([]);
    expect(ids(0, 3)).toEqual(['p.next']);
    expect(ids(1, 3)).toEqual(['p.previous', 'p.next']);
    expect(ids(2, 3)).toEqual(['p.previous']);
  });
});

describe('what people and programs wrote', () => {
  test('a quote keeps its lines, each quoted and harmless', () => {
    expect(quote('one\n<!here> & two\r\n\n three ')).toBe('> one\n> &lt;!here&gt; &amp; two\n> \n> three');
    expect(quote('x'.repeat(5000)).length).toBeLessThan(1010);
  });

  test('code keeps every character but a fence, in blocks that fit', () => {
    const script = Array.from({ length: 300 }, (_, i) => `echo "${i}" && test -f /etc/x`).join('\n');
    const blocks = codeBlocks(`${script}\n\`\`\`\n${'&'.repeat(9000)}\n`);
    expect(blocks.length).toBeGreaterThan(3);
    for (const block of blocks) {
      expect(block.length).toBeLessThanOrEqual(LIMITS.section);
      expect(block.split('```')).toHaveLength(3);
      expect(block).toMatch(/^```\n[^]*\n```$/);
    }
    const all = blocks.map((b) => b.slice(4, -4)).join('\n');
    expect(all.replaceAll('&amp;', '&').startsWith(script)).toBe(true);
    expect(all.split('&amp;').length - 1).toBe(9000 + 600);
    expect(codeBlocks('')).toEqual(['```\n\n```']);
  });
});
