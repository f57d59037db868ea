/** Clusters, snapshots, people and events to test with: ordinary ones, and the worst that could come. */
import type { ClusterSpec, ClusterStatus, MemberStatus } from '../../src/domain/cluster.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { Person } from '../../src/domain/permission.ts';
import { PLAIN } from '../../src/domain/snapshot.ts';
import type { SnapshotRecord, StoredSnapshot } from '../../src/domain/snapshot.ts';
import { fakeCatalogue } from '../fakes/catalogue.ts';
import type { CronCalendar, Log, SnapshotCatalogue } from '../../src/ports.ts';
import { restorePolicy, retentionSpec } from '../support/specs.ts';

/** As hostile and as long as a name or an error text gets. */
export const HOSTILE =
  '<!channel> <@U1> *b* _i_ ~s~ `c` & "q" \\ <https://evil.example|click> :tada: \u202eevil\u0000\n' +
  '😀&<>'.repeat(400);
export const HOSTILE_NAME = '`*<!here>&_~"\\😀'.repeat(6).slice(0, 80);

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export function spec(name: string, backup: Partial<ClusterSpec['backup']> = {}): ClusterSpec {
  return {
    name,
    nodes: [],
    backup: {
      schedule: '0 */6 * * *',
      timezone: 'UTC',
      stores: ['ceph', 'offsite'],
      rpoMs: 8 * 3_600_000,
      timeoutMs: 900_000,
      stallTimeoutMs: 60_000,
      rateLimit: undefined,
      compression: 'none',
      attempts: 3,
      ...backup,
    },
    retention: retentionSpec(),
    restore: restorePolicy(),
  };
}

export function record(change: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    format: 2,
    id: '20261121T060000Z-17',
    cluster: 'prod-eu',
    clusterId: '14841639068965178418',
    member: { id: '10276657743932975437', name: 'cp2', node: 'cp2', isLeader: false },
    etcdVersion: '3.5.16',
    keyturnVersion: '0.1.0',
    revisionBefore: '88213',
    revisionAfter: '88213',
    keys: '10233',
    object: { key: 'prod-eu/20261121T060000Z-17.db', size: 412_000_032, sha256: 'ab12cd34ef56'.padEnd(64, '0') },
    encoding: PLAIN,
    size: 412_000_032,
    sha256: 'ab12cd34ef56'.padEnd(64, '0'),
    source: 'stream',
    takenAt: '2026-11-21T06:00:00.000Z',
    durationMs: 38_000,
    operation: 'backup-prod-eu-20261121T0600Z',
    trigger: { kind: 'schedule', dueAt: '2026-11-21T06:00:00.000Z', caughtUp: false },
    checks: ['sha256-trailer', 'size', 'bolt-magic', 'read-back'],
    ...change,
  };
}

export function stored(change: Partial<SnapshotRecord> = {}, stores = ['ceph', 'offsite']): StoredSnapshot {
  return { record: record(change), stores };
}

export function member(change: Partial<MemberStatus> = {}): MemberStatus {
  return {
    id: 1n,
    name: 'cp1',
    node: 'cp1',
    peerUrls: [],
    clientUrls: [],
    isLearner: false,
    isLeader: false,
    problem: undefined,
    version: '3.5.16',
    dbSize: 412_000_000,
    dbSizeInUse: 300_000_000,
    quota: 8_000_000_000,
    revision: 88_213n,
    raftTerm: 4n,
    raftIndex: 120_000n,
    raftAppliedIndex: 120_000n,
    alarms: [],
    ...change,
  };
}

export function clusterStatus(members: readonly MemberStatus[]): ClusterStatus {
  return { clusterId: 9n, leader: members.find((m) => m.isLeader)?.id, members };
}

export function person(id: string, change: Partial<Person> = {}): Person {
  return { id, name: id, isBot: false, isGuest: false, isDeactivated: false, groups: [], ...change };
}

/** Fires at 00, 06, 12, 18 o'clock UTC whatever the expression. */
export const sixHourly: CronCalendar = {
  next: (_, __, after) => new Date((Math.floor(after.getTime() / 21_600_000) + 1) * 21_600_000),
  previous: (_, __, at) => new Date(Math.floor(at.getTime() / 21_600_000) * 21_600_000),
};

/** Newest first, as the port says. */
export function catalogueOf(snapshots: readonly StoredSnapshot[], failing: readonly string[] = []): SnapshotCatalogue {
  return fakeCatalogue((cluster) => ({
    snapshots: snapshots.filter((s) => s.record.cluster === cluster),
    problems: failing.map((store) => ({ store, message: 'is away', hint: 'Look after it.' })),
  }));
}

const OPERATION = 'backup-prod-eu-20261121T061500000Z-ab12';
const BASE = { operation: OPERATION, cluster: 'prod-eu' } as const;
const ASKED = {
  trigger: { kind: 'person', user: 'U0ADA00001' },
  origin: { channel: 'C0GENERAL3', user: 'U0ADA00001' },
} as const;

/** The life of one backup asked for by a person. */
export const events = {
  queued: { ...BASE, ...ASKED, type: 'backup.queued', at: '2026-11-21T06:15:00.000Z' },
  started: {
    ...BASE,
    ...ASKED,
    type: 'backup.started',
    at: '2026-11-21T06:15:01.000Z',
    attempt: 1,
    attempts: 3,
    member: 'cp2',
    node: 'cp2',
    isLeader: false,
    expectedBytes: 412_000_000,
    stores: ['ceph', 'offsite'],
  },
  progress: {
    ...BASE,
    type: 'backup.progress',
    at: '2026-11-21T06:15:05.000Z',
    bytes: 198_000_000,
    expectedBytes: 412_000_000,
  },
  retrying: {
    ...BASE,
    type: 'backup.retrying',
    at: '2026-11-21T06:15:20.000Z',
    problem: {
      code: 'ssh.lost',
      message: 'The SSH connection to cp2 broke.',
      hint: 'Check the network between Keyturn and cp2.',
    },
    attempt: 1,
    attempts: 3,
    retryAt: '2026-11-21T06:15:30.000Z',
  },
  startedAgain: {
    ...BASE,
    ...ASKED,
    type: 'backup.started',
    at: '2026-11-21T06:15:30.000Z',
    attempt: 2,
    attempts: 3,
    member: 'cp3',
    node: 'cp3',
    isLeader: false,
    expectedBytes: 412_000_000,
    stores: ['ceph', 'offsite'],
  },
  stored: {
    ...BASE,
    type: 'backup.stored',
    at: '2026-11-21T06:16:08.000Z',
    record: record({ operation: OPERATION, trigger: ASKED.trigger }),
    copies: [
      { store: 'ceph', problem: undefined },
      { store: 'offsite', problem: undefined },
    ],
    fallbackReason: undefined,
    nextRunAt: '2026-11-21T18:00:00.000Z',
  },
  failed: {
    ...BASE,
    ...ASKED,
    type: 'backup.failed',
    at: '2026-11-21T06:17:00.000Z',
    problem: {
      code: 'store.credentials',
      message: 'The store "ceph" refused the access key.',
      hint: 'Check accessKeyId and secretAccessKey of the store "ceph".',
    },
    attempts: 3,
    lastGoodAt: '2026-11-20T18:00:00.000Z',
    rpoMs: 8 * 3_600_000,
    nextRunAt: '2026-11-21T12:00:00.000Z',
  },
} as const satisfies Record<string, KeyturnEvent>;
