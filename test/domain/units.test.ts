import { expect, test } from 'vitest';
import { parseDuration, parseSize } from '../../src/domain/units.ts';

test.each([
  ['90s', 90_000],
  ['15m', 900_000],
  ['8h', 28_800_000],
  ['2d', 172_800_000],
  ['8', undefined],
  ['h', undefined],
  ['1.5h', undefined],
  ['-1h', undefined],
])('duration %s is %s ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  ['50MB', 50_000_000],
  ['64 MiB', 67_108_864],
  ['1000000', 1_000_000],
  ['1GB', 1_000_000_000],
  ['fast', undefined],
  ['50mb', undefined],
])('size %s is %s bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});
