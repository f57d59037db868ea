#!/usr/bin/env node
/** Reads the configuration, builds everything, starts and stops it: the only file that knows all. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { parse } from 'yaml';
import { catalogue } from './adapters/catalogue.ts';
import { systemClock } from './adapters/clock.ts';
import { cronCalendar, everyMinute } from './adapters/cron.ts';
import { etcdClient } from './adapters/etcd/client.ts';
import { sudoersFile } from './adapters/etcd/sudoers.ts';
import { pinoLog, secretRegistry, type SecretRegistry } from './adapters/log.ts';
import { redisConnections } from './adapters/redis/connection.ts';
import { redisClusterLease } from './adapters/redis/lease.ts';
import { redisOutbox } from './adapters/redis/outbox.ts';
import { redisJobQueue } from './adapters/redis/queue.ts';
import { redisSentMessages } from './adapters/redis/sent-messages.ts';
import { redisTickMemory } from './adapters/redis/tick-memory.ts';
import { detachedSteps } from './adapters/ssh/detached.ts';
import { sshShell } from './adapters/ssh/shell.ts';
import { folderStore } from './adapters/stores/folder.ts';
import { s3Store } from './adapters/stores/s3.ts';
import { superviseWorker } from './adapters/worker-process.ts';
import { announcer } from './chat/announcer.ts';
import { startChat } from './chat/app.ts';
import { checkSlack } from './chat/check.ts';
import { checkConnections, renderProbe, type Probe } from './commands/check-connections.ts';
import { buildCommands } from './commands/index.ts';
import { parseConfig, renderProblem, type Config, type SecretRef, type StoreConfig } from './config.ts';
import { renderMissingSecret, secretRefs, type Role } from './config/secrets.ts';
import { KeyturnError } from './domain/error.ts';
import { handleJob } from './jobs/handle.ts';
import { queueDueBackups } from './jobs/watch-schedule.ts';
import type { Log, SnapshotStore } from './ports.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Something that was started, and how it is stopped. */
type Stop = () => Promise<void>;

/** How long running backups may take to clear up when the process is told to stop. */
const GRACE_MS = 20_000;
const CHECK_TIMEOUT_MS = 20_000;

// ── The world ────────────────────────────────────────────────────────────────────────────────────────────────────────

type World = ReturnType<typeof buildWorld>;

function buildWorld(config: Config, logTo: (secrets: SecretRegistry) => Log) {
  const secrets = secretRegistry();
  const log = logTo(secrets);
  const clock = systemClock;
  const stores = config.stores.map((store) => buildStore(store, secrets));
  const storesOf = new Map(config.clusters.map(({ name, backup }) => [name, backup.stores]));
  const connections = redisConnections({ ...config.redis, password: optional(config.redis.password, secrets), log });
  const shell = sshShell({ bastions: config.bastions });
  const queue = redisJobQueue(connections);
  const outbox = redisOutbox(connections, log);
  const sentMessages = redisSentMessages(connections);
  return {
    config,
    secrets,
    log,
    clock,
    version,
    calendar: cronCalendar,
    connections,
    lease: redisClusterLease(connections),
    queue,
    outbox,
    sentMessages,
    ticks: redisTickMemory(connections),
    shell,
    etcd: etcdClient(shell, { steps: detachedSteps() }),
    storeList: stores,
    stores: new Map(stores.map((store) => [store.name, store])),
    catalogue: catalogue(stores, (cluster) => storesOf.get(cluster) ?? []),
    clusters: new Map(config.clusters.map((cluster) => [cluster.name, cluster])),
    publish: announcer({ sentMessages, outbox, clock }),
  };
}

function buildStore(store: StoreConfig, secrets: SecretRegistry): SnapshotStore {
  if (store.type === 'folder') return folderStore(store, systemClock);
  const credentials = store.credentials && {
    accessKeyId: reveal(store.credentials.accessKeyId, secrets),
    secretAccessKey: reveal(store.credentials.secretAccessKey, secrets),
  };
  return s3Store({ ...store, credentials }, systemClock);
}

/** The value behind a reference, which `readConfig` has seen to be there; from here on the log hides it. */
function reveal(ref: SecretRef, secrets: SecretRegistry): string {
  const value = secretValue(ref) ?? '';
  secrets.register(value);
  return value;
}

/** Undefined when there is none; an empty one counts as none. */
function secretValue(ref: SecretRef): string | undefined {
  try {
    const value = 'env' in ref ? process.env[ref.env] : readFileSync(ref.file, 'utf8').trim();
    return value === '' ? undefined : value;
  } catch {
    return undefined;
  }
}

function optional(ref: SecretRef | undefined, secrets: SecretRegistry): string | undefined {
  return ref === undefined ? undefined : reveal(ref, secrets);
}

// ── keyturn run ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function run(config: Config, role: Role, configFile: string): Promise<void> {
  const world = buildWorld(config, (secrets) => pinoLog(config.log.level, secrets));
  const { log } = world;
  const started: Stop[] = [];
  let stopping: Promise<void> | undefined;
  const stop = (why: string, exitCode: number): void => {
    stopping ??= stopAll(world, started, why).then(() => process.exit(exitCode));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop(signal, 0));
  // A worker started by `keyturn run` goes when its parent goes, also when that was before it could listen for it.
  process.on('disconnect', () => stop('the parent process is gone', 0));
  if (process.send !== undefined && !process.connected) {
    stop('the parent process is gone', 0);
    return;
  }
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'));

  if (role !== 'chat') started.push(role === 'all' ? superviseWorker(configFile, log) : await startWorker(world));
  if (role !== 'worker') started.push(...(await startFront(world, stop)));
  log.info({ version, role, clusters: config.clusters.length }, 'keyturn is up');
  // Whoever started us as a child may wait for this.
  process.send?.('up');
}

async function stopAll(
  { log, queue, outbox, connections }: World,
  started: readonly Stop[],
  why: string,
): Promise<void> {
  log.info({ why }, 'stopping');
  for (const stop of [...started].reverse())
    await stop().catch((error: unknown) => log.error({ err: error }, 'a part did not stop well'));
  await Promise.allSettled([queue.close(), outbox.close()]);
  await connections.close();
}

async function startWorker(world: World): Promise<Stop> {
  const worker = await world.queue.work(handleJob(world), world.config.worker);
  return () => worker.stop(GRACE_MS);
}

/** Chat, the delivery of messages, and the look at the schedules. */
async function startFront(world: World, stop: (why: string, exitCode: number) => void): Promise<Stop[]> {
  const { config, clock, log } = world;
  const commands = buildCommands({
    ...world,
    clusters: config.clusters,
    people: config.people,
    command: config.slack.command,
    nonce: () => randomBytes(3).toString('hex'),
  });
  const chat = await startChat({
    ...slackOptions(world),
    commands,
    outbox: world.outbox,
    sentMessages: world.sentMessages,
    clock,
    onDead: (reason) => stop(reason, 1),
  });
  const look = () => queueDueBackups({ ...world, clusters: config.clusters });
  const ticker = everyMinute(look, log);
  await look();
  return [() => chat.stop(), () => ticker.stop()];
}

function slackOptions({ config, secrets, log }: World) {
  const { mode, command, channels, oncall, botToken, appToken, signingSecret, port, apiUrl } = config.slack;
  const transport =
    mode === 'socket'
      ? { mode, appToken: optional(appToken, secrets) ?? '' }
      : { mode, signingSecret: optional(signingSecret, secrets) ?? '', port };
  return {
    transport,
    command,
    channels,
    oncall,
    apiUrl,
    botToken: reveal(botToken, secrets),
    people: config.people,
    log,
  };
}

// ── keyturn check ────────────────────────────────────────────────────────────────────────────────────────────────────

async function check(config: Config): Promise<boolean> {
  // One line a connection is all that it prints; what nobody foresaw goes to standard error.
  const world = buildWorld(config, (secrets) => pinoLog('error', secrets, process.stderr));
  let good = true;
  for await (const result of checkConnections(probesOf(world), { ...world, timeoutMs: CHECK_TIMEOUT_MS })) {
    console.log(renderProbe(result));
    good &&= result.problem === undefined;
  }
  await Promise.allSettled([world.queue.close(), world.outbox.close()]);
  await world.connections.close();
  return good;
}

function probesOf(world: World): Probe[] {
  const { config, connections, shell, etcd, storeList } = world;
  return [
    { name: 'slack', run: () => checkSlack(slackOptions(world)) },
    { name: 'redis', run: () => connections.check() },
    ...config.clusters.flatMap((cluster) =>
      cluster.nodes.map((node) => ({
        name: `node ${cluster.name}/${node.name}`,
        run: async (signal: AbortSignal) => {
          const connection = await shell.connect(node, signal);
          await connection.close();
          return `logged in as ${node.ssh.user} at ${node.address}`;
        },
      })),
    ),
    ...config.clusters.map((cluster) => ({
      name: `etcd ${cluster.name}`,
      run: async (signal: AbortSignal) => {
        const session = await etcd.open(cluster, signal);
        try {
          return describeEtcd(await session.status());
        } finally {
          await session.close();
        }
      },
    })),
    ...storeList.map((store) => ({ name: `store ${store.name}`, run: (signal: AbortSignal) => store.check(signal) })),
  ];
}

function describeEtcd({
  members,
  leader,
}: Awaited<ReturnType<Awaited<ReturnType<World['etcd']['open']>>['status']>>): string {
  const well = members.filter((member) => member.problem === undefined);
  const versions = [...new Set(well.map((member) => member.version))].join(', ');
  const leading = members.find((member) => member.id === leader)?.name ?? 'none';
  if (leader === undefined || well.length < members.length)
    throw new KeyturnError(
      leader === undefined ? 'etcd.no-leader' : 'etcd.unreachable',
      `${well.length} of ${members.length} members answer, leader ${leading}.`,
      {
        hint:
          members.map((member) => member.problem?.message).find((message) => message !== undefined) ??
          'Look at its logs.',
      },
    );
  return `etcd ${versions}, ${members.length} members, leader ${leading}`;
}

// ── The command line ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Exit codes: 1 something does not work, 2 the configuration is wrong. */
const WRONG_CONFIG = 2;

function readConfig(file: string, role: Role): Config {
  const problems = (lines: readonly string[]): never => {
    console.error([`${file}: ${lines.length === 1 ? 'a problem' : `${lines.length} problems`}`, ...lines].join('\n  '));
    process.exit(WRONG_CONFIG);
  };
  let raw: unknown;
  try {
    raw = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    return problems([`can't be read: ${(error as Error).message}`]);
  }
  const parsed = parseConfig(raw, cronCalendar);
  if (!parsed.ok) return problems(parsed.problems.map(renderProblem));
  const missing = secretRefs(parsed.config, role).filter(({ ref }) => secretValue(ref) === undefined);
  return missing.length === 0 ? parsed.config : problems(missing.map(renderMissingSecret));
}

const configOption = () =>
  new Option('-c, --config <file>', 'the configuration').env('KEYTURN_CONFIG').makeOptionMandatory();

const program = new Command('keyturn')
  .description('Backs up the etcd of Kubernetes clusters, from Slack.')
  .version(version);

program
  .command('run', { isDefault: true })
  .description('runs the bot until it is told to stop')
  .addOption(configOption())
  .addOption(new Option('--role <role>', 'which half to run').choices(['all', 'chat', 'worker']).default('all'))
  .action(async ({ config, role }: { config: string; role: Role }) => run(readConfig(config, role), role, config));

program
  .command('check')
  .description('validates the configuration and tries every connection, one line each')
  .addOption(configOption())
  .action(async ({ config }: { config: string }) => {
    process.exitCode = (await check(readConfig(config, 'all'))) ? 0 : 1;
  });

program
  .command('sudoers')
  .description('prints what /etc/sudoers.d/keyturn on the nodes has to allow for backups')
  .option('--user <name>', 'the login on the nodes', 'keyturn')
  .option('--files <paths...>', "etcd's CA, certificate, key and manifest, where they are not kubeadm's")
  .action(({ user, files }: { user: string; files?: string[] }) => {
    process.stdout.write(sudoersFile(user, files));
  });

program.parseAsync().catch((error: unknown) => {
  if (!(error instanceof KeyturnError)) throw error;
  console.error(`${error.message} ${error.hint}`);
  process.exit(error.code === 'config.invalid' ? WRONG_CONFIG : 1);
});
