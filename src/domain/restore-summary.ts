/** Owns what is told of a restore request: everything but the scripts, which would fill any message. */
import type { Phase, Plan, Step } from './plan.ts';
import type { RestoreRequest } from './restore-request.ts';

/** A phase without what its steps run. */
export interface PhaseOutline extends Pick<Phase, 'name' | 'title' | 'order'> {
  readonly steps: readonly Pick<Step, 'id' | 'node' | 'title'>[];
}

export interface PlanOutline extends Omit<Plan, 'phases'> {
  readonly phases: readonly PhaseOutline[];
}

/** A request as events, messages and lists carry it. */
export interface RestoreSummary extends Omit<RestoreRequest, 'plan'> {
  readonly plan: PlanOutline;
}

export function summaryOf(request: RestoreRequest): RestoreSummary {
  const phases = request.plan.phases.map(({ name, title, order, steps }) => ({
    name,
    title,
    order,
    steps: steps.map(({ id, node, title: text }) => ({ id, node, title: text })),
  }));
  return { ...request, plan: { ...request.plan, phases } };
}
