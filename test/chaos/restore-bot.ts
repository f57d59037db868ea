/**
 * Owns a bot as chaos with restores runs it: a process of its own in the nodes' network, with the real adapters, told by
 * its parent what to do. At moments that were set for a request it ends itself by SIGKILL, or stands still for a while.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { auditTrail } from '../../src/adapters/audit/trail.ts';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { cronCalendar } from '../../src/adapters/cron.ts';
import { etcdClient } from '../../src/adapters/etcd/client.ts';
import { apiServers } from '../../src/adapters/kubernetes/api-servers.ts';
import { pinoLog, secretRegistry } from '../../src/adapters/log.ts';
import { redisConnections } from '../../src/adapters/redis/connection.ts';
import { redisRestoreJournal } from '../../src/adapters/redis/journal.ts';
import { redisClusterLease } from '../../src/adapters/redis/lease.ts';
import { redisJobQueue } from '../../src/adapters/redis/queue.ts';
import { redisScrubMemory } from '../../src/adapters/redis/scrub-memory.ts';
import { redisRestoreRequests } from '../../src/adapters/redis/restore-requests.ts';
import { detachedSteps } from '../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../src/adapters/ssh/shell.ts';
import { folderStore } from '../../src/adapters/stores/folder.ts';
import { approveRestore, decideRestore } from '../../src/commands/review-restore.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import type { Decision } from '../../src/domain/restore-request.ts';
import { handleJob, type JobDeps } from '../../src/jobs/handle.ts';
import { runBackup } from '../../src/jobs/run-backup.ts';
import type { Clock, RestoreJournal, StepRunner } from '../../src/ports.ts';
import { announceRequest } from '../../src/restore/announce.ts';
import { audited } from '../../src/restore/audited.ts';
import { planRestore } from '../../src/restore/plan-restore.ts';
import { newestGood } from '../../src/stored/read-snapshots.ts';
import { jobContext } from '../jobs/world.ts';
import { coderOf } from '../support/coder.ts';
import { approvalsWorld } from '../support/approvals.ts';
import { alice, bob, done, draft } from '../support/requests.ts';
import type { Moment } from './restore-moments.ts';

export interface BotSettings {
  readonly role: 'desk' | 'worker';
  readonly cluster: ClusterSpec;
  readonly redis: { readonly url: string; readonly prefix: string };
  /** Of the one store. */
  readonly store: string;
  readonly audit: string;
  /** What is set for a request lies here as `<request>.json`. */
  readonly orders: string;
}

/** What is set for a request. */
export interface Orders {
  /** Where a process that carries it out dies, once at each. */
  readonly dies?: readonly Moment[] | undefined;
  /** This step's script fails at once, in every process. */
  readonly fails?: string | undefined;
  /** Here the process stands still: `<request>.stands` is there then, and it goes on when `<request>.goes` is. */
  readonly stands?: Moment | undefined;
  /**
   * From there on its clock is so many times as fast, so that patience of minutes ends in seconds. What nodes do has its
   * own time.
   */
  readonly haste?: number | undefined;
}

export interface Call {
  readonly id: number;
  readonly method: 'backUp' | 'ask' | 'decide';
  readonly args: readonly string[];
}

const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as BotSettings;
const { cluster } = settings;

/**
 * Times for tests: one that died is known to be dead after two seconds or so instead of fifteen.
 * They are what `redisClusterLease` and `redisJobQueue` take for it.
 */
const LEASE = { ttlMs: 2_000, renewMs: 500 };
const QUEUE = { lockMs: 2_500, stalledMs: 500 };

const log = pinoLog('info', secretRegistry());
let hasty = { since: Date.now(), haste: 1 };
const clock: Clock = {
  ...systemClock,
  now: () => new Date(hasty.since + (Date.now() - hasty.since) * hasty.haste),
};
const connections = redisConnections({ ...settings.redis, password: undefined, log });
const shell = sshShell({ bastions: [] });
const store = folderStore({ name: 'folder', path: settings.store }, systemClock);
const queue = redisJobQueue(connections, QUEUE);
const requests = redisRestoreRequests(connections);
const audit = auditTrail({ folder: settings.audit, store: undefined, clock: systemClock, log });
const publish = audited(audit, async () => undefined);
const steps = stepsThat(detachedSteps());
const { directory, people, stepUp } = approvalsWorld();

const deps: JobDeps = {
  clusters: new Map([[cluster.name, cluster]]),
  stores: new Map([[store.name, store]]),
  catalogue: catalogue([store], () => [store.name]),
  coder: coderOf(),
  calendar: cronCalendar,
  etcd: etcdClient(shell, { steps }),
  shell,
  steps,
  journal: journalThat(redisRestoreJournal(connections)),
  lease: redisClusterLease(connections, LEASE),
  queue,
  requests,
  apiServers: apiServers(),
  directory,
  publish,
  announce: (request) => announceRequest({ publish, queue }, request),
  clock,
  log,
  version: '0.0.0',
  retentionOf: () => cluster.retention,
  scrubMemory: redisScrubMemory(connections),
  scrub: { enabled: false, everyMs: 30 * 86_400_000, rateLimit: 20_000_000 },
};

function ordersOf(request: string): Orders {
  try {
    return JSON.parse(readFileSync(join(settings.orders, `${request}.json`), 'utf8')) as Orders;
  } catch {
    return {};
  }
}

/**
 * SIGKILL can't be caught, and the call does not return: not a line of this program runs after it, and nothing is sent that
 * was not handed to the kernel before. So it is what a kill from outside does that hits exactly here. Whoever comes first
 * makes the folder, so the process that goes on lives through the same moment.
 */
function dieAt(request: string, at: Moment): void {
  const { dies = [] } = ordersOf(request);
  const n = dies.findIndex((each) => isSame(each, at));
  if (n < 0) return;
  try {
    mkdirSync(join(settings.orders, `${request}.died.${n}`));
  } catch {
    return;
  }
  process.kill(process.pid, 'SIGKILL');
}

function isSame(one: Moment, other: Moment): boolean {
  return one.step === other.step && one.doing === other.doing && one.edge === other.edge;
}

async function meet(request: string, at: Moment): Promise<void> {
  await standAt(request, at);
  dieAt(request, at);
}

async function standAt(request: string, at: Moment): Promise<void> {
  const { stands, haste = 1 } = ordersOf(request);
  if (stands === undefined || !isSame(stands, at)) return;
  await writeFile(join(settings.orders, `${request}.stands`), '');
  while (!existsSync(join(settings.orders, `${request}.goes`))) await systemClock.sleep(50);
  hasty = { since: Date.now(), haste };
}

function journalThat(journal: RestoreJournal): RestoreJournal {
  return {
    ...journal,
    async append(request, token, event) {
      const isOfStep = event.type === 'step.begun' || event.type === 'step.ended';
      const which = event.type === 'step.begun' ? 'begun' : 'ended';
      if (isOfStep) await meet(request, { step: event.step, doing: event.doing, edge: `before ${which}` });
      await journal.append(request, token, event);
      if (isOfStep) await meet(request, { step: event.step, doing: event.doing, edge: `after ${which}` });
    },
  };
}

/** Each script also writes its id down on the node when it is run, apart from the step's own record. */
function stepsThat(runner: StepRunner): StepRunner {
  return {
    on(connection, restore) {
      const inner = runner.on(connection, restore);
      const { request } = restore;
      return {
        ...inner,
        async start(run, script, options) {
          const { fails } = ordersOf(request);
          const body = fails === run ? 'echo this one is made to fail >&2; exit 7' : script;
          const marked = `echo ${run} >> /var/log/ran-${request}\n${body}`;
          const report = await inner.start(run, marked, options);
          const [phase = '', node = '', doing] = run.split('.');
          await meet(request, {
            step: `${phase}.${node}`,
            doing: doing === 'undo' ? 'undo' : 'do',
            edge: 'while it runs',
          });
          return report;
        },
      };
    },
  };
}

const calls: Record<Call['method'], (...args: string[]) => Promise<unknown>> = {
  async backUp() {
    const job = { kind: 'backup', id: 'b1', cluster: cluster.name, origin: undefined } as const;
    await runBackup({ ...job, trigger: { kind: 'first' }, askedAt: new Date().toISOString() }, jobContext(), deps);
    return (await newestSnapshot()).id;
  },
  /** Asks for a restore of the newest snapshot, and has it approved twice. */
  async ask(id = '') {
    const wish = { spec: cluster, request: id, snapshot: await newestSnapshot(), mode: 'all-members' } as const;
    const { signal } = new AbortController();
    const { plan } = await planRestore(deps, { ...wish, foreignSnapshotConfirmed: false }, signal);
    const day = 24 * 3_600_000;
    const policy = { ...draft().policy, expiresMs: day };
    const request = done(openRequest(draft({ plan, policy, now: new Date() })));
    await requests.create(request);
    for (const { id: user } of [alice, bob])
      await approveRestore(review, { request: id, digest: request.digest, user });
    return requests.read(id);
  },
  async decide(request = '', what = '') {
    return decideRestore(review, { request, user: alice.id, what: what as Decision });
  },
};

const review = { ...deps, people, stepUp };

async function newestSnapshot() {
  const { record } = await newestGood(deps.catalogue, (await deps.catalogue.entries(cluster.name)).entries);
  if (record === undefined) throw new Error('There is no snapshot.');
  return record;
}

process.on('message', ({ id, method, args }: Call) => {
  calls[method](...args).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
  );
});
// The parent is gone, or wants us to go.
process.on('disconnect', () => process.exit(0));
process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'));
if (settings.role === 'worker') await queue.work(handleJob(deps), { concurrency: 2 });
process.send?.({ id: 0, value: 'up' });
