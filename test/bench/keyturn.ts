/**
 * Backups as Keyturn's worker takes them, one after the other in a process of their own, so that its memory and time can be
 * measured. Each line of stdin is JSON of a `BackupTask`, answered with a line of JSON of its `BackupReport`.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { cronCalendar } from '../../src/adapters/cron.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { etcdClient } from '../../src/adapters/etcd/client.ts';
import { detachedSteps } from '../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../src/adapters/ssh/shell.ts';
import { s3Store, type S3StoreOptions } from '../../src/adapters/stores/s3.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { BackupJob } from '../../src/domain/job.ts';
import { runBackup } from '../../src/jobs/run-backup.ts';
import { fakeCatalogue } from '../fakes/catalogue.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { coderOf } from '../support/coder.ts';
import { peakMemoryOf } from './results.ts';
// What a worker has loaded besides; its memory counts.
import '../../src/adapters/log.ts';
import '../../src/adapters/redis/queue.ts';

export interface BackupTask {
  readonly cluster: ClusterSpec;
  readonly stores: readonly S3StoreOptions[];
  readonly id: string;
  /** age recipients; empty: not encrypted. */
  readonly recipients: readonly string[];
}

export interface BackupReport {
  /** From the job's start to its end. */
  readonly wallMs: number;
  readonly bytes: number;
  readonly storedBytes: number;
  /** The most memory that the process ever had, in bytes, and of its children. */
  readonly peakMemory: number;
  /** What it wrote to disks meanwhile, in bytes. */
  readonly diskBytes: number;
  readonly objectKey: string;
}

async function backup({ cluster, stores, id, recipients }: BackupTask): Promise<BackupReport> {
  const targets = stores.map((store) => s3Store(store, systemClock));
  const events: KeyturnEvent[] = [];
  let childPeak = 0;
  const job: BackupJob = {
    kind: 'backup',
    id,
    cluster: cluster.name,
    trigger: { kind: 'person', user: 'U1' },
    origin: undefined,
    askedAt: new Date().toISOString(),
  };
  const written = diskBytes();
  const started = performance.now();
  await runBackup(
    job,
    { attempt: 1, attempts: 1, signal: new AbortController().signal, remembered: [], remember: async () => undefined },
    {
      clusters: new Map([[cluster.name, cluster]]),
      stores: new Map(targets.map((target) => [target.name, target])),
      etcd: etcdClient(sshShell({ bastions: [] }), { steps: detachedSteps() }),
      lease: fakeClusterLease(),
      queue: fakeJobQueue(systemClock),
      catalogue: fakeCatalogue(() => ({ snapshots: [], problems: [] })),
      coder: coderOf({ recipients }),
      calendar: cronCalendar,
      publish: async (event) => {
        events.push(event);
        childPeak = Math.max(childPeak, childrenPeak());
      },
      clock: systemClock,
      log: { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error },
      version: '0.0.0',
    },
  );
  const wallMs = performance.now() - started;
  const last = events.at(-1);
  if (last?.type !== 'backup.stored') throw new Error(`The backup was not stored: ${JSON.stringify(last)}`);
  return {
    wallMs,
    bytes: last.record.size,
    storedBytes: last.record.object.size,
    peakMemory: peakMemoryOf(readFileSync('/proc/self/status', 'utf8')) + childPeak,
    diskBytes: diskBytes() - written,
    objectKey: last.record.object.key,
  };
}

/** A compressor in a process of its own is the bot's memory too. */
function childrenPeak(): number {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return pids.reduce((sum, pid) => {
    try {
      return sum + peakMemoryOf(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return sum;
    }
  }, 0);
}

function diskBytes(): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

for await (const line of createInterface(process.stdin)) {
  const task = JSON.parse(line, (_, value: unknown) => (value === null ? undefined : value)) as BackupTask;
  console.log(JSON.stringify(await backup(task)));
}
process.exit(0);
