/** Events and reports of retention to test with. */
import type { RetentionReport, SnapshotRow, StoreRow } from '../../src/commands/retention-commands.ts';
import type { CopyList, RetentionEvent, StoreResult } from '../../src/domain/retention-event.ts';

export type Asks = Extract<RetentionEvent, { type: 'retention.asks' }>;
export type Done = Extract<RetentionEvent, { type: 'retention.done' }>;

export const DIGEST = 'd1'.padEnd(64, '0');

export function copies(count: number): CopyList {
  const first = Array.from({ length: Math.min(count, 10) }, (_, i) => ({
    id: `202611${String(20 - i).padStart(2, '0')}T060000Z-${100 - i}`,
    takenAt: `2026-11-${String(20 - i).padStart(2, '0')}T06:00:00.000Z`,
    bytes: 412_000_032,
    reason: 'no rule keeps it',
  }));
  return { count, bytes: count * 412_000_032, first, digest: DIGEST };
}

export function asks(change: Partial<Asks> = {}): Asks {
  return {
    type: 'retention.asks',
    at: '2026-11-21T06:01:00.000Z',
    operation: 'retention-b1',
    cluster: 'prod-eu',
    store: 'ceph',
    policy: { last: 5 },
    digest: DIGEST,
    total: 100,
    oldest: '2026-08-01T06:00:00.000Z',
    newest: '2026-11-20T06:00:00.000Z',
    removes: copies(95),
    notNow: undefined,
    ...change,
  };
}

export function clicked(kind: 'confirmed' | 'declined', at: string, change: { digest?: string; by?: string } = {}) {
  const base = { operation: 'c', cluster: 'prod-eu', store: 'ceph', digest: DIGEST, by: 'U0ADA00001' } as const;
  return { ...base, type: `retention.${kind}`, at, ...change } as const satisfies RetentionEvent;
}

export function result(change: Partial<StoreResult> = {}): StoreResult {
  return {
    store: 'ceph',
    policy: { last: 5 },
    removed: copies(1),
    keeps: 30,
    keptBy: { last: 5 },
    locked: undefined,
    asks: false,
    problem: undefined,
    isKnown: true,
    ...change,
  };
}

export function done(at: string, stores: readonly StoreResult[] = [result()], change: Partial<Done> = {}): Done {
  return {
    type: 'retention.done',
    at,
    operation: 'retention-b1',
    cluster: 'prod-eu',
    after: 'backup-prod-eu-20261121T061500000Z-ab12',
    confirmed: undefined,
    stores,
    total: { removed: 1, bytes: 12_000_000, keeps: 30 },
    strays: { count: 0, bytes: 0, first: [], tally: [], problems: [] },
    problem: undefined,
    ...change,
  };
}

export const AWAY = { code: 'store.unreachable', message: 'Store ceph does not answer.', hint: 'Start it.' } as const;

export function storeRow(change: Partial<StoreRow> = {}): StoreRow {
  return {
    store: 'ceph',
    policy: { last: 5, daily: 7 },
    mostAtOnce: 0.5,
    keeps: 11,
    keptBy: { newest: 1, last: 5, daily: 7 },
    goes: { count: 0, bytes: 0 },
    goesNext: { count: 1, bytes: 412_000_032, mustAsk: false },
    asks: false,
    digest: DIGEST,
    blocked: undefined,
    ...change,
  };
}

export function snapshotRow(age: number, change: Partial<SnapshotRow> = {}): SnapshotRow {
  const at = new Date(Date.parse('2026-11-21T06:00:00.000Z') - age * 86_400_000).toISOString();
  return {
    id: `${at.slice(0, 10).replaceAll('-', '')}T060000Z-${100 - age}`,
    takenAt: at,
    size: 412_000_032,
    isHeld: false,
    stores: ['ceph', 'offsite'].map((store) => ({
      store,
      keeps: [`daily ${at.slice(0, 10)}`, 'among the last 5'],
      goesNext: false,
      goes: 'stays after the next backup',
    })),
    ...change,
  };
}

export function retentionReport(change: Partial<RetentionReport> = {}): RetentionReport {
  return {
    at: '2026-11-21T06:30:00.000Z',
    cluster: 'prod-eu',
    timezone: 'Europe/Berlin',
    nextRunAt: '2026-11-21T12:00:00.000Z',
    stores: [storeRow(), storeRow({ store: 'offsite' })],
    snapshots: [0, 1, 2].map((age) => snapshotRow(age)),
    strays: 0,
    problems: [],
    mayConfirm: false,
    ...change,
  };
}
