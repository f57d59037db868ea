import { expect, test } from 'vitest';
import { sudoersLine } from '../../src/domain/sudoers.ts';

test('what sudoers would read as syntax or pattern stands for itself', () => {
  expect(sudoersLine('k', '/usr/bin/cat', ['/a b/*', 'x=1,2:3', 'back\\slash', '[x]?!'])).toBe(
    'k ALL=(root) NOPASSWD: /usr/bin/cat /a\\ b/\\* x\\=1\\,2\\:3 back\\\\slash \\[x\\]\\?\\!',
  );
});

test('a pattern is left as it is', () => {
  expect(sudoersLine('k', '/usr/bin/cat', [{ pattern: '/proc/[0-9]/environ' }])).toBe(
    'k ALL=(root) NOPASSWD: /usr/bin/cat /proc/[0-9]/environ',
  );
});

test('an empty argument is a space more, as sudo joins arguments', () => {
  expect(sudoersLine('k', '/usr/bin/etcdctl', ['get', '', '--x'])).toBe(
    'k ALL=(root) NOPASSWD: /usr/bin/etcdctl get\\  --x',
  );
});
