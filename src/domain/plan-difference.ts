/** Owns what people are shown when the plan no longer fits the cluster: where it differs, and how. */
import type { Plan } from './plan.ts';

export interface PlanChange {
  /** Where, from the plan's top: `phases.4.steps.0.action.script`, `memberIds.2`. */
  readonly path: string;
  /** As approved and as found now, in JSON; undefined where it is missing. Cut off after 500 characters. */
  readonly approved: string | undefined;
  readonly found: string | undefined;
}

const LONGEST = 500;

/** The first `most` differences, in the plan's order; empty when the two plans have the same digest. */
export function planDifference(approved: Plan, found: Plan, most = 20): readonly PlanChange[] {
  const changes: PlanChange[] = [];
  compare('', approved, found, changes, most);
  return changes;
}

function compare(path: string, a: unknown, b: unknown, changes: PlanChange[], most: number): void {
  if (changes.length >= most || a === b) return;
  if (!isTree(a) || !isTree(b) || Array.isArray(a) !== Array.isArray(b)) {
    changes.push({ path, approved: shown(a), found: shown(b) });
    return;
  }
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    compare(path === '' ? name : `${path}.${name}`, a[name], b[name], changes, most);
  }
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function shown(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = JSON.stringify(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
