/**
 * One hand of a restore, as a process in the nodes' network: backs up, asks and approves, or works on the job, all by the
 * real adapters. Called as `restore-hand.ts <order in JSON>`; prints what came of it as the last line, in JSON.
 */
import { appendFileSync } from 'node:fs';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { cronCalendar } from '../../src/adapters/cron.ts';
import type { EncryptionOptions } from '../../src/adapters/encoding/keys.ts';
import { etcdClient } from '../../src/adapters/etcd/client.ts';
import { apiServers } from '../../src/adapters/kubernetes/api-servers.ts';
import { redisConnections } from '../../src/adapters/redis/connection.ts';
import { redisRestoreJournal } from '../../src/adapters/redis/journal.ts';
import { redisClusterLease } from '../../src/adapters/redis/lease.ts';
import { redisRestoreRequests } from '../../src/adapters/redis/restore-requests.ts';
import { detachedSteps } from '../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../src/adapters/ssh/shell.ts';
import { folderStore } from '../../src/adapters/stores/folder.ts';
import { approveRestore } from '../../src/commands/review-restore.ts';
import type { ClusterSpec, SshLogin } from '../../src/domain/cluster.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import { startJobId } from '../../src/domain/restore-request.ts';
import type { SnapshotRecord } from '../../src/domain/snapshot.ts';
import type { RestoreDeps } from '../../src/jobs/restore/deps.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import { runBackup } from '../../src/jobs/run-backup.ts';
import { runCleanup } from '../../src/jobs/run-cleanup.ts';
import { planRestore } from '../../src/restore/plan-restore.ts';
import { newestGood } from '../../src/stored/read-snapshots.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { jobContext, silentLog } from '../jobs/world.ts';
import { approvalsWorld } from './approvals.ts';
import { coderOf } from './coder.ts';
import { alice, bob, draft } from './requests.ts';

export interface Order {
  readonly does: 'backup' | 'ask' | 'work' | 'clean-up';
  readonly cluster: ClusterSpec;
  readonly bastions: readonly { readonly name: string; readonly address: string; readonly ssh: SshLogin }[];
  readonly redis: string;
  /** Of the one store. */
  readonly folder: string;
  /** Events are appended to it, a line each. */
  readonly events: string;
  /** The request's id. */
  readonly request: string;
  readonly mode: 'all-members' | 'one-member';
  /** How long it tries to reach a node. */
  readonly patienceMs: number;
  readonly encryption: Partial<EncryptionOptions>;
}

const order = JSON.parse(process.argv[2] ?? '') as Order;
const { cluster } = order;
const connections = redisConnections({ url: order.redis, password: undefined, prefix: 'hand', log: silentLog });
const shell = sshShell({ bastions: order.bastions });
const steps = detachedSteps();
const store = folderStore({ name: 'folder', path: order.folder }, systemClock);
const { directory, people, stepUp } = approvalsWorld();
const requests = redisRestoreRequests(connections);
const log = { ...silentLog, warn: tellError, error: tellError };

function tellError(fields: object, message: string): void {
  const { err } = fields as { readonly err?: Error };
  console.error(message, { ...fields, err: err?.stack ?? err });
}

const deps: RestoreDeps = {
  clusters: new Map([[cluster.name, cluster]]),
  stores: new Map([[store.name, store]]),
  catalogue: catalogue([store], () => [store.name]),
  coder: coderOf(order.encryption),
  etcd: etcdClient(shell, { steps }),
  shell,
  steps,
  journal: redisRestoreJournal(connections),
  lease: redisClusterLease(connections, { ttlMs: 3_000, renewMs: 1_000 }),
  requests,
  apiServers: apiServers(),
  directory,
  publish: async (event) => appendFileSync(order.events, `${JSON.stringify(event)}\n`),
  announce: async () => undefined,
  clock: systemClock,
  log,
  patienceMs: order.patienceMs,
};

async function backUp(): Promise<unknown> {
  const job = { kind: 'backup', id: 'b1', cluster: cluster.name, origin: undefined } as const;
  const asked = { trigger: { kind: 'first' }, askedAt: new Date().toISOString() } as const;
  const queue = fakeJobQueue(systemClock);
  const parts = { ...deps, queue, calendar: cronCalendar, version: '0.0.0' };
  await runBackup({ ...job, ...asked }, jobContext(), parts);
  return newestSnapshot();
}

async function newestSnapshot(): Promise<SnapshotRecord | undefined> {
  return (await newestGood(deps.catalogue, (await deps.catalogue.entries(cluster.name)).entries)).record;
}

async function ask(): Promise<unknown> {
  const newest = await newestSnapshot();
  if (newest === undefined) throw new Error('There is no snapshot.');
  const wish = { spec: cluster, request: order.request, snapshot: newest, mode: order.mode };
  const { signal } = new AbortController();
  const { plan } = await planRestore(deps, { ...wish, foreignSnapshotConfirmed: false }, signal);
  const { groups } = draft().policy;
  const policy = { ...cluster.restore.approvals, groups };
  const opened = openRequest(draft({ plan, policy, now: new Date() }));
  if (opened.kind === 'refused') throw new Error(opened.message);
  await requests.create(opened.request);
  const { id, digest } = opened.request;
  for (const { id: user } of [alice, bob]) {
    await approveRestore({ ...deps, people, stepUp }, { request: id, digest, user });
  }
  return requests.read(id);
}

async function work(): Promise<unknown> {
  const request = await requests.read(order.request);
  if (request === undefined) throw new Error('There is no such request.');
  const job = { kind: 'restore', id: startJobId(request), cluster: cluster.name, request: request.id } as const;
  for (const until = Date.now() + 240_000; Date.now() < until;) {
    const result = await runRestore(job, jobContext(), deps);
    if (result.kind === 'done') break;
    await systemClock.sleep(Math.min(result.afterMs, 1_000));
  }
  return requests.read(order.request);
}

async function cleanUp(): Promise<unknown> {
  const job = { kind: 'cleanup', id: 'cleanup-1', cluster: cluster.name, request: order.request } as const;
  return runCleanup({ ...job, by: alice.id, origin: undefined }, jobContext(), deps);
}

const answer = await { backup: backUp, ask, work, 'clean-up': cleanUp }[order.does]();
await connections.close();
console.log(JSON.stringify(answer));
