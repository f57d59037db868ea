/** Owns the moments at which the process that carries a restore out is killed: which there are, and which are tried. */
import type { Plan, Step } from '../../src/domain/plan.ts';

export type Edge = 'before begun' | 'after begun' | 'while it runs' | 'before ended' | 'after ended';

/** Of one step, done or taken back, by its entries in the journal. */
export interface Moment {
  readonly step: string;
  readonly doing: 'do' | 'undo';
  readonly edge: Edge;
}

/** The journal does not know of it yet, or the node does not; and the other way round at its end. */
const BEFORE: readonly Edge[] = ['before begun', 'after begun'];
const AFTER: readonly Edge[] = ['before ended', 'after ended'];

/** Before and after each step, once each; by turns of those moments of which the journal knows and those that it misses. */
export function momentsOf(plan: Plan, doing: Moment['doing']): readonly Moment[] {
  return plan.phases.flatMap(({ steps }, i) =>
    steps.flatMap((step, j) => {
      if (doing === 'undo' && !isTakenBack(step)) return [];
      const at = (edges: readonly Edge[]): Moment => ({
        step: step.id,
        doing,
        edge: edges[(i + j) % 2] ?? 'after begun',
      });
      const running: readonly Moment[] =
        step.action.kind === 'script' && j === i % 3 ? [{ step: step.id, doing, edge: 'while it runs' }] : [];
      return [at(BEFORE), ...running, at(AFTER)];
    }),
  );
}

/** Proofs are had again on the way back, for the old cluster. */
function isTakenBack({ undo, action }: Step): boolean {
  return undo !== undefined || action.kind === 'proof';
}

export function wordsOf({ step, doing, edge }: Moment): string {
  return `${edge} of ${doing === 'undo' ? 'the undo of ' : ''}${step}`;
}
