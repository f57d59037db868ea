/** Owns how the mark of damage beside a stored copy is read: what lies there, whoever wrote it. */
import { MAX_DAMAGE_SIZE, newDamage, parseDamage, type Damage } from '../domain/damage.ts';
import { damageKey } from '../domain/snapshot.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import type { SnapshotStore } from '../ports.ts';

/** The mark that lies in the store; undefined: none does. One that can't be read is one all the same. Throws store.*. */
export async function readMark(
  store: SnapshotStore,
  { cluster, id }: Pick<SnapshotEntry, 'cluster' | 'id'>,
): Promise<Damage | undefined> {
  const key = damageKey(cluster, id);
  const there = await store.stat(key);
  if (there === undefined) return undefined;
  const unreadable = (why: string): Damage => newDamage(there.modifiedAt, `its mark is ${why}`, 'unknown');
  if (there.size > MAX_DAMAGE_SIZE) return unreadable('too large to be one');
  const parsed = parseDamage(Buffer.from(await store.get(key)).toString('utf8'));
  return parsed.ok ? parsed.damage : unreadable(parsed.problem);
}
