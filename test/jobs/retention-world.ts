/** A cluster with snapshots in two stores of memory, and retention at work on them. */
import { catalogue } from '../../src/adapters/catalogue.ts';
import { serialiseHold } from '../../src/domain/hold.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { RetentionJob } from '../../src/domain/job.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import type { RetentionPolicy, RetentionSpec } from '../../src/domain/retention.ts';
import {
  damageKey,
  holdKey,
  manifestKey,
  objectKey,
  serialiseManifest,
  snapshotId,
} from '../../src/domain/snapshot.ts';
import type { RetentionDeps } from '../../src/jobs/retention/deps.ts';
import { runRetention } from '../../src/jobs/run-retention.ts';
import type { Clock, JobContext, JobResult } from '../../src/ports.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { memoryStore, type MemoryStore } from '../fakes/memory-store.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { plan } from '../support/requests.ts';
import { retentionSpec } from '../support/specs.ts';
import { clusterSpec, jobContext, silentLog } from './world.ts';

export const CLUSTER = 'prod-eu';
const HOUR = 3_600_000;
const NEWEST = Date.parse('2026-11-21T06:00:00.000Z');

/** The id of the snapshot that is `age` hours older than the newest. */
export function idOf(age: number): string {
  return snapshotId(new Date(NEWEST - age * HOUR), 1000 - age);
}

export function idsOf(...ages: readonly number[]): string[] {
  return ages.map(idOf);
}

export const JOB: RetentionJob = {
  kind: 'retention',
  id: 'retention-backup-prod-eu-1',
  cluster: CLUSTER,
  after: 'backup-prod-eu-1',
  confirmed: undefined,
  origin: undefined,
};

/** 100 bytes and a manifest, as a backup leaves them. */
export async function put(store: MemoryStore, id: string): Promise<void> {
  await store.put(objectKey(CLUSTER, id), Buffer.alloc(100));
  const record = snapshotRecord({ cluster: CLUSTER, id, takenAt: new Date(NEWEST).toISOString() });
  await store.put(manifestKey(CLUSTER, id), Buffer.from(serialiseManifest(record)));
}

export async function hold(store: MemoryStore, id: string, until?: string): Promise<void> {
  const note = { format: 1, reason: 'audit', by: 'U0OPS', at: '2026-11-20T06:00:00.000Z', until } as const;
  await store.put(holdKey(CLUSTER, id), Buffer.from(serialiseHold(note)));
}

export async function damage(store: MemoryStore, id: string): Promise<void> {
  await store.put(damageKey(CLUSTER, id), Buffer.from('{}'));
}

export interface WorldOptions {
  /** Snapshots in each store, an hour between them. */
  readonly count?: number;
  readonly policy?: RetentionPolicy;
  readonly ofStore?: Readonly<Record<string, Partial<RetentionSpec>>>;
  readonly clock?: Clock;
}

export async function retentionWorld({
  count = 8,
  policy = { last: 5 },
  ofStore = {},
  clock = fakeClock('2026-11-21T06:10:00.000Z'),
}: WorldOptions = {}) {
  const ceph = memoryStore('ceph', clock);
  const nas = memoryStore('nas', clock);
  const stores = [ceph, nas];
  for (const store of stores) for (let age = 0; age < count; age += 1) await put(store, idOf(age));
  const spec = clusterSpec({}, CLUSTER);
  const events: KeyturnEvent[] = [];
  const lease = fakeClusterLease();
  const wanted: Pick<RestoreRequest, 'id' | 'cluster' | 'state' | 'plan'>[] = [];
  const deps: RetentionDeps = {
    clusters: new Map([[CLUSTER, spec]]),
    stores: new Map(stores.map((store) => [store.name, store])),
    catalogue: catalogue(stores, () => spec.backup.stores),
    requests: { open: async () => wanted as unknown as RestoreRequest[] },
    retentionOf: (_, store) => retentionSpec({ policy, ...ofStore[store] }),
    lease,
    publish: async (event) => void events.push(event),
    clock,
    log: silentLog,
  };
  return {
    deps,
    ceph,
    nas,
    stores,
    spec,
    events,
    lease,
    clock,
    /** An open restore, of whatever cluster, that wants this snapshot. */
    want(id: string) {
      wanted.push({
        id: 'r1',
        cluster: 'other',
        state: 'approved',
        plan: plan({ cluster: 'other', snapshot: { ...plan().snapshot, cluster: CLUSTER, id } }),
      });
    },
    /** A restore of this cluster that has its approvals, and waits for the lease. */
    restore() {
      wanted.push({ id: 'r2', cluster: CLUSTER, state: 'approved', plan: plan({ cluster: CLUSTER }) });
    },
    run(job: Partial<RetentionJob> = {}, context: Partial<JobContext> = {}): Promise<JobResult> {
      return runRetention({ ...JOB, ...job }, jobContext(context), deps);
    },
    told<T extends KeyturnEvent['type']>(type: T) {
      return events.filter((event): event is Extract<KeyturnEvent, { type: T }> => event.type === type);
    },
  };
}

/** Ids of the snapshots that are whole in a store, newest first. */
export function whole(store: MemoryStore): string[] {
  const ids = [...store.objects.keys()].flatMap((key) => /^prod-eu\/(.*)\.manifest\.json$/.exec(key)?.[1] ?? []);
  return ids
    .filter((id) => store.objects.has(objectKey(CLUSTER, id)))
    .sort()
    .reverse();
}

/** Keys of everything that is not part of a whole snapshot. */
export function rest(store: MemoryStore): string[] {
  const ids = whole(store);
  return [...store.objects.keys()].filter((key) => !ids.some((id) => key.startsWith(`${CLUSTER}/${id}.`))).sort();
}
