/** Owns how one run of a script on a node is watched to its end. */
import { KeyturnError } from '../../domain/error.ts';
import type { Clock, StepReport } from '../../ports.ts';
import type { Nodes } from './nodes.ts';

/** A look answers after so long, or as soon as the run has ended. */
export const LOOK_MS = 10_000;
/** The node ends a run at its deadline; so much later we do, and after as long again we give up. */
const LATE_MS = 30_000;
/** Asked for beyond any output, a look waits for the end alone. */
const END = Number.MAX_SAFE_INTEGER;

export interface Watched {
  readonly node: string;
  readonly run: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** From `begun`, the first report of the run, to the last. Throws `node.command-failed` when it does not end, and what a login throws. */
export async function untilEnded(
  nodes: Nodes,
  clock: Clock,
  { node, run, deadlineMs, signal }: Watched,
  begun: StepReport,
): Promise<StepReport> {
  const late = clock.now().getTime() + deadlineMs + LATE_MS;
  let report = begun;
  while (report.state.kind === 'running') {
    if (clock.now().getTime() >= late + LATE_MS) throw doesNotEnd(node, run);
    if (clock.now().getTime() >= late) await nodes.on(node, ({ steps }) => steps.stop(run));
    report = await nodes.on(node, ({ steps }) => steps.look(run, { offset: END, waitMs: LOOK_MS, signal }));
  }
  return report;
}

export function doesNotEnd(node: string, run: string): KeyturnError {
  return new KeyturnError('node.command-failed', `Step ${run} on ${node} does not end.`, {
    hint: `Look which of its processes still runs on ${node}, and end it.`,
  });
}
