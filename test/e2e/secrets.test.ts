/** No secret leaves the places where it was put: not into a log, a message, a manifest, an output or a command line. */
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Redis } from 'ioredis';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { tsxArgv, type LocalBotSettings } from '../../deploy/local/bot.ts';
import { writeAgeKey, type AgeKey } from '../../deploy/local/parts/age-key.ts';
import { seedKeys } from '../../deploy/local/seed.ts';
import { clusterSection, eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { control, type Control } from '../support/control.ts';
import { PKI } from '../support/learner.ts';
import { asRootOn, localCluster } from '../support/local-env.ts';

/** Of this run alone: other runs on the machine have command lines too. */
const run = `${process.pid}${Date.now()}`;
const planted = (what: string): string => `planted-${what}-${run}`;
const SECRETS = {
  botToken: `xoxb-${planted('bot')}`,
  appToken: `xapp-1-${planted('app')}`,
  signingSecret: planted('signing'),
  redisPassword: planted('redis'),
  wrongRedisPassword: planted('wrong-redis'),
  wrongS3Secret: planted('wrong-s3'),
  passphrase: planted('passphrase'),
  wrongPassphrase: planted('wrong-passphrase'),
  snapshotPassphrase: planted('snapshots'),
  password: planted('password'),
  wrongToken: `xoxb-${planted('wrong-bot')}`,
};
const AUTHORIZED = '/home/keyturn/.ssh/authorized_keys';

let world: World;
let parts: Control;
let redis: Redis;
let bot: Bot;
let identity: AgeKey;
/** Bodies of private keys, line by line. */
let keyLines: string[];
let s3Secret: string;

beforeAll(async () => {
  const { botToken: forBot, appToken: app, signingSecret } = SECRETS;
  world = await startWorld({ workspace: { tokens: { bot: forBot, app, signingSecret } } });
  parts = control(world.env.controlSocket);
  s3Secret = world.env.s3.secretKey;
  await seedKeys(parts.cluster('newer'), 2_000, 1_200);

  const { nodes } = localCluster(world.env, '3.5');
  // Not ed25519: one in 128 of those that ssh2 makes can't be read.
  const options = { bits: 256, passphrase: SECRETS.passphrase, cipher: 'aes256-ctr', rounds: 1 } as const;
  const key = ssh2.utils.generateKeyPairSync('ecdsa', options);
  await writeFile(join(world.dir, 'ssh-key'), key.private, { mode: 0o600 });
  const etcdKeys = await Promise.all(
    nodes.map(async (node) => {
      await asRootOn(
        node,
        ['sh', '-c', `cp ${AUTHORIZED} /root/authorized_keys && { echo; cat; echo; } >> ${AUTHORIZED}`],
        key.public,
      );
      return asRootOn(node, ['cat', `${PKI}/server.key`]);
    }),
  );
  identity = await writeAgeKey(join(world.dir, 'age-identity'));
  keyLines = [key.private, ...etcdKeys, await readFile(identity.file, 'utf8')].flatMap(bodyOf);

  redis = new Redis({ path: new URL(world.env.redis.url).pathname });
  await redis.config('SET', 'requirepass', SECRETS.redisPassword);
  bot = await world.startBot(await settings());
});

afterAll(async () => {
  // Its connections end before the password does.
  await bot.stop();
  await redis.config('SET', 'requirepass', '');
  redis.disconnect();
  const { nodes } = localCluster(world.env, '3.5');
  for (const node of nodes) {
    // sshd remembers failed logins, and hangs up on us for a while.
    const back = `cat /root/authorized_keys > ${AUTHORIZED}; systemctl restart ssh`;
    await asRootOn(node, ['sh', '-c', back]);
  }
  await world.close();
});

function bodyOf(pem: string): string[] {
  return pem
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length >= 16 && !/^(-----|#)/.test(line));
}

async function secretFile(name: string, value: string): Promise<string> {
  const file = join(world.dir, name);
  await writeFile(file, `${value}\n`, { mode: 0o600 });
  return file;
}

/** A bot that logs all it can, with clusters that work and that don't. */
async function settings(): Promise<Partial<LocalBotSettings>> {
  const { stores } = parse(await readFile(await world.writeConfig(), 'utf8')) as { stores: { s3: object } };
  const keyFile = join(world.dir, 'ssh-key');
  const passphraseFile = await secretFile('passphrase', SECRETS.passphrase);
  const named = (name: string, ssh: object, to = 's3'): object => {
    const section = clusterSection(world.env, 'newer', { attempts: 1, rateLimit: '1MB', stores: [to] });
    return { ...section, name, ssh };
  };
  return {
    clusters: [
      named('well', { keyFile, passphraseFile }),
      named('wrong-s3', { keyFile, passphraseFile }, 'wrong'),
      named('wrong-password', { passwordFile: await secretFile('password', SECRETS.password) }),
      named('wrong-passphrase', { keyFile, passphraseFile: await secretFile('wrong', SECRETS.wrongPassphrase) }),
    ],
    more: {
      redis: {
        url: world.env.redis.url,
        password: { file: await secretFile('redis-password', SECRETS.redisPassword) },
        prefix: `secrets-${run}`,
      },
      stores: {
        s3: stores.s3,
        wrong: { ...stores.s3, secretAccessKey: { file: await secretFile('wrong-s3', SECRETS.wrongS3Secret) } },
      },
      encryption: {
        passphraseFile: await secretFile('snapshots', SECRETS.snapshotPassphrase),
        identityFiles: [identity.file],
      },
      log: { level: 'debug' },
    },
  };
}

/** Where `value` stands in `texts`: as it is, escaped for a URL or JSON, or in base64. */
function found(texts: Readonly<Record<string, string>>, value: string): string[] {
  const base64 = Buffer.from(value).toString('base64').replace(/=+$/, '').slice(0, -1);
  const forms = [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), base64];
  return Object.entries(texts)
    .filter(([, content]) => forms.some((form) => content.includes(form)))
    .map(([name]) => name);
}

function leaks(texts: Readonly<Record<string, string>>, secrets: Readonly<Record<string, string>>): string[] {
  return Object.entries(secrets).flatMap(([name, value]) => found(texts, value).map((where) => `${name} in ${where}`));
}

function allSecrets(): Record<string, string> {
  const keys = Object.fromEntries(keyLines.map((line, i) => [`line ${i} of a private key`, line]));
  return { ...SECRETS, ...keys, s3Secret };
}

async function backup(cluster: string): Promise<string> {
  await world.workspace.runCommand('ada', 'etcd-backups', `/etcd backup ${cluster}`);
  const done = await world.workspace.waitForMessage(
    'etcd-backups',
    ({ text: said }) => said.includes(`*${cluster}*`) && /verified|· failed/.test(said),
    90_000,
  );
  return done.text;
}

/** Every message as the page gets it, each state of an edited one among them, is kept by whoever looks often enough. */
function watchMessages(): { stop(): string } {
  const seen = new Set<string>();
  const look = (): void => {
    for (const channel of ['etcd-backups', 'etcd-alerts'])
      for (const message of world.workspace.messages(channel)) seen.add(JSON.stringify(message));
  };
  const timer = setInterval(look, 20);
  return {
    stop() {
      clearInterval(timer);
      look();
      return [...seen].join('\n');
    },
  };
}

/** The command lines of every process of the machine, those on the local nodes included. */
async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')));
  return lines.join('\n').replaceAll('\0', ' ');
}

function watchProcesses(): { stop(): Promise<string> } {
  const seen = new Set<string>();
  const stopping = new AbortController();
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      for (const line of (await commandLines()).split('\n')) seen.add(line);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await watching;
      return [...seen].join('\n');
    },
  };
}

async function check(file: string): Promise<string> {
  const [program = '', ...args] = tsxArgv('src/main.ts', ['check', '--config', file]);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return out + errors;
}

/** The last bot's configuration, changed. */
async function changedConfig(change: (yaml: string) => string): Promise<string> {
  const file = join(world.dir, 'changed.yaml');
  await writeFile(file, change(await readFile(world.configFile(), 'utf8')));
  return file;
}

test('good and bad operations show no secret: in logs, messages, manifests, checks, or command lines', async () => {
  const messages = watchMessages();
  const processes = watchProcesses();
  expect(await backup('well')).toContain('verified');
  const commands = await processes.stop();

  expect(await backup('wrong-s3')).toContain('the secret key is wrong');
  expect(await backup('wrong-password')).toContain('refused user keyturn with the password in');
  expect(await backup('wrong-passphrase')).toContain('the passphrase does not fit');
  for (const command of ['status well', 'status wrong-password', 'clusters', 'snapshots well', 'snapshots wrong-s3'])
    await world.workspace.runCommand('ada', 'etcd-backups', `/etcd ${command}`);
  await eventually('the last answer', () =>
    world.workspace.messages('etcd-backups').find(({ text: said }) => said.includes('*wrong-s3* · no snapshots')),
  );
  const checked = await check(world.configFile());
  await secretFile('wrong-redis', SECRETS.wrongRedisPassword);
  await secretFile('wrong-token', SECRETS.wrongToken);
  const wrong = await changedConfig((yaml) =>
    yaml
      .replace(join(world.dir, 'redis-password'), join(world.dir, 'wrong-redis'))
      .replace(/\S+slack-bot-token/, join(world.dir, 'wrong-token')),
  );
  const wronglyChecked = await check(wrong);
  // A secret where a reference belongs is a problem that is told without it.
  const pasted = await changedConfig((yaml) =>
    yaml.replace(/botToken:\n\s+file: \S+/, `botToken: ${SECRETS.botToken}`),
  );
  const refused = await check(pasted);

  const texts = {
    log: await bot.log(),
    messages: messages.stop(),
    manifests: await manifests(),
    checked,
    wronglyChecked,
    refused,
    commands,
  };
  // What is there to be found is found.
  expect(found(texts, 'wrong-password')).toEqual(['log', 'messages', 'checked', 'wronglyChecked']);
  expect(found(texts, world.configFile())).toContain('commands');
  expect(texts.commands).toMatch(/^sshd\S*: keyturn/m);
  expect(texts.manifests).toContain('"cluster": "well"');
  expect(texts.wronglyChecked).toMatch(/✗ slack: .*invalid_auth/);
  expect(texts.wronglyChecked).toMatch(/✗ redis: .*WRONGPASS/);
  expect(texts.refused).toContain('slack.botToken');

  expect(Object.keys(allSecrets()).length).toBeGreaterThan(15);
  expect(leaks(texts, allSecrets())).toEqual([]);
});

async function manifests(): Promise<string> {
  const texts: string[] = [];
  for await (const { key } of world.store.list(''))
    if (key.endsWith('.manifest.json')) texts.push(Buffer.from(await world.store.get(key)).toString());
  return texts.join('\n');
}
