/** A world of fakes for tests of jobs: one cluster, two stores, and all that was told. */
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { BackupJob } from '../../src/domain/job.ts';
import type { BackupDeps } from '../../src/jobs/run-backup.ts';
import type { CronCalendar, JobContext, Log } from '../../src/ports.ts';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { fakeEtcd, type FakeEtcdOptions } from '../fakes/etcd-client.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { memoryStore } from '../fakes/memory-store.ts';
import { coderOf } from '../support/coder.ts';
import { restorePolicy, retentionSpec } from '../support/specs.ts';

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Fires on the hour. */
export const hourly: CronCalendar = {
  next: (_expression, _zone, after) => new Date((Math.floor(after.getTime() / 3_600_000) + 1) * 3_600_000),
  previous: (_expression, _zone, at) => new Date(Math.floor(at.getTime() / 3_600_000) * 3_600_000),
};

export function clusterSpec(change: Partial<ClusterSpec['backup']> = {}, name = 'prod-eu'): ClusterSpec {
  return {
    name,
    nodes: ['cp1', 'cp2', 'cp3'].map((node) => ({
      name: node,
      address: node,
      become: 'sudo',
      ssh: { user: 'keyturn', port: 22, hostKeys: [], auth: { kind: 'key', keyFile: '/k' } },
    })),
    backup: {
      schedule: '0 * * * *',
      timezone: 'UTC',
      stores: ['ceph', 'nas'],
      rpoMs: 7_200_000,
      timeoutMs: 900_000,
      stallTimeoutMs: 10_000,
      rateLimit: undefined,
      compression: 'none',
      attempts: 3,
      ...change,
    },
    retention: retentionSpec(),
    restore: restorePolicy(),
  };
}

export function fakeWorld(etcdOptions: FakeEtcdOptions = {}, spec = clusterSpec()) {
  const clock = fakeClock();
  const ceph = memoryStore('ceph', clock);
  const nas = memoryStore('nas', clock);
  const stores = [ceph, nas];
  const events: KeyturnEvent[] = [];
  const lease = fakeClusterLease();
  const queue = fakeJobQueue(clock);
  const etcd = fakeEtcd(etcdOptions);
  const deps = {
    clusters: new Map([[spec.name, spec]]),
    stores: new Map(stores.map((store) => [store.name, store])),
    etcd,
    lease,
    queue,
    catalogue: catalogue(stores, () => spec.backup.stores),
    coder: coderOf(),
    calendar: hourly,
    publish: async (event) => void events.push(event),
    clock,
    log: silentLog,
    version: '0.0.0',
  } satisfies BackupDeps;
  return { deps, clock, ceph, nas, stores, events, lease, queue, etcd, spec };
}

export const job: BackupJob = {
  kind: 'backup',
  id: 'backup-prod-eu-20261121T0600Z',
  cluster: 'prod-eu',
  trigger: { kind: 'schedule', dueAt: '2026-11-21T06:00:00.000Z', caughtUp: false },
  origin: undefined,
  askedAt: '2026-11-21T06:00:00.000Z',
};

/** What the queue gives a handler; what is remembered is kept in `remembered`. */
export function jobContext(change: Partial<JobContext> = {}): JobContext & { readonly remembered: string[] } {
  const remembered = [...(change.remembered ?? [])];
  return {
    attempt: 1,
    attempts: 3,
    signal: new AbortController().signal,
    remember: async (value) => void remembered.push(value),
    ...change,
    remembered,
  };
}
