/** What people type, and what they meant. */
import { describe, expect, test } from 'vitest';
import { COMMAND_WORDS, parseCommand, usage } from '../../src/commands/parse.ts';
import { KeyturnError } from '../../src/domain/error.ts';

const vocabulary = { command: '/etcd', clusters: ['prod-eu', 'prod-us', 'staging'] };
const parse = (text: string): unknown => parseCommand(text, vocabulary);

function held(cluster: string | undefined, snapshot = '20261121T060000Z-17') {
  return { action: 'hold', cluster, snapshot };
}

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
    ['snapshots `staging`', { action: 'snapshots', cluster: 'staging', words: [] }],
    ['snapshots staging held 2026-11', { action: 'snapshots', cluster: 'staging', words: ['held', '2026-11'] }],
    [
      'hold prod-eu 20261121T060000Z-17 for 30d before the audit',
      { ...held('prod-eu'), end: { kind: 'for', ms: 30 * 86_400_000 }, reason: 'before the audit' },
    ],
    [
      'hold 20261121T060000Z-17 until 2026-12-31 for the auditors',
      { ...held(undefined), end: { kind: 'until', at: '2026-12-31T23:59:59.999Z' }, reason: 'for the auditors' },
    ],
    ['hold prod-eu 20261121T060000Z-17', { ...held('prod-eu'), end: undefined, reason: '' }],
    ['hold 20261121T060000Z-17 for ever', { ...held(undefined), end: undefined, reason: 'for ever' }],
    ['hold Staging nightly.db why not', { ...held('staging', 'nightly.db'), end: undefined, reason: 'why not' }],
    ['release prod-eu `20261121T060000Z-17`', { ...held('prod-eu'), action: 'release' }],
    ['release etcd-snapshot-20261121.db', { ...held(undefined, 'etcd-snapshot-20261121.db'), action: 'release' }],
    ['backup “prod-us”', { action: 'backup', cluster: 'prod-us' }],
    ['restore prod-eu', { action: 'restore', cluster: 'prod-eu' }],
    ['approvals', { action: 'approvals' }],
    ['enrol', { action: 'enrol' }],
    ['runbook Staging', { action: 'runbook', cluster: 'staging', snapshot: undefined }],
    ['runbook staging 20261121T060000Z-17', { action: 'runbook', cluster: 'staging', snapshot: '20261121T060000Z-17' }],
    ['audit R20261121-130501-3FA9C1', { action: 'audit', request: 'r20261121-130501-3fa9c1' }],
    ['cleanup `r20261121-130501-3fa9c1`', { action: 'cleanup', request: 'r20261121-130501-3fa9c1' }],
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
    ['restroe prod-eu', '/etcd restore prod-eu'],
    ['approval', '/etcd approvals'],
    ['run-book prod-eu', '/etcd runbook prod-eu'],
    ['enroll', '/etcd enrol'],
    ['clean r1', '/etcd cleanup r1'],
    ['relase 20261121T060000Z-17', '/etcd release 20261121T060000Z-17'],
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
    ['hold prod-ue 20261121T060000Z-17 audit', 'prod-eu'],
    ['release prodeu 20261121T060000Z-17', 'prod-eu'],
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

  test.each(['restore', 'runbook'])('%s without a cluster', (word) => {
    expect(refusal(word).hint).toContain(`/etcd ${word} <cluster>`);
  });

  test.each([
    ['audit', '"audit" needs the id of a restore.'],
    ['cleanup prod-eu', '"prod-eu" is a cluster, no restore.'],
  ])('%s: says what an id looks like, and where it stands', (text, message) => {
    const error = refusal(text);
    expect(error).toMatchObject({ code: 'command.invalid', message });
    expect(error.hint).toContain(`Type: /etcd ${text.split(' ')[0] ?? ''} <request>`);
    expect(error.hint).toContain('r20261121-130501-3fa9c1');
  });

  test.each([
    'help me',
    'clusters all',
    'status prod-eu now',
    'backup prod-eu --force',
    'restore prod-eu now',
    'runbook prod-eu newest please',
    'approvals mine',
    'audit r1 r2',
    'hold',
    'hold prod-eu',
    'release staging',
    'release prod-eu 20261121T060000Z-17 now',
  ])('%s', (text) => {
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

test.each(['for 3w', 'for 30days', 'until 2026-02-31', 'until 31.12.2026', 'for 0d'])(
  'an end of a hold that is none is no reason either: %s',
  (end) => {
    const error = refusal(`hold prod-eu 20261121T060000Z-17 ${end} audit`);
    expect(error).toMatchObject({ code: 'command.invalid', message: `"${end}" is no end of a hold.` });
    expect(error.hint).toContain('until 2026-12-31');
  },
);

test('usage shows what is optional', () => {
  const status = COMMAND_WORDS.find((w) => w.action === 'status');
  expect(status && usage(status, '/etcd')).toBe('/etcd status [cluster]');
});
