/** Owns how long something may take: one signal for all that can end it. */
import type { Clock } from '../ports.ts';

/** Aborted with `reason()` after `ms`, or with the reason of the first of `signals`. Call `cancel` when it is over. */
export function timeLimit(
  clock: Pick<Clock, 'sleep'>,
  ms: number,
  reason: () => Error,
  ...signals: readonly AbortSignal[]
): { readonly signal: AbortSignal; readonly cancel: () => void } {
  const overtime = new AbortController();
  const cancelled = new AbortController();
  clock.sleep(ms, cancelled.signal).then(
    () => overtime.abort(reason()),
    () => undefined,
  );
  return { signal: AbortSignal.any([...signals, overtime.signal]), cancel: () => cancelled.abort() };
}
