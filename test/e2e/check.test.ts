/** `keyturn check` as a person runs it: one line a connection, nothing else, an exit code that tells, and an end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { tsxArgv } from '../../deploy/local/bot.ts';
import { clusterSection, eventually, startWorld, type World } from '../support/bot.ts';
import { control } from '../support/control.ts';

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
  const node = (name: string) =>
    expect.stringMatching(
      `^✓ node ${name}: logged in as keyturn at 10\\.[0-9.]+, ready for backups and restores$`,
    ) as string;
  expect(lines).toEqual([
    '✓ slack: keyturn in workspace Local workspace, socket mode',
    expect.stringMatching(/^✓ redis: Redis \d/),
    ...['newer/cp1', 'newer/cp2', 'newer/cp3', 'older/cp1', 'older/cp2', 'older/cp3'].map(node),
    expect.stringMatching(/^✓ etcd newer: etcd 3\.5\.\d+, 3 members, leader cp\d$/),
    expect.stringMatching(/^✓ etcd older: etcd 3\.4\.\d+, 3 members, leader cp\d$/),
    expect.stringMatching(/^✓ store s3: bucket etcd-backup at http:\S+ \(path-style\), can be listed, written and/),
    expect.stringMatching(/^✓ store offsite: keyturn@127\.0\.0\.1:\d+\/etcd-backup\/t\S+, can be listed, written and/),
    expect.stringMatching(/^✓ compression: zstd, by the (program|zstd of Node) \S+$/),
    '✓ retention newer: none configured: everything stays',
    '✓ retention older: none configured: everything stays',
    `✓ audit: ${join(world.dir, 'bot', 'audit')} can be written`,
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
    config['audit'] = { folder: join(world.dir, 'wrong-secret', 'audit') };
    config['stepUp'] = { key: { file: join(world.dir, 'step-up-key') } };
    const [first] = (clusterSection(world.env, 'newer') as Config['clusters'][number]).nodes;
    config.clusters[0]?.nodes.splice(0, 1, { ...first, ssh: { hostKey: `SHA256:${'A'.repeat(43)}` } });
  });
  await writeFile(join(world.dir, 'wrong-secret'), 'planted-wrong-secret');
  await writeFile(join(world.dir, 'step-up-key'), 'planted-short-key');
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
    expect.stringMatching(/^✗ audit: The audit could not be written to \S+audit: ENOTDIR\. Make room/),
    '✗ one-time codes: The key file for one-time codes holds no key of 32 bytes. Make one with: openssl rand -base64 32',
  ]);
  expect(lines.filter((line) => line.startsWith('✓ ')).map((line) => line.replace(/:.*/, ''))).toEqual([
    ...['newer/cp2', 'newer/cp3', 'older/cp1', 'older/cp2', 'older/cp3'].map((name) => `✓ node ${name}`),
    '✓ etcd older',
    '✓ store s3',
    '✓ store offsite',
    '✓ compression',
    ...['newer', 'older'].map((name) => `✓ retention ${name}`),
  ]);
  expect(lines.join('\n')).not.toContain('planted');
  expect(code).toBe(1);
  expect(ms).toBeLessThan(15_000);
});

describe('a node without the line of sudoers that restores need', () => {
  const rules = '/etc/sudoers.d/keyturn-steps';
  const onNode = (argv: string[]) => control(world.env.controlSocket).node('newer', 'cp1').exec(argv);
  beforeAll(() => onNode(['mv', rules, '/root/keyturn-steps']));
  afterAll(() => onNode(['mv', '/root/keyturn-steps', rules]));

  const line =
    /sudo on cp1 did not let keyturn .*Add this line to \/etc\/sudoers.d\/keyturn on cp1.*NOPASSWD: \S+sh -c/;

  test('is ready for backups only, and no failure where nobody may ask for restores', async () => {
    const file = await fileWith((config) => (config['people'] = { operate: ['S0NOBODY'] }));
    const { code, lines } = await keyturn('check', '--config', file);
    const found = lines.find((each) => each.includes('node newer/cp1'));
    expect(found).toMatch(/^! node newer\/cp1: logged in as keyturn at \S+, ready for backups only\. /);
    expect(found).toMatch(line);
    expect(code).toBe(0);
  });

  test('is a failure where restores can be asked for and approved', async () => {
    const file = await fileWith((config) => (config['people'] = { request: ['S0ASK'], approve: ['S0APPROVE'] }));
    const { code, lines } = await keyturn('check', '--config', file);
    expect(lines.filter((each) => !each.startsWith('✓ '))).toEqual([expect.stringMatching(line)]);
    expect(code).toBe(1);
  });
});

describe('keyturn audit verify', () => {
  test('proves what a bot recorded, on disk and in the store, and sees a changed line', async () => {
    // A cluster that was never backed up is backed up at once, and that is recorded.
    const bot = await world.startBot({ clusters: [clusterSection(world.env, 'newer', { schedule: '0 3 * * *' })] });
    const config = parse(await readFile(world.configFile(), 'utf8')) as { audit: { folder: string } };
    const { folder } = config.audit;
    const chain = await eventually('a chain on disk', async () => (await readdir(folder).catch(() => [])).at(0));
    await eventually('a copy in the store', async () => {
      for await (const { key } of world.store.list('keyturn-audit/')) return key;
      return undefined;
    });
    await bot.stop();
    const whole = await keyturn('audit', 'verify', '--config', world.configFile());
    expect(whole.lines[0]).toMatch(/^disk \S+: \d+ entries in \d+ chains?, whole$/);
    expect(whole.lines[1]).toMatch(/^store s3: \d+ entr(y|ies) in \d+ chains?, whole$/);
    expect(whole).toMatchObject({ code: 0, errors: '' });

    const path = join(folder, chain);
    await writeFile(path, (await readFile(path, 'utf8')).replace('backup.queued', 'backup.qeueud'));
    const forged = await keyturn('audit', 'verify', '--config', world.configFile());
    expect(forged.lines.join('\n')).toMatch(/NOT whole\n {2}Chain \S+ is broken in line \d+/);
    expect(forged.code).toBe(1);
  });

  test('needs none of the secrets of Slack and Redis', async () => {
    const file = await fileWith((config) => {
      config.slack['botToken'] = { env: 'NO_SUCH_TOKEN' };
      config.redis['password'] = { env: 'NO_SUCH_PASSWORD' };
      config['audit'] = { folder: join(world.dir, 'no-audit-here') };
    });
    const { code, lines } = await keyturn('audit', 'verify', '--config', file);
    expect(lines[0]).toBe(`disk ${join(world.dir, 'no-audit-here')}: 0 entries in 0 chains, whole`);
    expect(code).toBe(0);
  });
});

test('a bot that can not write its audit does not start, and says what to do', async () => {
  const file = await fileWith((config) => (config['audit'] = { folder: '/dev/null/audit' }));
  const { code, errors } = await keyturn('run', '--config', file);
  expect(errors).toMatch(/^The audit could not be written to \/dev\/null\/audit: ENOTDIR\. Make room/m);
  expect(code).toBe(1);
});

test('sudoers prints what backups and restores need, and with --backups-only no shell as root', async () => {
  const both = await keyturn('sudoers', '--user', 'ops');
  const backups = await keyturn('sudoers', '--user', 'ops', '--backups-only');
  expect(both.lines.slice(0, -1)).toEqual(backups.lines);
  expect(both.lines.at(-1)).toMatch(/^ops ALL=\(root\) NOPASSWD: \/usr\/bin\/sh -c /);
  expect(backups.lines.every((each) => each.startsWith('ops ALL=(root) NOPASSWD: /usr/bin/cat /'))).toBe(true);
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
  for (const word of ['run', 'check', 'audit', 'sudoers', '--version']) expect(help.lines.join('\n')).toContain(word);
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  expect(await keyturn('--version')).toMatchObject({ code: 0, errors: '', lines: [version] });
});
