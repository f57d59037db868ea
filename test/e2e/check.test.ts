/** `keyturn check` as a person runs it: one line a connection, nothing else, an exit code that tells, and an end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { tsxArgv } from '../../deploy/local/bot.ts';
import { clusterSection, startWorld, type World } from '../support/bot.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
});

afterAll(async () => world.close());

interface Ended {
  readonly code: number | null;
  readonly lines: readonly string[];
  readonly errors: string;
  readonly ms: number;
}

/** Runs the program to its own end; it is given so long as nobody would wait for. */
async function keyturn(...args: readonly string[]): Promise<Ended> {
  const startedAt = performance.now();
  const [program = '', ...argv] = tsxArgv('src/main.ts', args);
  const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' });
  const [out, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { code, lines: out.trimEnd().split('\n'), errors, ms: performance.now() - startedAt };
}

/** The configuration of a bot that works, changed by `change`; the file's path. */
async function fileWith(change: (config: Config) => void): Promise<string> {
  const config = parse(await readFile(await world.writeConfig(), 'utf8')) as Config;
  change(config);
  const file = join(world.dir, 'changed.yaml');
  await writeFile(file, stringify(config));
  return file;
}

interface Config {
  slack: Record<string, unknown>;
  redis: Record<string, unknown>;
  stores: Record<string, Record<string, unknown>>;
  defaults: object;
  clusters: { nodes: { ssh: object }[]; backup?: object; [key: string]: unknown }[];
  [key: string]: unknown;
}

test('when all is well each connection has a line with what was found', async () => {
  const { code, lines, errors, ms } = await keyturn('check', '--config', await world.writeConfig());
  expect(errors).toBe('');
  const node = (name: string) => expect.stringMatching(`^✓ node ${name}: logged in as keyturn at 10\\.`) as string;
  expect(lines).toEqual([
    '✓ slack: keyturn in workspace Local workspace, socket mode',
    expect.stringMatching(/^✓ redis: Redis \d/),
    ...['newer/cp1', 'newer/cp2', 'newer/cp3', 'older/cp1', 'older/cp2', 'older/cp3'].map(node),
    expect.stringMatching(/^✓ etcd newer: etcd 3\.5\.\d+, 3 members, leader cp\d$/),
    expect.stringMatching(/^✓ etcd older: etcd 3\.4\.\d+, 3 members, leader cp\d$/),
    expect.stringMatching(/^✓ store s3: bucket etcd-backup at http:\S+ \(path-style\), can be listed, written and/),
  ]);
  expect(code).toBe(0);
  expect(ms).toBeLessThan(15_000);
});

test('several things that are wrong have a line each with what to do, and the rest is tried all the same', async () => {
  const file = await fileWith((config) => {
    const wrong = join(world.dir, 'wrong-secret');
    config.slack['botToken'] = { file: wrong };
    config.redis['url'] = `unix://${join(world.dir, 'no-redis.sock')}`;
    config.stores['wrong'] = { ...config.stores['s3'], secretAccessKey: { file: wrong } };
    config.stores['missing'] = { type: 'folder', path: join(world.dir, 'not-mounted') };
    const [first] = (clusterSection(world.env, 'newer') as Config['clusters'][number]).nodes;
    config.clusters[0]?.nodes.splice(0, 1, { ...first, ssh: { hostKey: `SHA256:${'A'.repeat(43)}` } });
  });
  await writeFile(join(world.dir, 'wrong-secret'), 'planted-wrong-secret');
  const { code, lines, errors, ms } = await keyturn('check', '--config', file);
  expect(errors).toBe('');
  const bad = lines.filter((line) => !line.startsWith('✓ '));
  expect(bad).toEqual([
    expect.stringMatching(/^✗ slack: Slack did not take the bot token: invalid_auth\. .*slack-manifest\.yaml/),
    expect.stringMatching(
      /^✗ redis: Redis at \S+no-redis\.sock can't be used: there is no such socket\. See that Redis/,
    ),
    expect.stringMatching(/^✗ node newer\/cp1: cp1 .* another host key.*presented: ssh-ed25519 SHA256:.*ssh-keygen/),
    expect.stringMatching(/^✗ etcd newer: 2 of 3 members answer, leader cp\d\. cp1 .*another host key/),
    expect.stringMatching(/^✗ store wrong: .*SignatureDoesNotMatch.*secretAccessKey/),
    expect.stringMatching(/^✗ store missing: .*the folder is not there.*Create \S+not-mounted, or mount/),
  ]);
  expect(lines.filter((line) => line.startsWith('✓ ')).map((line) => line.replace(/:.*/, ''))).toEqual([
    ...['newer/cp2', 'newer/cp3', 'older/cp1', 'older/cp2', 'older/cp3'].map((name) => `✓ node ${name}`),
    '✓ etcd older',
    '✓ store s3',
  ]);
  expect(lines.join('\n')).not.toContain('planted-wrong-secret');
  expect(code).toBe(1);
  expect(ms).toBeLessThan(15_000);
});

describe('a wrong configuration: nothing is tried, exit code 2, and', () => {
  test('every problem at once, with its path, the value, and what was expected', async () => {
    const file = await fileWith((config) => {
      config.slack['command'] = 'etcd backup';
      config.redis['url'] = 'http://redis';
      config['clustres'] = [];
      Object.assign(config.clusters[0] ?? {}, { backup: { schedule: 'at night', stores: ['nowhere'] } });
    });
    const { code, lines, errors } = await keyturn('check', '--config', file);
    expect(lines).toEqual(['']);
    expect(errors.split('\n')[0]).toBe(`${file}: 5 problems`);
    for (const problem of [
      /^ {2}slack\.command: .*"etcd backup".*expected a slash command/m,
      /^ {2}redis\.url: .*\(hidden\).*expected redis:\/\//m,
      /^ {2}clustres: .*did you mean "clusters"/m,
      /^ {2}clusters\[0\]\.backup\.schedule: .*"at night".*expected a cron expression/m,
      /^ {2}clusters\[0\]\.backup\.stores\[0\]: .*"nowhere".*expected a store that is defined: s3/m,
    ])
      expect(errors).toMatch(problem);
    expect(code).toBe(2);
  });

  test('every secret that is not there', async () => {
    const file = await fileWith((config) => {
      config.slack['botToken'] = { env: 'NO_SUCH_TOKEN' };
      config.slack['appToken'] = { file: '/nowhere/app-token' };
      config.redis['password'] = { env: 'NO_SUCH_PASSWORD' };
    });
    const { code, errors } = await keyturn('check', '--config', file);
    expect(errors.trimEnd().split('\n')).toEqual([
      `${file}: 3 problems`,
      '  slack.botToken: found no environment variable NO_SUCH_TOKEN; expected the secret in it',
      '  slack.appToken: found nothing readable in /nowhere/app-token; expected the secret in it',
      '  redis.password: found no environment variable NO_SUCH_PASSWORD; expected the secret in it',
    ]);
    expect(code).toBe(2);
  });

  test('a file that is not there, or is no YAML', async () => {
    const none = await keyturn('check', '--config', '/nowhere/keyturn.yaml');
    expect(none).toMatchObject({ code: 2, errors: expect.stringContaining("can't be read: ENOENT") as string });
    const file = join(world.dir, 'no.yaml');
    await writeFile(file, 'slack: [');
    const broken = await keyturn('check', '--config', file);
    expect(broken).toMatchObject({ code: 2, errors: expect.stringContaining(`${file}: a problem`) as string });
  });
});

test('--help names the commands, --version the version of the package', async () => {
  const help = await keyturn('--help');
  expect(help).toMatchObject({ code: 0, errors: '' });
  for (const word of ['run', 'check', '--version']) expect(help.lines.join('\n')).toContain(word);
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  expect(await keyturn('--version')).toMatchObject({ code: 0, errors: '', lines: [version] });
});
