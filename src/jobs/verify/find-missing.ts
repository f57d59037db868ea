/** Owns the search for copies that a cluster's stores should have and lack: of its newest snapshots, where retention would keep them. */
import type { ClusterSpec } from '../../domain/cluster.ts';
import { applyRetention, type RetentionPolicy } from '../../domain/retention.ts';
import type { SnapshotEntry } from '../../domain/snapshot-entry.ts';
import type { SnapshotCatalogue } from '../../ports.ts';
import type { CopyDeps } from './deps.ts';
import { queueRepair } from './queue-repair.ts';

/** Of so many of the newest: older ones a store may rightly have lost. */
const NEWEST = 10;

export interface MissingCopy {
  readonly entry: SnapshotEntry;
  readonly store: string;
}

type Listed = Awaited<ReturnType<SnapshotCatalogue['entries']>>;

/** Pure. A store that could not be listed lacks nothing, as far as anybody knows. */
export function findMissing(
  spec: ClusterSpec,
  { entries, problems }: Pick<Listed, 'entries' | 'problems'>,
  policyOf: (store: string) => RetentionPolicy,
  now: Date,
): readonly MissingCopy[] {
  const away = new Set(problems.map(({ store }) => store));
  const own = entries.filter(({ origin }) => origin === 'keyturn');
  const newest = own.slice(0, NEWEST).filter(({ copies }) => copies.some(({ isDamaged }) => !isDamaged));
  return spec.backup.stores
    .filter((store) => !away.has(store))
    .flatMap((store) => {
      const kept = keptBy(policyOf(store), own, { now, timezone: spec.backup.timezone });
      return newest
        .filter((entry) => kept.has(entry.id) && !entry.copies.some((copy) => copy.store === store))
        .map((entry) => ({ entry, store }));
    });
}

/** Ids of those that the policy would keep, if the store had them all. */
function keptBy(
  policy: RetentionPolicy,
  entries: readonly SnapshotEntry[],
  when: { readonly now: Date; readonly timezone: string },
): ReadonlySet<string> {
  const retained = entries.map(({ id, takenAt, copies, isHeld }) => ({
    id,
    takenAt,
    isVerified: copies.some(({ isDamaged }) => !isDamaged),
    hold: isHeld ? { reason: 'held', until: undefined } : undefined,
  }));
  const kept = applyRetention(policy, retained, when).filter(({ keep }) => keep);
  return new Set(kept.map(({ id }) => id));
}

/** Queues a repair for each. Throws queue.unavailable. */
export async function repairMissing(deps: CopyDeps, spec: ClusterSpec, listed: Listed): Promise<void> {
  const policyOf = (store: string): RetentionPolicy => deps.retentionOf(spec.name, store).policy;
  for (const { entry, store } of findMissing(spec, listed, policyOf, deps.clock.now()))
    await queueRepair(deps, spec.name, entry.id, store);
}
