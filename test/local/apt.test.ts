import { expect, test } from 'vitest';
import { archivesOf } from '../../deploy/local/parts/apt.ts';

const mirrorsIn = (name: string, text: string): string[] => archivesOf([{ name, text }]);

test('the mirror is read from one-line sources, with options or without', () => {
  const text = [
    'deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian/ bookworm main',
    '# deb http://commented.example/debian bookworm main',
    'deb-src http://sources.example/debian bookworm main',
    'deb http://other.example/debian trixie main contrib',
  ].join('\n');
  expect(mirrorsIn('sources.list', text)).toEqual(['http://mirror.example/debian', 'http://other.example/debian']);
});

test('the mirror is read from deb822 sources, whatever comments and folded lines they hold', () => {
  const text = `Types: deb
# http://archive.example/20250520T000000Z
URIs: http://mirror.example/debian
 http://second.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Enabled: no
`;
  expect(mirrorsIn('debian.sources', text)).toEqual(['http://mirror.example/debian', 'http://second.example/debian']);
});

test('security archives and third parties are no mirror of Debian', () => {
  const text = `Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security

Types: deb
URIs: https://vendor.example/apt
Suites: nodistro
`;
  expect(mirrorsIn('mixed.sources', text)).toEqual([]);
});

test('a mirror that several sources name is tried once', () => {
  const text = 'deb http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian/ trixie main\n';
  expect(mirrorsIn('a.list', text)).toEqual(['http://mirror.example/debian']);
});
