/** Owns what people say to a restore while it runs: that it should stop, and what to do when it can't go on by itself. */
import { decisionWords } from '../../domain/restore-words.ts';
import { progress, wait } from '../../domain/restore-execution.ts';
import type { Decision, RestoreRequest } from '../../domain/restore-request.ts';
import { changeRequest } from '../../restore/change-request.ts';
import type { Execution } from './execution.ts';

/** How often a restore that waits looks whether somebody has decided. */
const ASK_EVERY_MS = 1_500;

/** Who asked for it to be stopped; undefined: nobody. Throws queue.unavailable. */
export async function cancelledBy(x: Execution): Promise<string | undefined> {
  const request = await x.deps.requests.read(x.request);
  return request?.cancel?.by;
}

/** The request says that it is rolled back. Safe twice. Throws queue.unavailable. */
export async function tellRollBack(x: Execution, reason: string): Promise<void> {
  await changeRequest(x.deps, x.request, async (request, now) => progress(request, 'roll-back', now, reason));
}

/**
 * Waits until somebody has decided, for as long as it takes, and journals what was decided. The lease is kept meanwhile:
 * nothing else may begin on a cluster that is half restored.
 */
export async function waitForDecision(x: Execution, reason: string): Promise<void> {
  const options: readonly Decision[] =
    x.record.course.direction === 'forward' ? ['retry', 'roll-back', 'give-up'] : ['retry', 'give-up'];
  for (;;) {
    x.signal.throwIfAborted();
    const request = await x.deps.requests.read(x.request);
    if (request === undefined) return x.record.end('failed', reason);
    const decided = decisionOf(request, x.record.course.waits, options);
    if (decided === 'not-asked') {
      await changeRequest(x.deps, x.request, async (now, at) => wait(now, { reason, options, now: at }));
    } else if (decided !== undefined) {
      return act(x, decided, reason);
    } else {
      await x.deps.clock.sleep(ASK_EVERY_MS, x.signal);
    }
  }
}

interface Decided {
  readonly by: string;
  readonly what: Decision;
}

/**
 * The answer to the newest wait. Waits are counted, in the journal and in the request: times of two machines could not tell
 * whether an answer is to this wait or to one before it.
 */
function decisionOf(
  { history, waiting, decision, cancel }: RestoreRequest,
  waits: number,
  options: readonly Decision[],
): Decided | 'not-asked' | undefined {
  if (history.filter(({ action }) => action === 'wait').length < waits) return 'not-asked';
  if (waiting === undefined) return decision;
  // To stop a restore whose data were swapped is to roll it back.
  return cancel !== undefined && options.includes('roll-back') ? { by: cancel.by, what: 'roll-back' } : undefined;
}

async function act(x: Execution, { by, what }: Decided, reason: string): Promise<void> {
  const { direction } = x.record.course;
  switch (what) {
    case 'retry':
      return x.record.turned(direction, decisionWords.retry(by));
    case 'roll-back':
      return x.record.turned('roll-back', decisionWords.rollBack(by));
    case 'give-up':
      return x.record.end('failed', decisionWords.giveUp(by, reason));
  }
}
