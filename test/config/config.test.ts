import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseConfig, renderProblem, type Config } from '../../src/config.ts';
import type { CronCalendar } from '../../src/ports.ts';

const calendar: CronCalendar = {
  next: (expression) => {
    if (expression.includes('99')) throw new Error('no such hour');
    return new Date(0);
  },
  previous: () => new Date(0),
};

const FINGERPRINT = `SHA256:${'a'.repeat(43)}`;

/** The smallest file that is right; parts are replaced by each test. */
function file(change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    slack: { channels: { results: 'C0RESULTS' } },
    redis: { url: 'redis://localhost:6379' },
    stores: { ceph: { type: 's3', bucket: 'etcd-backup' } },
    clusters: [
      {
        name: 'prod-eu',
        nodes: [{ name: 'cp1', address: '10.0.0.11', ssh: { user: 'keyturn', keyFile: '/k', hostKey: FINGERPRINT } }],
      },
    ],
    ...change,
  };
}

function problemsOf(raw: unknown): string[] {
  const parsed = parseConfig(raw, calendar);
  return parsed.ok ? [] : parsed.problems.map(renderProblem);
}

function configOf(raw: unknown): Config {
  const parsed = parseConfig(raw, calendar);
  if (!parsed.ok) throw new Error(parsed.problems.map(renderProblem).join('\n'));
  return parsed.config;
}

const nodes = [{ name: 'cp1', address: 'cp1', ssh: {} }];
const login = { user: 'keyturn', keyFile: '/k' };
const azure = { type: 'azure-blob', endpoint: 'https://backups.blob.core.windows.net', container: 'etcd' };

describe('a right file', () => {
  test.each([
    [{}, { kind: 'default' }],
    [{ sasToken: { env: 'SAS' } }, { kind: 'sas', sasToken: { env: 'SAS' } }],
    [
      { accountName: 'backups', accountKey: { file: '/k' } },
      { kind: 'key', accountName: 'backups', accountKey: { file: '/k' } },
    ],
  ])('with credentials %j for Azure names where they are', (said, credentials) => {
    const [store] = configOf(file({ stores: { a: { ...azure, ...said } } })).stores;
    expect(store).toMatchObject({ type: 'azure-blob', endpoint: azure.endpoint, container: 'etcd', credentials });
  });

  test('is filled up with safe defaults', () => {
    const config = configOf(file());
    expect(config.clusters[0]?.backup).toEqual({
      schedule: undefined,
      timezone: 'UTC',
      stores: ['ceph'],
      rpoMs: undefined,
      timeoutMs: 3_600_000,
      stallTimeoutMs: 60_000,
      rateLimit: undefined,
      compression: 'zstd',
      attempts: 3,
    });
    expect(config.slack).toMatchObject({ mode: 'socket', command: '/etcd', botToken: { env: 'SLACK_BOT_TOKEN' } });
    expect(config.slack.channels.alerts).toBe('C0RESULTS');
  });

  test('gives a node what it says itself, else its cluster, else the defaults', () => {
    const config = configOf(
      file({
        bastions: { jump: { address: 'jump', ssh: login } },
        defaults: { ssh: { user: 'a', keyFile: '/k', passphraseFile: '/p', via: 'jump', port: 2222 } },
        clusters: [
          {
            name: 'x',
            ssh: { user: 'b' },
            nodes: [
              { name: 'cp1', address: 'cp1' },
              { name: 'cp2', address: 'cp2', ssh: { agent: '/sock', user: 'root' } },
            ],
          },
        ],
      }),
    );
    expect(config.clusters[0]?.nodes[0]).toMatchObject({
      become: 'sudo',
      ssh: { user: 'b', port: 2222, via: 'jump', auth: { kind: 'key', keyFile: '/k', passphraseFile: '/p' } },
    });
    expect(config.clusters[0]?.nodes[1]).toMatchObject({
      become: 'none',
      ssh: { user: 'root', auth: { kind: 'agent', socket: '/sock' } },
    });
    expect(config.bastions[0]?.ssh.via).toBeUndefined();
  });

  test('gives restores safe defaults: two approvals, half an hour, roll back', () => {
    const config = configOf(file({ people: { approve: ['S0APPROVE'] } }));
    expect(config.clusters[0]?.restore).toEqual({
      approvals: { threshold: 2, groups: ['S0APPROVE'], expiresMs: 1_800_000, stepUp: 'none', breakGlass: undefined },
      mode: 'all-members',
      onFailure: 'roll-back',
      kubelet: 'no',
      manifests: 'one-by-one',
    });
    expect(config.audit).toEqual({ folder: '/var/lib/keyturn/audit', store: 'ceph' });
    expect(config.stepUpKey).toBeUndefined();
  });

  test('says of restores what the cluster says, else the defaults', () => {
    const [cluster] = file()['clusters'] as [object];
    const own = {
      restore: { mode: 'one-member', onFailure: 'ask', kubelet: 'stop-with-containers', manifests: 'folder' },
      approvals: { stepUp: 'totp', breakGlass: { approvals: 1 } },
    };
    const config = configOf(
      file({
        people: { approve: ['S0APPROVE'] },
        defaults: { ssh: login, restore: { approvals: 3, expires: '2h', mode: 'all-members' } },
        stepUp: { key: { file: '/k' } },
        audit: { folder: '/srv/audit' },
        clusters: [
          { ...cluster, ...own },
          { ...cluster, name: 'staging', restore: { approvals: 1 } },
        ],
      }),
    );
    expect(config.clusters[0]?.restore).toEqual({
      approvals: {
        threshold: 3,
        groups: ['S0APPROVE'],
        expiresMs: 7_200_000,
        stepUp: 'totp',
        breakGlass: { threshold: 1 },
      },
      mode: 'one-member',
      onFailure: 'ask',
      kubelet: 'kubelet-and-containers',
      manifests: 'folder',
    });
    expect(config.clusters[1]?.restore).toMatchObject({
      approvals: { threshold: 1, expiresMs: 7_200_000, stepUp: 'none', breakGlass: undefined },
      onFailure: 'roll-back',
    });
    expect(config.audit).toEqual({ folder: '/srv/audit', store: 'ceph' });
    expect(config.stepUpKey).toEqual({ file: '/k' });
  });

  test('compresses and does not encrypt unless it is told to; keys are files', () => {
    expect(configOf(file()).encryption).toEqual({ recipients: [], passphraseFile: undefined, identityFiles: [] });
    const recipients = [`age1${'q'.repeat(58)}`];
    const encryption = { recipients, identityFiles: ['/run/key'] };
    expect(configOf(file({ encryption })).encryption).toEqual({ ...encryption, passphraseFile: undefined });
    const plain = file({ defaults: { ssh: login, backup: { compression: 'none' } } });
    expect(configOf(plain).clusters[0]?.backup.compression).toBe('none');
  });

  test('reads durations and sizes', () => {
    const config = configOf(
      file({ defaults: { backup: { schedule: '0 */6 * * *', rpo: '8h', timeout: '15m', rateLimit: '50MB' } } }),
    );
    expect(config.clusters[0]?.backup).toMatchObject({ rpoMs: 28_800_000, timeoutMs: 900_000, rateLimit: 50_000_000 });
  });
});

describe('a wrong file', () => {
  test('that has an identity where a recipient belongs does not show it', () => {
    const secret = `AGE-SECRET-KEY-1${'Q'.repeat(58)}`;
    expect(problemsOf(file({ encryption: { recipients: [secret], passphraseFile: '/p' } }))).toEqual([
      'encryption.recipients[0]: found (hidden); expected an age recipient: age1 and 58 small letters and digits',
      'encryption: found a section; expected either recipients or passphraseFile, not both',
    ]);
  });

  test('is answered with every problem at once: path, value, what was expected', () => {
    const problems = problemsOf(
      file({
        slack: { mode: 'carrier-pigeon', channels: { results: '#etcd' } },
        clusters: [
          {
            name: 'prod eu',
            nodes: [{ name: 'cp1', address: 'cp1', ssh: { user: 'u', keyFile: '/k', hostKey: 'aa:bb' } }],
            backup: { schedule: '99 * * * *', timezone: 'Mars/Base', stores: ['cephh'], rpo: '8 hours' },
          },
        ],
      }),
    );
    expect(problems).toEqual([
      'slack.mode: found "carrier-pigeon"; expected socket or http',
      'slack.channels.results: found "#etcd"; expected a Slack channel id (C… or G…), not a name',
      'clusters[0].name: found "prod eu"; expected a name of letters, digits, ".", "_" and "-", 80 at most',
      'clusters[0].nodes[0].ssh.hostKey: found "aa:bb"; expected an OpenSSH fingerprint such as SHA256:abc…, as ssh-keygen -l prints it',
      'clusters[0].backup.schedule: found "99 * * * *"; expected a cron expression of five fields, such as "0 */6 * * *"',
      'clusters[0].backup.timezone: found "Mars/Base"; expected a time zone such as Europe/Berlin or UTC',
      'clusters[0].backup.rpo: found "8 hours"; expected a duration such as 90s, 15m, 8h or 2d',
      'clusters[0].backup.stores[0]: found "cephh"; expected a store that is defined: ceph',
    ]);
  });

  test.each([
    [
      'nothing',
      undefined,
      '(the file): found (missing); expected a mapping with slack, redis, stores, people and clusters',
    ],
    [
      'a mistyped key',
      file({ clutsers: [] }),
      'clutsers: found a list; expected no such key in the top level; did you mean "clusters"?',
    ],
    [
      'two clusters of one name',
      file({ clusters: [1, 2].map(() => ({ name: 'a', nodes: [{ name: 'n', address: 'n', ssh: login }] })) }),
      'clusters[1].name: found "a"; expected a name of its own; clusters[0] has it already',
    ],
    [
      'a login without a key',
      file({ clusters: [{ name: 'a', nodes }] }),
      'clusters[0].nodes[0].ssh: found a section; expected exactly one of keyFile, agent and passwordFile, here or in defaults.ssh',
    ],
    [
      'an unknown jump host',
      file({ clusters: [{ name: 'a', nodes: [{ name: 'n', address: 'n', ssh: { ...login, via: 'b' } }] }] }),
      'clusters[0].nodes[0].ssh.via: found "b"; expected a jump host that is defined; none is',
    ],
    [
      'plain HTTP that nobody asked for',
      file({ stores: { a: { type: 's3', bucket: 'bbb', endpoint: 'http://rgw' } } }),
      'stores.a.endpoint: found "http://rgw"; expected https://…, or allowPlainHttp: true beside it',
    ],
    [
      'half a credential',
      file({ stores: { a: { type: 's3', bucket: 'bbb', accessKeyId: { env: 'A' } } } }),
      "stores.a: found a section; expected accessKeyId and secretAccessKey together, or neither (the SDK's default chain)",
    ],
    [
      'half a credential for Azure',
      file({ stores: { a: { ...azure, accountName: 'backups' } } }),
      "stores.a: found a section; expected accountName and accountKey together, or sasToken, or none of them (the environment's own identity)",
    ],
    [
      'a container in the endpoint',
      file({ stores: { a: { ...azure, endpoint: 'https://backups.blob.core.windows.net/etcd' } } }),
      'stores.a.endpoint: found "https://backups.blob.core.windows.net/etcd"; expected the URL of the account alone; the container stands beside it',
    ],
    [
      'an identity over plain HTTP',
      file({ stores: { a: { ...azure, endpoint: 'http://127.0.0.1:10000/backups', allowPlainHttp: true } } }),
      'stores.a.endpoint: found "http://127.0.0.1:10000/backups"; expected https://…: tokens of an identity never go over plain http',
    ],
    [
      'one-time codes without a key',
      file({ defaults: { ssh: {}, approvals: { stepUp: 'totp' } } }),
      'defaults.approvals.stepUp: found "totp"; expected none, or beside it a stepUp.key that seals the secrets of the codes',
    ],
    [
      'one-time codes of one cluster without a key',
      file({ clusters: [{ name: 'a', nodes, ssh: login, approvals: { stepUp: 'totp' } }] }),
      'clusters[0].approvals.stepUp: found "totp"; expected none, or beside it a stepUp.key that seals the secrets of the codes',
    ],
    [
      'an audit in an unknown store',
      file({ audit: { store: 'tape' } }),
      'audit.store: found "tape"; expected a store that is defined: ceph',
    ],
    [
      'an audit in no absolute folder',
      file({ audit: { folder: 'audit' } }),
      'audit.folder: found "audit"; expected an absolute path',
    ],
    [
      'more approvals than there are approvers',
      file({ people: { approve: ['U01', 'U02', 'U02'] }, defaults: { ssh: {}, restore: { approvals: 3 } } }),
      'defaults.restore.approvals: found 3; expected at most 2: people.approve names no more',
    ],
    [
      'no approval at all',
      file({ defaults: { ssh: {}, restore: { approvals: 0 } } }),
      'defaults.restore.approvals: found 0; expected a whole number from 1 to 20; the requester never counts',
    ],
    [
      'a request that would live too long',
      file({ defaults: { ssh: {}, restore: { expires: '8d' } } }),
      'defaults.restore.expires: found "8d"; expected a duration from 1m to 7d, such as 30m',
    ],
    [
      'a failure that is met in an unknown way',
      file({ defaults: { ssh: {}, restore: { onFailure: 'hope' } } }),
      'defaults.restore.onFailure: found "hope"; expected roll-back or ask',
    ],
    [
      'break-glass that is a number',
      file({ defaults: { ssh: {}, approvals: { breakGlass: 1 } } }),
      'defaults.approvals.breakGlass: found 1; expected { approvals: 1 }',
    ],
    [
      'a mistyped key of restores',
      file({ defaults: { ssh: {}, restore: { onFailur: 'ask' } } }),
      'defaults.restore.onFailur: found "ask"; expected no such key in defaults.restore; did you mean "onFailure"?',
    ],
  ])('with %s is refused', (_what, raw, expected) => {
    expect(problemsOf(raw)).toContain(expected);
  });

  test('may name fewer approvers than approvals when a group is among them', () => {
    expect(problemsOf(file({ people: { approve: ['U01', 'S01'] } }))).toEqual([]);
  });

  test('with a default of two approvals and one approver is refused', () => {
    expect(problemsOf(file({ people: { approve: ['U01'] } }))).toEqual([
      'people.approve: found a list; expected at least 2 people, or a group: clusters[0] wants so many approvals',
    ]);
  });

  test('never shows what may be a secret', () => {
    const problems = problemsOf(
      file({
        slack: { botToken: 'xoxb-1-planted', channels: { results: 'C0RESULTS' } },
        redis: { url: 'redis://:planted@localhost' },
        stores: { a: { type: 's3', bucket: 'bbb', secretAccessKey: 'planted', accessKeyId: 'planted' } },
        stepUp: { key: 'planted' },
      }),
    );
    expect(problems).toHaveLength(5);
    expect(problems.join('\n')).not.toContain('planted');
  });

  test.each([
    null,
    7,
    'text',
    [],
    { clusters: 'x' },
    { clusters: [null] },
    { stores: [] },
    { clusters: [{ nodes: [7] }] },
  ])('of any shape is refused without an exception: %j', (raw) => {
    expect(problemsOf(raw).length).toBeGreaterThan(0);
  });
});

test('the example file is right', async () => {
  const text = await readFile('deploy/keyturn.example.yaml', 'utf8');
  expect(problemsOf(parse(text))).toEqual([]);
});
