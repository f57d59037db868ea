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

describe('a right file', () => {
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

  test('reads durations and sizes', () => {
    const config = configOf(
      file({ defaults: { backup: { schedule: '0 */6 * * *', rpo: '8h', timeout: '15m', rateLimit: '50MB' } } }),
    );
    expect(config.clusters[0]?.backup).toMatchObject({ rpoMs: 28_800_000, timeoutMs: 900_000, rateLimit: 50_000_000 });
  });
});

describe('a wrong file', () => {
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
  ])('with %s is refused', (_what, raw, expected) => {
    expect(problemsOf(raw)).toContain(expected);
  });

  test('never shows what may be a secret', () => {
    const problems = problemsOf(
      file({
        slack: { botToken: 'xoxb-1-planted', channels: { results: 'C0RESULTS' } },
        redis: { url: 'redis://:planted@localhost' },
        stores: { a: { type: 's3', bucket: 'bbb', secretAccessKey: 'planted', accessKeyId: 'planted' } },
      }),
    );
    expect(problems).toHaveLength(4);
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
