/** Owns the bot as tests run it: the real program, in its own processes, against the local parts and a workspace of the test's own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, readFile, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsxArgv, writeBotConfig, type LocalBotSettings } from '../../deploy/local/bot.ts';
import { startWorkspace, type Workspace, type WorkspaceOptions } from '../../deploy/local/workspace/server.ts';
import { sftpStore } from '../../src/adapters/ssh/sftp-store.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { localEnv, type LocalEnv } from './local-env.ts';
import { sftpOptions } from './sftp-server.ts';

export interface Bot {
  readonly process: ChildProcess;
  /** Everything that it and its worker wrote so far. */
  log(): Promise<string>;
  /** Pid of the worker process now; waits until there is one other than `before`. */
  workerPid(before?: number): Promise<number>;
  /** Ends it in order; safe twice. */
  stop(): Promise<void>;
  kill9(): Promise<void>;
}

export interface World {
  readonly env: LocalEnv;
  readonly dir: string;
  readonly workspace: Workspace;
  /** The store that the bots write to; each world has a prefix of its own. */
  readonly store: SnapshotStore;
  /** The second one, to which only clusters that the world configures by itself are backed up. */
  readonly offsite: SnapshotStore;
  /** Where the configuration of the last bot stands. */
  configFile(): string;
  /** Writes the configuration of a bot that is not started here; its path. */
  writeConfig(change?: Partial<LocalBotSettings>): Promise<string>;
  /** Starts one more bot with this configuration, by the program `through` when one is given; resolves when it is up. */
  startBot(change?: Partial<LocalBotSettings>, through?: readonly string[]): Promise<Bot>;
  /** Ends every bot and the workspace. */
  close(): Promise<void>;
}

let worlds = 0;

/** A workspace and, in Redis, S3 and SFTP, a corner of its own. */
export async function startWorld(options: { readonly workspace?: WorkspaceOptions } = {}): Promise<World> {
  const env = localEnv();
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-test-'));
  const workspace = await startWorkspace(options.workspace);
  const corner = `t${process.pid}-${(worlds += 1)}`;
  const offsite = await makeOffsite(env, corner);
  const bots: Bot[] = [];
  let started = 0;
  let configFile = '';
  const writeConfig: World['writeConfig'] = async (change = {}) => {
    const settings = { ...settingsOf({ ...env, sftp: offsite }, workspace, join(dir, 'bot'), corner), ...change };
    return (configFile = await writeBotConfig(settings));
  };
  return {
    env,
    dir,
    workspace,
    store: storeOf(env, corner),
    offsite: sftpStore(sftpOptions(offsite), { clock: systemClock, bastions: [] }),
    configFile: () => configFile,
    writeConfig,
    async startBot(change, through = []) {
      await writeConfig(change);
      const bot = await startBot(configFile, join(dir, `bot-${(started += 1)}.log`), through);
      bots.push(bot);
      return bot;
    },
    async close() {
      await Promise.all(bots.map((bot) => bot.stop()));
      await workspace.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The cluster of the local parts, as the bot's configuration names it; backed up to S3 alone unless `backup` has others. */
export function clusterSection(env: LocalEnv, name: string, backup: object = {}): object {
  const cluster = env.clusters.find((each) => each.name === name);
  if (cluster === undefined) throw new Error(`no local cluster ${name}`);
  return {
    name,
    nodes: cluster.nodes.map((node) => ({ name: node.name, address: node.address, ssh: { hostKey: node.hostKey } })),
    backup: { stores: ['s3'], ...backup },
  };
}

function settingsOf(env: LocalEnv, { apiUrl, tokens, ids }: Workspace, dir: string, corner: string): LocalBotSettings {
  const channel = (name: string): string => ids.channels[name] ?? '';
  return {
    dir,
    slack: {
      apiUrl,
      tokens,
      channels: { results: channel('etcd-backups'), alerts: channel('etcd-alerts') },
      oncall: ids.groups['oncall'] ?? '',
    },
    redisUrl: env.redis.url,
    redisPrefix: corner,
    s3Endpoint: env.s3.endpoint,
    s3Prefix: corner,
    offsite: env.sftp,
    operators: [ids.groups['etcd-admins'] ?? ''],
    ssh: env.ssh,
    clusters: env.clusters.map((cluster) => clusterSection(env, cluster.name, { stores: ['s3', 'offsite'] })),
  };
}

/** A folder of the corner's own on the SFTP server. */
async function makeOffsite({ sftp }: LocalEnv, corner: string): Promise<LocalEnv['sftp']> {
  const folder = join(sftp.folder, corner);
  await mkdir(folder);
  const { uid, gid } = await stat(sftp.folder);
  await chown(folder, uid, gid);
  return { ...sftp, folder, path: `${sftp.path}/${corner}` };
}

function storeOf({ s3 }: LocalEnv, prefix: string): SnapshotStore {
  return s3Store(
    {
      name: 's3',
      endpoint: s3.endpoint,
      region: 'us-east-1',
      bucket: s3.bucket,
      prefix,
      forcePathStyle: true,
      allowPlainHttp: true,
      caFile: undefined,
      credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
    },
    systemClock,
  );
}

async function startBot(configFile: string, logFile: string, through: readonly string[]): Promise<Bot> {
  await mkdir(join(configFile, '..'), { recursive: true });
  const log = await open(logFile, 'a');
  const [program = '', ...args] = [...through, ...tsxArgv('src/main.ts', ['run', '--config', configFile])];
  const child = spawn(program, args, { stdio: ['ignore', log.fd, log.fd, 'ipc'] });
  await log.close();
  const ended = once(child, 'exit');
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  const up = await Promise.race([once(child, 'message').then(() => true), ended.then(() => false)]);
  if (!up) throw new Error(`the bot did not come up:\n${await readFile(logFile, 'utf8')}`);
  return {
    process: child,
    log: () => readFile(logFile, 'utf8'),
    workerPid: (before) => workerOf(child.pid ?? 0, before),
    stop: () => end('SIGTERM'),
    kill9: () => end('SIGKILL'),
  };
}

async function workerOf(pid: number, before: number | undefined): Promise<number> {
  for (let i = 0; i < 600; i++) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    for (const child of children.trim().split(' ').map(Number)) {
      const argv = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
      if (child !== before && argv.includes('--role\0worker')) return child;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no worker process under ${pid}`);
}

/** Asks again and again until `look` answers; throws with `what` after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > until) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
