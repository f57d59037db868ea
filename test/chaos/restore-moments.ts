/** Owns the moments at which the process that carries a restore out is killed: which there are, and which are tried. */
import type { Plan, Step } from '../../src/domain/plan.ts';

export type Edge = 'before begun' | 'after begun' | 'while it runs' | 'before ended' | 'after ended';

/** Of one step, done or taken back, by its entries in the journal. */
export interface Moment {
  readonly step: string;
  readonly doing: 'do' | 'undo';
  readonly edge: Edge;
}

/** At either end of a step, the journal has not heard of it yet, or it alone has. */
const BEFORE: readonly Edge[] = ['before begun', 'after begun'];
const AFTER: readonly Edge[] = ['before ended', 'after ended'];

/** Before and after each step: one moment each, which of the two edges going round. */
export function beforeAndAfter(plan: Plan, doing: Moment['doing']): readonly Moment[] {
  return plan.phases.flatMap(({ steps }, i) =>
    steps.flatMap((step, j) => {
      if (doing === 'undo' && !isTakenBack(step)) return [];
      const at = (edges: readonly Edge[]): Moment[] =>
        edges.filter((_, k) => k === (i + j) % 2).map((edge) => ({ step: step.id, doing, edge }));
      return [...at(BEFORE), ...at(AFTER)];
    }),
  );
}

/** The script goes on on its node, and nobody watches. */
export function whileRunning(plan: Plan): readonly Moment[] {
  return plan.phases.flatMap(({ steps }) =>
    steps.flatMap(({ id, action }): Moment[] =>
      action.kind === 'script' ? [{ step: id, doing: 'do', edge: 'while it runs' }] : [],
    ),
  );
}

/**
 * The moments dealt out to restores that each die many times: no two of one phase in the same one, since a kill at one
 * step also cuts off the steps beside it.
 */
export function dealt(moments: readonly Moment[]): readonly (readonly Moment[])[] {
  const hands: Moment[][] = [];
  const phaseOf = ({ step }: Moment): string => step.slice(0, step.lastIndexOf('.'));
  for (const moment of moments) {
    const hand = hands.find((each) => each.every((other) => phaseOf(other) !== phaseOf(moment)));
    if (hand === undefined) hands.push([moment]);
    else hand.push(moment);
  }
  return hands;
}

/** Proofs are had again on the way back, of the old cluster. */
function isTakenBack({ undo, action }: Step): boolean {
  return undo !== undefined || action.kind === 'proof';
}

export function wordsOf({ step, doing, edge }: Moment): string {
  return `${edge} of ${doing === 'undo' ? 'the undo of ' : ''}${step}`;
}
