/** Owns the words in which a restore says why it turns, waits or ends, and what people can do then. */
import type { Problem } from './error.ts';
import type { Phase } from './plan.ts';

/** One that went wrong on a node. */
interface Trouble {
  readonly node: string;
  readonly problem: Problem;
}

/** `by`: a Slack user id. */
export const decisionWords = {
  retry: (by: string): string => `<@${by}> said to try again.`,
  rollBack: (by: string): string => `<@${by}> said to roll it back.`,
  giveUp: (by: string, reason: string): string =>
    `${reason} <@${by}> gave it up. Go on by hand: the runbook of this request has every script, "Undo" included; no etcd may be started on old data before every other node's etcd is seen to be stopped.`,
} as const;

export function cancelWords(by: string): string {
  return `<@${by}> asked to stop it.`;
}

/** Why it does not go on forward, with what to do about each node. */
export function failedWords({ title }: Pick<Phase, 'title'>, troubles: readonly Trouble[]): string {
  return `"${title}" failed. ${advice(troubles)}`;
}

/** It waits, with the restored data in place and the old ones aside. */
export function askWords(failed: string): string {
  return `${failed} The old data lie aside, untouched. Retry does what failed once more, roll-back puts the old data back, give-up leaves everything as it is now.`;
}

/** It can't be taken back without people. `scripts`: the steps to undo by hand, by node. */
export function stuckWords(troubles: readonly Trouble[], scripts: ReadonlyMap<string, readonly string[]>): string {
  const byHand = [...scripts].map(([node, steps]) => `on ${node} ${steps.join(', then ')}`).join('; ');
  return `It can't be taken back by itself. ${advice(troubles)} Retry when that is mended. By hand: run the script "Undo" (it is in the runbook of this request) of ${byHand}; start no etcd before all are stopped.`;
}

/** The old cluster was started again, and was not seen to serve. `left`: about each node that was not taken back. */
export function notBackWords(troubles: readonly Trouble[], left: readonly string[]): string {
  const [begin, retry] =
    left.length === 0
      ? ['Everything was taken back, but the old cluster was not seen to serve.', 'looks again']
      : [`The old cluster was not seen to serve. ${left.join(' ')}`, 'takes back what is left and looks again'];
  return `${begin} ${advice(troubles)} Retry ${retry}, give-up ends the restore as failed.`;
}

/** A warning of the report. */
export function leftBehindWords({ node, problem }: Trouble, steps: readonly string[]): string {
  const what = steps.length === 0 ? '' : ` When it is back, run there the script "Undo" of ${steps.join(', then ')}.`;
  return `${node} was not taken back: ${problem.message}${what}`;
}

/** Each trouble once, though many nodes may have it. */
function advice(troubles: readonly Trouble[]): string {
  return [...new Set(troubles.map(({ problem }) => `${problem.message} ${problem.hint}`.trim()))].join(' ');
}
