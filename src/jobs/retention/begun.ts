/**
 * Owns what an attempt that died had begun: kept with the job before the first removal, so that the next attempt may go on
 * with what a person confirmed, and tells of all that went.
 */
import { canonical } from '../../domain/plan.ts';
import { NOTHING_KEEPS } from '../../domain/retention.ts';
import type { RetentionPolicy } from '../../domain/retention.ts';
import type { Planned, StorePlan } from '../../domain/retention-plan.ts';
import { takenAtOf } from '../../domain/snapshot-entry.ts';
import type { JobContext } from '../../ports.ts';

interface Begun {
  readonly store: string;
  readonly policy: RetentionPolicy;
  /** Ids and bytes of those that were to go. */
  readonly goes: readonly (readonly [string, number])[];
}

/** Throws queue.unavailable; then nothing may be removed. */
export async function rememberBegun(context: JobContext, { store, policy, goes }: StorePlan): Promise<void> {
  const begun: Begun = { store, policy, goes: goes.map(({ id, size }) => [id, size]) };
  await context.remember(JSON.stringify(begun));
}

function begunIn({ remembered }: JobContext, store: string): readonly Begun[] {
  return remembered.map((text) => JSON.parse(text) as Begun).filter((begun) => begun.store === store);
}

/** What earlier attempts of this job removed. */
export function goneBefore(context: JobContext, { store, keeps, goes }: StorePlan): readonly Planned[] {
  const there = new Set([...keeps, ...goes].map(({ id }) => id));
  const gone = new Map(begunIn(context, store).flatMap((begun) => begun.goes.filter(([id]) => !there.has(id))));
  return [...gone].map(([id, size]) => ({ id, takenAt: takenAtOf(id), key: '', size, reasons: [NOTHING_KEEPS] }));
}

/** Whether the plan is what is left of one that this job had begun: nothing goes that was not to go then. */
export function isRestOfBegun(context: JobContext, { store, policy, goes }: StorePlan): boolean {
  return begunIn(context, store).some((begun) => {
    const ids = new Set(begun.goes.map(([id]) => id));
    return canonical(begun.policy) === canonical(policy) && goes.every(({ id }) => ids.has(id));
  });
}
