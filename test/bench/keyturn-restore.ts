/**
 * Restores as Keyturn's worker carries them out, one after the other in a process of their own: asked for and approved in
 * Redis, audited to disk, told to the outbox. The argument is JSON of a `RestoreBench`; each line of stdin is a request's
 * id, answered with a line of JSON of its `RestoreTimes`.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { auditTrail } from '../../src/adapters/audit/trail.ts';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { etcdClient } from '../../src/adapters/etcd/client.ts';
import { apiServers } from '../../src/adapters/kubernetes/api-servers.ts';
import { redisConnections } from '../../src/adapters/redis/connection.ts';
import { redisRestoreJournal } from '../../src/adapters/redis/journal.ts';
import { redisClusterLease } from '../../src/adapters/redis/lease.ts';
import { redisOutbox } from '../../src/adapters/redis/outbox.ts';
import { redisRestoreRequests } from '../../src/adapters/redis/restore-requests.ts';
import { redisSentMessages } from '../../src/adapters/redis/sent-messages.ts';
import { detachedSteps } from '../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../src/adapters/ssh/shell.ts';
import { s3Store, type S3StoreOptions } from '../../src/adapters/stores/s3.ts';
import { announcer } from '../../src/chat/announcer.ts';
import { approveRestore } from '../../src/commands/review-restore.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import type { RestoreReport } from '../../src/domain/restore-report.ts';
import { reportOf } from '../../src/domain/restore-report.ts';
import { startJobId } from '../../src/domain/restore-request.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import type { RestoreDeps } from '../../src/jobs/restore/deps.ts';
import type { Log } from '../../src/ports.ts';
import { announceRequest } from '../../src/restore/announce.ts';
import { audited } from '../../src/restore/audited.ts';
import { planRestore } from '../../src/restore/plan-restore.ts';
import { newestGood } from '../../src/stored/read-snapshots.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { coderOf } from '../support/coder.ts';
import { approvalsWorld } from '../support/approvals.ts';
import { alice, APPROVERS, bob, draft } from '../support/requests.ts';
import { peakMemoryOf } from './results.ts';

export interface RestoreBench {
  readonly cluster: ClusterSpec;
  readonly store: S3StoreOptions;
  readonly redisUrl: string;
  readonly auditFolder: string;
}

export interface RestoreTimes {
  /** From the job's start to its end, milliseconds. */
  readonly totalMs: number;
  readonly report: RestoreReport;
  /** The most memory that the process ever had, in bytes. */
  readonly peakMemory: number;
}

const { cluster, store, redisUrl, auditFolder } = JSON.parse(process.argv[2] ?? '', (_, value: unknown) =>
  value === null ? undefined : value,
) as RestoreBench;

const log: Log = { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error };
const clock = systemClock;
const s3 = s3Store(store, clock);
const connections = redisConnections({ url: redisUrl, password: undefined, prefix: 'bench', log });
const shell = sshShell({ bastions: [] });
const steps = detachedSteps();
const audit = auditTrail({ folder: auditFolder, store: s3, clock, log });
const outbox = redisOutbox(connections, log);
const publish = audited(audit, announcer({ sentMessages: redisSentMessages(connections), outbox, clock }));
const queue = fakeJobQueue(clock);
const people = approvalsWorld();
const deps: RestoreDeps = {
  clusters: new Map([[cluster.name, cluster]]),
  stores: new Map([[s3.name, s3]]),
  catalogue: catalogue([s3], () => [s3.name]),
  coder: coderOf(),
  etcd: etcdClient(shell, { steps }),
  shell,
  steps,
  journal: redisRestoreJournal(connections),
  lease: redisClusterLease(connections),
  requests: redisRestoreRequests(connections),
  apiServers: apiServers(),
  directory: people.directory,
  publish,
  announce: (request) => announceRequest({ publish, queue }, request),
  clock,
  log,
  seal: () => audit.seal(),
};

/** Asked for and approved by two, as it stands in Redis when a worker takes it up. */
async function approved(id: string) {
  const { signal } = new AbortController();
  const snapshot = (await newestGood(deps.catalogue, (await deps.catalogue.entries(cluster.name)).entries)).record;
  if (snapshot === undefined) throw new Error('There is no snapshot.');
  const wish = { spec: cluster, request: id, snapshot, mode: 'all-members', foreignSnapshotConfirmed: false } as const;
  const { plan } = await planRestore(deps, wish, signal);
  const policy = { ...cluster.restore.approvals, groups: [APPROVERS] };
  const opened = openRequest(draft({ plan, policy, now: clock.now() }));
  if (opened.kind !== 'ok') throw new Error(opened.message);
  const { request } = opened;
  await deps.requests.create(request);
  for (const { id: user } of [alice, bob]) {
    const answer = await approveRestore({ ...people, ...deps }, { request: id, digest: request.digest, user });
    if (answer.kind !== 'changed') throw new Error(answer.problem.message);
  }
  return request;
}

async function restore(id: string): Promise<RestoreTimes> {
  const request = await approved(id);
  const started = performance.now();
  const startedAt = clock.now().toISOString();
  const result = await runRestore(
    { kind: 'restore', id: startJobId(request), cluster: cluster.name, request: id },
    { attempt: 1, attempts: 1, signal: new AbortController().signal, remembered: [], remember: async () => undefined },
    deps,
  );
  const totalMs = performance.now() - started;
  const report = reportOf(request.plan, startedAt, await deps.journal.read(id));
  if (result.kind !== 'done' || report.outcome !== 'restored')
    throw new Error(`It ended ${report.outcome}: ${report.reason}`);
  return { totalMs, report, peakMemory: peakMemoryOf(readFileSync('/proc/self/status', 'utf8')) };
}

for await (const line of createInterface(process.stdin)) console.log(JSON.stringify(await restore(line)));
process.exit(0);
