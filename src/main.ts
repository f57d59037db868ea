#!/usr/bin/env node
/** Reads the configuration, builds everything, starts and stops it: the only file that knows all. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readAuditStore } from './adapters/audit/copies.ts';
import { checkAuditFolder, readAuditFolder } from './adapters/audit/folder.ts';
import { auditTrail } from './adapters/audit/trail.ts';
import { catalogue } from './adapters/catalogue.ts';
import { repeat, systemClock } from './adapters/clock.ts';
import { cronCalendar, everyMinute } from './adapters/cron.ts';
import { checkCompression, checkEncryption } from './adapters/encoding/check.ts';
import { snapshotCoder } from './adapters/encoding/coder.ts';
import { etcdClient } from './adapters/etcd/client.ts';
import { sudoersFile } from './adapters/etcd/sudoers.ts';
import { apiServers } from './adapters/kubernetes/api-servers.ts';
import { pinoLog, secretRegistry, type SecretRegistry } from './adapters/log.ts';
import { noCodes, oneTimeCodes, sealingKey } from './adapters/one-time-codes.ts';
import { redisConnections } from './adapters/redis/connection.ts';
import { redisRestoreJournal } from './adapters/redis/journal.ts';
import { redisClusterLease } from './adapters/redis/lease.ts';
import { redisOutbox } from './adapters/redis/outbox.ts';
import { redisJobQueue } from './adapters/redis/queue.ts';
import { redisRestoreRequests } from './adapters/redis/restore-requests.ts';
import { redisScrubMemory } from './adapters/redis/scrub-memory.ts';
import { redisSentMessages } from './adapters/redis/sent-messages.ts';
import { redisStepUpRecords } from './adapters/redis/step-up-records.ts';
import { redisTickMemory } from './adapters/redis/tick-memory.ts';
import { detachedSteps, stepSudoers } from './adapters/ssh/detached.ts';
import { sftpStore } from './adapters/ssh/sftp-store.ts';
import { sshShell } from './adapters/ssh/shell.ts';
import { azureBlobStore } from './adapters/stores/azure.ts';
import { folderStore } from './adapters/stores/folder.ts';
import { s3Store } from './adapters/stores/s3.ts';
import { superviseWorker } from './adapters/worker-process.ts';
import { announcer } from './chat/announcer.ts';
import { slackClient, startChat } from './chat/app.ts';
import { checkSlack } from './chat/check.ts';
import { peopleDirectory } from './chat/people.ts';
import { commandLine } from './cli.ts';
import { checkConnections, renderProbe, type Probe } from './commands/check-connections.ts';
import { buildCommands } from './commands/index.ts';
import { etcdProbe, nodeProbes } from './commands/probes.ts';
import { proveAudit, type AuditCopy } from './commands/verify-audit.ts';
import { readConfig, type AzureBlobStoreConfig, type Config, type SecretRef, type StoreConfig } from './config.ts';
import { secretValue, type Role } from './config/secrets.ts';
import { KEEP_EVERYTHING, rulesInWords } from './domain/retention.ts';
import type { RestoreRequest } from './domain/restore-request.ts';
import { handleJob } from './jobs/handle.ts';
import { watchRequests } from './jobs/watch-requests.ts';
import { queueScrub } from './jobs/verify/queue-scrub.ts';
import { queueDueBackups } from './jobs/watch-schedule.ts';
import type { Log, SnapshotStore } from './ports.ts';
import { announceRequest, startRestore } from './restore/announce.ts';
import { audited } from './restore/audited.ts';
import type { RetentionOf } from './retention/look.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Something that was started, and how it is stopped. */
type Stop = () => Promise<void>;

/** How long running backups may take to clear up when the process is told to stop. */
const GRACE_MS = 20_000;
const CHECK_TIMEOUT_MS = 20_000;
/** How often requests that ran out of time, and restores whose starter died, are looked for. */
const REQUESTS_EVERY_MS = 5_000;
/** Who people are is asked again some times, within nine seconds or so. */
const DIRECTORY_RETRIES = 5;

// ── The world ────────────────────────────────────────────────────────────────────────────────────────────────────────

type World = ReturnType<typeof buildWorld>;

function buildWorld(config: Config, logTo: (secrets: SecretRegistry) => Log) {
  const secrets = secretRegistry();
  const log = logTo(secrets);
  const clock = systemClock;
  const stores = config.stores.map((store) => buildStore(store, secrets, config.bastions));
  const storesOf = new Map(config.clusters.map(({ name, backup }) => [name, backup.stores]));
  const connections = redisConnections({ ...config.redis, password: optional(config.redis.password, secrets), log });
  const shell = sshShell({ bastions: config.bastions });
  const steps = detachedSteps();
  const queue = redisJobQueue(connections);
  const outbox = redisOutbox(connections, log);
  const sentMessages = redisSentMessages(connections);
  const auditStore = stores.find(({ name }) => name === config.audit.store);
  const audit = auditTrail({ folder: config.audit.folder, store: auditStore, clock, log });
  const publish = audited(audit, announcer({ sentMessages, outbox, clock }));
  const slack = slackClient(
    { ...config.slack, botToken: reveal(config.slack.botToken, secrets), log },
    DIRECTORY_RETRIES,
  );
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
    scrubMemory: redisScrubMemory(connections),
    scrub: config.scrub,
    requests: redisRestoreRequests(connections),
    journal: redisRestoreJournal(connections),
    shell,
    steps,
    etcd: etcdClient(shell, { steps }),
    apiServers: apiServers(),
    directory: peopleDirectory({ slack, clock, log }),
    storeList: stores,
    stores: new Map(stores.map((store) => [store.name, store])),
    coder: snapshotCoder(config.encryption, { log }),
    catalogue: catalogue(stores, (cluster) => storesOf.get(cluster) ?? []),
    clusters: new Map(config.clusters.map((cluster) => [cluster.name, cluster])),
    audit,
    auditCopies: auditCopies(config, auditStore),
    seal: () => audit.seal(),
    publish,
    announce: (request: RestoreRequest) => announceRequest({ publish, queue }, request),
    retentionOf: retentionOf(config),
  };
}

/** A store's own policy goes before the cluster's; the rest is the cluster's. */
function retentionOf({ clusters, stores }: Config): RetentionOf {
  const ofCluster = new Map(clusters.map(({ name, retention }) => [name, retention]));
  const ofStore = new Map(stores.map(({ name, retention }) => [name, retention]));
  return (cluster, store) => {
    const spec = ofCluster.get(cluster) ?? KEEP_EVERYTHING;
    return { ...spec, policy: ofStore.get(store) ?? spec.policy };
  };
}

/** Where the audit can be read again: on this machine's disk, and in the store that has a copy. */
function auditCopies({ audit: { folder } }: Config, store: SnapshotStore | undefined) {
  const disk: AuditCopy = { name: `disk ${folder}`, read: () => readAuditFolder(folder) };
  return { disk, store: store && { name: `store ${store.name}`, read: () => readAuditStore(store) } };
}

function buildStore(store: StoreConfig, secrets: SecretRegistry, bastions: Config['bastions']): SnapshotStore {
  switch (store.type) {
    case 'folder':
      return folderStore(store, systemClock);
    case 's3': {
      const credentials = store.credentials && {
        accessKeyId: reveal(store.credentials.accessKeyId, secrets),
        secretAccessKey: reveal(store.credentials.secretAccessKey, secrets),
      };
      return s3Store({ ...store, credentials }, systemClock);
    }
    case 'sftp':
      return sftpStore(store, { clock: systemClock, bastions });
    case 'azure-blob':
      return azureBlobStore({ ...store, credentials: azureCredentials(store, secrets) }, systemClock);
  }
}

function azureCredentials({ credentials }: AzureBlobStoreConfig, secrets: SecretRegistry) {
  switch (credentials.kind) {
    case 'key':
      return { ...credentials, accountKey: reveal(credentials.accountKey, secrets) };
    case 'sas': {
      const sasToken = reveal(credentials.sasToken, secrets).replace(/^\?/, '');
      secrets.register(sasToken);
      return { ...credentials, sasToken };
    }
    case 'default':
      return credentials;
  }
}

/** The value behind a reference, which `readConfig` has seen to be there; from here on the log hides it. */
function reveal(ref: SecretRef, secrets: SecretRegistry): string {
  const value = secretValue(ref) ?? '';
  secrets.register(value);
  return value;
}

function optional(ref: SecretRef | undefined, secrets: SecretRegistry): string | undefined {
  return ref === undefined ? undefined : reveal(ref, secrets);
}

// ── keyturn run ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function run(config: Config, role: Role, configFile: string): Promise<void> {
  const world = buildWorld(config, (secrets) => pinoLog(config.log.level, secrets));
  const { log } = world;
  await checkAuditFolder(config.audit.folder);
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
  { log, queue, outbox, connections, audit }: World,
  started: readonly Stop[],
  why: string,
): Promise<void> {
  log.info({ why }, 'stopping');
  for (const stop of [...started].reverse())
    await stop().catch((error: unknown) => log.error({ err: error }, 'a part did not stop well'));
  await Promise.allSettled([queue.close(), outbox.close()]);
  await connections.close();
  await audit.close();
}

async function startWorker(world: World): Promise<Stop> {
  const worker = await world.queue.work(handleJob(world), world.config.worker);
  return () => worker.stop(GRACE_MS);
}

/** Chat, the delivery of messages, and the looks at the schedules and at the restores that wait. */
async function startFront(world: World, stop: (why: string, exitCode: number) => void): Promise<Stop[]> {
  const { config, clock, log, queue } = world;
  const commands = buildCommands({
    ...world,
    clusters: config.clusters,
    people: config.people,
    command: config.slack.command,
    stepUp: { records: redisStepUpRecords(world.connections), codes: codesOf(world) },
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
  const look = async () => {
    await queueDueBackups({ ...world, clusters: config.clusters });
    await queueScrub(world);
  };
  const ticker = everyMinute(look, log);
  await look();
  const startApproved = (request: RestoreRequest) => startRestore({ queue }, request);
  const watcher = repeat(() => watchRequests({ ...world, startRestore: startApproved }), REQUESTS_EVERY_MS, log);
  return [() => chat.stop(), () => ticker.stop(), () => watcher.stop()];
}

function codesOf({ config, secrets }: World) {
  const key = optional(config.stepUpKey, secrets);
  return key === undefined ? noCodes() : oneTimeCodes({ key: sealingKey(key), issuer: 'Keyturn' });
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
  const { config, connections, storeList } = world;
  const deps = { ...world, people: config.people };
  return [
    { name: 'slack', run: () => checkSlack(slackOptions(world)) },
    { name: 'redis', run: () => connections.check() },
    ...config.clusters.flatMap((cluster) => nodeProbes(deps, cluster)),
    ...config.clusters.map((cluster) => etcdProbe(deps, cluster)),
    ...storeList.map((store) => ({ name: `store ${store.name}`, run: (signal: AbortSignal) => store.check(signal) })),
    ...encodingProbes(config),
    ...config.clusters.map(({ name, backup }) => ({
      name: `retention ${name}`,
      run: async () => retentionInWords(name, backup.stores, world.retentionOf),
    })),
    { name: 'audit', run: () => checkAuditFolder(config.audit.folder) },
    ...(config.stepUpKey === undefined ? [] : [{ name: 'one-time codes', run: async () => checkCodes(world) }]),
  ];
}

/** A line for what the configuration asks for, and none for what it does not. */
function encodingProbes({ clusters, encryption }: Config): Probe[] {
  const { recipients, passphraseFile, identityFiles } = encryption;
  const compresses = clusters.some(({ backup }) => backup.compression === 'zstd');
  const encrypts = passphraseFile !== undefined || recipients.length + identityFiles.length > 0;
  return [
    ...(compresses ? [{ name: 'compression', run: checkCompression }] : []),
    ...(encrypts ? [{ name: 'encryption', run: () => checkEncryption(encryption) }] : []),
  ];
}

/** `ceph keeps the last 5, nas keeps everything`. */
function retentionInWords(cluster: string, stores: readonly string[], of: RetentionOf): string {
  const kept = stores.map((store) => ({ store, rules: rulesInWords(of(cluster, store).policy) }));
  if (kept.every(({ rules }) => rules.length === 0)) return 'none configured: everything stays';
  return kept.map(({ store, rules }) => `${store} keeps ${rules.join(', ') || 'everything'}`).join('; ');
}

function checkCodes(world: World): string {
  codesOf(world);
  return 'the key fits';
}

// ── keyturn audit ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Needs neither Redis nor Slack: who looks into the audit may have nothing else. */
async function verifyAudit(config: Config): Promise<boolean> {
  const kept = config.stores.find(({ name }) => name === config.audit.store);
  const { disk, store } = auditCopies(config, kept && buildStore(kept, secretRegistry(), config.bastions));
  const { whole, lines } = await proveAudit(disk, store);
  console.log(lines.join('\n'));
  return whole;
}

commandLine(version, {
  read: (file, reader) => readConfig(file, reader, cronCalendar),
  run,
  check,
  verifyAudit,
  sudoers: ({ user, files, backupsOnly }) => `${sudoersFile(user, files)}${backupsOnly ? '' : stepSudoers(user)}`,
});
