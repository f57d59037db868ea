/**
 * Owns how one script step is done, or taken back: looked at, begun at most once under each id, watched to its end. The
 * node keeps how it stands, so a lost connection or a dead worker loses nothing.
 */
import { KeyturnError, type Problem } from '../../domain/error.ts';
import { runIdOf, type Standing } from '../../domain/restore-course.ts';
import type { StepReport } from '../../ports.ts';
import type { Execution } from './execution.ts';
import { Halted, type StepResult, type Task } from './record.ts';
import { doesNotEnd, LOOK_MS, untilEnded } from './watch.ts';

export interface Failure {
  readonly node: string;
  readonly step: string;
  readonly problem: Problem;
}

/** So much of its output is told: the end of it says why. Bytes. */
const MOST_OUTPUT = 256 * 1024;

/** Undefined: it is done. Throws only what ends this worker's part in the restore. */
export async function runScript(x: Execution, task: Task, script: string): Promise<Failure | undefined> {
  const { step, doing } = task;
  for (;;) {
    const standing = x.record.course.standing(step.id, doing);
    if (standing.outcome === 'done') return undefined;
    if (standing.outcome === 'failed') return failureOf(task, seenToFail(task, standing));
    const run = standing.open ?? runIdOf(step.id, doing, standing.begun + 1);
    const problem = await orProblem(x, () => runOnce(x, task, run, script));
    if (problem === undefined) continue;
    await x.record.lost(task, run, problem);
    return failureOf(task, problem);
  }
}

/**
 * One run: found on the node, or begun there, and watched until its end is known and journalled. The node itself looks right
 * before it begins, at its own record and whether there is anything to do: one round trip, while the API may be down.
 */
async function runOnce(x: Execution, task: Task, run: string, script: string): Promise<void> {
  const { step, doing } = task;
  if (x.record.course.standing(step.id, doing).open === undefined) await x.record.begun(task, run, script);
  const unless = doing === 'do' ? step.done : undefined;
  const { node, deadlineMs } = step;
  const options = { deadlineMs, unless, waitMs: LOOK_MS, signal: x.signal };
  const begun = await x.nodes.on(node, ({ steps }) => steps.start(run, script, options));
  if (begun.state.kind === 'not-started') return x.record.ended(task, run, WAS_DONE);
  const ended = await untilEnded(x.nodes, x.deps.clock, { node, run, deadlineMs, signal: x.signal }, begun);
  await x.record.ended(task, run, resultOf(task, ended, await outputOf(x, task, run, ended)));
}

export const WAS_DONE: StepResult = {
  outcome: 'was-done',
  code: undefined,
  output: '',
  durationMs: 0,
  problem: undefined,
};

/** Whether the step's own look says that it is done. */
export async function needsNothing(x: Execution, { step }: Task, timeoutMs: number): Promise<boolean> {
  const { done, node } = step;
  if (done === undefined) return false;
  const { signal } = x;
  const { code } = await x.nodes.on(node, ({ steps }) => steps.ask(done, { timeoutMs, signal }));
  return code === 0;
}

/** Ends what may still run of this step; its end is journalled. Undefined: nothing of it runs. */
export async function endOpenRun(x: Execution, task: Task): Promise<Failure | undefined> {
  const { step, doing } = task;
  const { open } = x.record.course.standing(step.id, doing);
  if (open === undefined || step.action.kind !== 'script') return undefined;
  const problem = await orProblem(x, async () => {
    const stopped = await x.nodes.on(step.node, ({ steps }) => steps.stop(open));
    if (stopped.state.kind === 'running') throw doesNotEnd(step.node, open);
    await x.record.ended(task, open, resultOf(task, stopped, await outputOf(x, task, open, stopped)));
  });
  return problem && failureOf(task, problem);
}

/** The end of what it printed. */
async function outputOf(x: Execution, { step }: Task, run: string, report: StepReport): Promise<string> {
  const { outputSize } = report;
  if (report.offset === 0 && report.output.length === outputSize) return report.output.toString('utf8');
  const offset = Math.max(0, outputSize - MOST_OUTPUT);
  const { output } = await x.nodes.on(step.node, ({ steps }) => steps.look(run, { offset }));
  return output.toString('utf8');
}

function resultOf(task: Task, { state }: StepReport, output: string): StepResult {
  if (state.kind !== 'done') {
    return { outcome: 'vanished', code: undefined, output, durationMs: 0, problem: undefined };
  }
  const { code, endedBy, startedAt, endedAt } = state;
  const durationMs = Math.max(0, endedAt.getTime() - startedAt.getTime());
  const isDone = code === 0 && endedBy === 'itself';
  const problem = isDone ? undefined : scriptFailed(task, state, output);
  return { outcome: isDone ? 'done' : 'failed', code, output, durationMs, problem };
}

const WHY_ENDED = {
  itself: (code: number) => `exit code ${code}`,
  deadline: () => 'its time was up',
  stop: () => 'it was stopped',
  output: () => 'it printed too much',
} as const;

function scriptFailed(
  { step, doing }: Task,
  { code, endedBy }: { readonly code: number; readonly endedBy: keyof typeof WHY_ENDED },
  output: string,
): Problem {
  const said = output.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  // Forward, the phase is named before it.
  const what = doing === 'do' ? 'It' : `Taking back "${step.title}"`;
  return {
    code: 'node.command-failed',
    message: `${what} failed on ${step.node} (${WHY_ENDED[endedBy](code)})${said === '' ? '.' : `: ${closed(said)}`}`,
    hint: `Look at what it printed in the audit of this restore, and at ${step.node}.`,
  };
}

/** What a program printed, as the end of a sentence: advice follows it. */
function closed(said: string): string {
  return /[.!?]$/.test(said) ? said : `${said.replace(/[\s,;:]+$/, '')}.`;
}

function seenToFail({ step }: Task, { why }: Standing): Problem {
  return {
    code: 'node.command-failed',
    message: why ?? `It failed on ${step.node}.`,
    hint: `Look at what it printed in the audit of this restore, and at ${step.node}.`,
  };
}

export function failureOf({ step }: Task, problem: Problem): Failure {
  return { node: step.node, step: step.id, problem };
}

/** What went wrong on the node; what ends this worker's part in the restore is thrown on. */
export async function orProblem(x: Execution, act: () => Promise<void>): Promise<Problem | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    x.signal.throwIfAborted();
    if (error instanceof Halted || (error instanceof KeyturnError && error.code === 'lease.lost')) throw error;
    const problem = x.record.problemOf(error);
    x.deps.log.warn({ err: error, operation: x.request }, 'a step of the restore went wrong');
    return problem;
  }
}

/** All to their ends, so that nothing runs unwatched when the next thing is decided; the failures, in order. */
export async function sideBySide(
  x: Execution,
  steps: readonly (() => Promise<Failure | undefined>)[],
): Promise<readonly Failure[]> {
  const ends = await Promise.allSettled(
    steps.map((step) =>
      step().catch((error: unknown) => {
        x.halt.abort(error);
        throw error;
      }),
    ),
  );
  const broken = ends.find((end) => end.status === 'rejected');
  // The first to break has aborted the others: its reason is the one that tells.
  if (broken !== undefined) throw x.halt.signal.reason;
  return ends.flatMap((end) => (end.status === 'fulfilled' && end.value !== undefined ? [end.value] : []));
}
