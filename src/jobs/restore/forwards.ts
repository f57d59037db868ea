/** Owns how a plan is carried out: phase by phase with a barrier after each, until it has ended or turned. */
import { groupsOf, type Phase, type Step } from '../../domain/plan.ts';
import { stepsOf, turnAfterCancel, turnAfterFailure } from '../../domain/restore-course.ts';
import { askWords, cancelWords, failedWords } from '../../domain/restore-words.ts';
import { cancelledBy } from './decisions.ts';
import type { Execution } from './execution.ts';
import { fetchToAll } from './fetch.ts';
import { lookOut, type Lookout } from './lookout.ts';
import { proveHealthy, proveServing } from './proofs.ts';
import type { Task } from './record.ts';
import { runScript, sideBySide, type Failure } from './steps.ts';

/** Journals how it went on: ended, or turned. */
export async function goForward(x: Execution): Promise<void> {
  let lookout: Lookout | undefined;
  try {
    for (const phase of x.plan.phases) {
      if (isDone(x, phase)) continue;
      if (await stopIfAsked(x, phase)) return;
      if (phase.name === 'start-apiservers') lookout = lookOut(x, stepsOf(x.plan, 'prove-serving'));
      if (phase.name === 'prove-serving') await lookout?.end();
      const failures = await runPhase(x, phase);
      if (failures === 'stopped') return;
      if (failures.length === 0) continue;
      // What it sees from here on is no news of the way forward.
      await lookout?.end();
      await turnBack(x, phase, failures);
      return;
    }
    await x.record.end('restored');
  } finally {
    await lookout?.end();
  }
}

function isDone(x: Execution, { steps }: Phase): boolean {
  return steps.every(({ id }) => x.record.course.standing(id, 'do').outcome === 'done');
}

/** A step of the phase that failed fails it, once all that were begun with it have ended. */
async function runPhase(x: Execution, phase: Phase): Promise<readonly Failure[] | 'stopped'> {
  const { steps } = phase;
  if (steps.some(({ action }) => action.kind === 'fetch')) return fetchToAll(x, phase);
  const proves = steps.map(({ action }) => (action.kind === 'proof' ? action.proves : undefined))[0];
  if (proves === 'healthy') return proveHealthy(x, { phase, doing: 'do', steps });
  if (proves === 'serving') return proveServing(x, { phase, doing: 'do', steps });
  for (const [i, group] of groupsOf(phase).entries()) {
    if (i > 0 && (await stopIfAsked(x, phase))) return 'stopped';
    const failures = await sideBySide(
      x,
      group.map((step) => () => runStep(x, phase, step)),
    );
    if (failures.length > 0) return failures;
  }
  return [];
}

async function runStep(x: Execution, phase: Phase, step: Step): Promise<Failure | undefined> {
  const task: Task = { phase: phase.name, step, doing: 'do' };
  if (step.action.kind !== 'script') throw new TypeError(`${step.id} is no script.`);
  return runScript(x, task, step.action.script);
}

/** Before data are touched that is an undo, after it a roll-back; once clients may have written, it is too late. */
async function stopIfAsked(x: Execution, before: Phase): Promise<boolean> {
  const by = await cancelledBy(x);
  const to = by === undefined ? undefined : turnAfterCancel(x.plan, x.record.course, before.name);
  if (by === undefined || to === undefined) return false;
  await x.record.turned(to, cancelWords(by));
  return true;
}

async function turnBack(x: Execution, phase: Phase, failures: readonly Failure[]): Promise<void> {
  const to = turnAfterFailure(x.plan, x.record.course, x.spec.restore.onFailure);
  const why = failedWords(phase, failures);
  await x.record.turned(to, to === 'wait' ? askWords(why) : why);
}
