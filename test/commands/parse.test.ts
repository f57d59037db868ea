/** What people type, and what they meant. */
import { describe, expect, test } from 'vitest';
import { COMMAND_WORDS, parseCommand, usage } from '../../src/commands/parse.ts';
import { KeyturnError } from '../../src/domain/error.ts';

const vocabulary = { command: '/etcd', clusters: ['prod-eu', 'prod-us', 'staging'] };
const parse = (text: string): unknown => parseCommand(text, vocabulary);

function refusal(text: string, clusters = vocabulary.clusters): KeyturnError {
  try {
    parseCommand(text, { ...vocabulary, clusters });
  } catch (error) {
    if (error instanceof KeyturnError) return error;
    throw error;
  }
  throw new Error(`"${text}" was understood`);
}

describe('what is understood', () => {
  test.each([
    ['', { action: 'help' }],
    ['   ', { action: 'help' }],
    ['help', { action: 'help' }],
    ['clusters', { action: 'clusters' }],
    ['status', { action: 'status', cluster: undefined }],
    ['status prod-eu', { action: 'status', cluster: 'prod-eu' }],
    ['backup  prod-eu ', { action: 'backup', cluster: 'prod-eu' }],
    ['BACKUP Prod-EU', { action: 'backup', cluster: 'prod-eu' }],
    ['snapshots `staging`', { action: 'snapshots', cluster: 'staging' }],
    ['backup “prod-us”', { action: 'backup', cluster: 'prod-us' }],
    ['status\u00a0staging', { action: 'status', cluster: 'staging' }],
  ])('%j', (text, request) => {
    expect(parse(text)).toEqual(request);
  });
});

describe('a mistyped command gets the nearest right one', () => {
  test.each([
    ['bakcup prod-eu', '/etcd backup prod-eu'],
    ['snapshot prod-eu', '/etcd snapshots prod-eu'],
    ['stat', '/etcd status'],
    ['hlep', '/etcd help'],
    ['cluster', '/etcd clusters'],
  ])('%s', (text, right) => {
    const error = refusal(text);
    expect(error.code).toBe('command.unknown');
    expect(error.hint).toBe(`Did you mean: ${right}`);
  });

  test('a name of a cluster in the place of the command', () => {
    expect(refusal('prod-eu').hint).toBe('The command comes first: /etcd status prod-eu');
  });

  test('nothing near: all commands', () => {
    const { hint } = refusal('xyzzy');
    for (const word of COMMAND_WORDS) expect(hint).toContain(`/etcd ${word.action}`);
  });
});

describe('a mistyped cluster gets the nearest right one', () => {
  test.each([
    ['backup prod-ue', 'prod-eu'],
    ['backup prodeu', 'prod-eu'],
    ['status stag', 'staging'],
  ])('%s', (text, near) => {
    const error = refusal(text);
    expect(error.code).toBe('cluster.unknown');
    expect(error.hint).toContain(`"${near}"`);
    expect(error.hint).toContain(`/etcd ${text.split(' ')[0] ?? ''} ${near}`);
  });

  test('nothing near: the names there are, not all of 300', () => {
    const many = Array.from({ length: 300 }, (_, i) => `c${i}-cluster`);
    const { hint } = refusal('backup something-else', many);
    expect(hint).toContain('c0-cluster');
    expect(hint).toContain('and 292 more');
    expect(hint.length).toBeLessThan(300);
  });
});

describe('missing and extra arguments get a usage line', () => {
  test('backup without a cluster', () => {
    const error = refusal('backup');
    expect(error.code).toBe('command.invalid');
    expect(error.hint).toContain('/etcd backup <cluster>');
    expect(error.hint).toContain('prod-eu');
  });

  test.each(['help me', 'clusters all', 'status prod-eu now', 'backup prod-eu --force'])('%s', (text) => {
    const error = refusal(text);
    expect(error.code).toBe('command.invalid');
    expect(error.hint).toContain(`Type: /etcd ${text.split(' ')[0] ?? ''}`);
  });
});

test('a very long text is quoted in part only, and no character is cut in half', () => {
  const { message } = refusal('😀'.repeat(2000));
  expect(message.length).toBeLessThan(120);
  expect(message).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
});

test('usage shows what is optional', () => {
  const status = COMMAND_WORDS.find((w) => w.action === 'status');
  expect(status && usage(status, '/etcd')).toBe('/etcd status [cluster]');
});
