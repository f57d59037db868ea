/** What the audit has of one restore: from disk and store, each entry once, and whether it can be believed. */
import { describe, expect, test } from 'vitest';
import { emptyHead, nextLine } from '../../src/domain/audit.ts';
import type { AuditFact } from '../../src/domain/audit.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { alice, somebody } from '../support/requests.ts';
import { refusalOf, restoreWorld } from '../support/restore-world.ts';

const NOW = Date.parse('2026-11-21T06:00:00.000Z');

/** A chain's lines; each fact a second after the one before. */
function chain(name: string, facts: readonly AuditFact[], startMs = 0): string[] {
  let head = emptyHead(name);
  return facts.map((fact, i) => {
    const next = nextLine(head, fact, new Date(NOW + startMs + i * 1000));
    head = next.head;
    return next.line;
  });
}

const here = chain('a', [
  { type: 'restore.plan', operation: 'r1', cluster: 'prod-eu' },
  { type: 'backup.queued', operation: 'backup-prod-eu-1' },
  { type: 'restore.changed', operation: 'r1', request: { id: 'r1' } },
  { type: 'restore.changed', operation: 'r10', request: { id: 'r10' } },
]);
const there = chain('b', [{ type: 'restore.step-begun', operation: 'r1', step: 'stop-etcd.cp1' }], 1500);

function audit(disk: Record<string, readonly string[]>, store?: Record<string, readonly string[]> | KeyturnError) {
  const copyOf = (chains: Record<string, readonly string[]>) =>
    new Map(Object.entries(chains).map(([name, lines]) => [name, lines.join('')]));
  return restoreWorld({
    auditCopies: {
      disk: { name: 'disk /audit', read: async () => copyOf(disk) },
      store: store && {
        name: 'store ceph',
        read: async () => {
          if (store instanceof KeyturnError) throw store;
          return copyOf(store);
        },
      },
    },
  });
}

describe('the audit of a restore', () => {
  test('is what was recorded of it alone, by every machine, oldest first, each entry once', async () => {
    const world = audit({ a: here }, { a: here, b: there });
    await world.opened();
    const report = await world.commands.showAudit(alice, 'r1');
    expect(report.entries.map(({ chain: of, seq, fact }) => [of, seq, fact.type])).toEqual([
      ['a', 1, 'restore.plan'],
      ['b', 1, 'restore.step-begun'],
      ['a', 3, 'restore.changed'],
    ]);
    expect(report).toMatchObject({ request: { id: 'r1' }, problems: [], storeAway: undefined });
  });

  test('is shown when the request itself is forgotten', async () => {
    const report = await audit({ a: here }).commands.showAudit(alice, 'r1');
    expect(report.request).toBeUndefined();
    expect(report.entries).toHaveLength(2);
  });

  test('of a restore nobody ever heard of is refused', async () => {
    expect((await refusalOf(audit({ a: here }).commands.showAudit(alice, 'r9'))).code).toBe('request.unknown');
  });

  test('says so when an entry was changed, or is missing on the disk', async () => {
    const forged = [...here.slice(0, 2), here[2]?.replace('changed', 'chnaged') ?? '', ...here.slice(3)];
    const broken = await audit({ a: forged }).commands.showAudit(alice, 'r1');
    expect(broken.problems).toEqual([expect.stringContaining('Chain a is broken in line 3')]);
    const cut = await audit({ a: here.slice(0, 1) }, { a: here }).commands.showAudit(alice, 'r1');
    expect(cut.problems).toEqual(['Chain a ends after entry 1; it had at least 4.']);
    expect(cut.entries).toHaveLength(2);
  });

  test('is shown from the disk when the store is away, and says that', async () => {
    const away = new KeyturnError('store.unreachable', 'ceph is away.', { hint: 'Look after it.' });
    const report = await audit({ a: here }, away).commands.showAudit(alice, 'r1');
    expect(report.entries).toHaveLength(2);
    expect(report.storeAway).toEqual({ code: 'store.unreachable', message: 'ceph is away.', hint: 'Look after it.' });
  });

  test('does not wait for a store for ever', async () => {
    const world = restoreWorld({
      auditCopies: {
        disk: { name: 'disk /audit', read: async () => new Map([['a', here.join('')]]) },
        store: { name: 'store ceph', read: () => new Promise(() => undefined) },
      },
    });
    const shown = world.commands.showAudit(alice, 'r1');
    await new Promise(setImmediate);
    await world.clock.advance(60_000);
    expect((await shown).storeAway?.code).toBe('store.unreachable');
  });

  test('is for members of the workspace', async () => {
    const guest = somebody('U0GUEST', { isGuest: true });
    expect((await refusalOf(audit({ a: here }).commands.showAudit(guest, 'r1'))).code).toBe('permission.denied');
  });
});
