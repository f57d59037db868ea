/** Owns what the next run of retention will find: the plans as they are once one more backup is there. */
import { forecast, planStore, withOneMore } from '../domain/retention-plan.ts';
import type { Forecast, StorePlan } from '../domain/retention-plan.ts';
import type { RetentionLook } from './look.ts';

/** `at`: when that backup is taken. `plans` in the order of the look's stores; `forecasts`: one for each store with a copy. */
export function afterNextBackup(
  { facts, stores }: RetentionLook,
  at: Date,
): { readonly plans: readonly StorePlan[]; readonly forecasts: (id: string) => readonly Forecast[] } {
  const names = stores.map((store) => store.facts.store);
  const after = withOneMore(facts, at, names);
  const plans = stores.map((store) => planStore(after, store.facts));
  const each = stores.map(({ plan }, i) => forecast(plan, plans[i] ?? plan));
  return { plans, forecasts: (id) => each.flatMap((of) => of(id) ?? []) };
}

/** The look as it would be if nothing held this snapshot. */
export function withoutHold({ facts, stores, ...look }: RetentionLook, id: string): RetentionLook {
  const holds = new Map([...facts.holds].filter(([held]) => held !== id));
  const without = { ...facts, holds };
  return {
    ...look,
    facts: without,
    stores: stores.map((store) => ({ ...store, plan: planStore(without, store.facts) })),
  };
}
