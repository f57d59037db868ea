/** Owns how often and how long a request to a store is tried again. */
import type { Clock } from '../ports.ts';

export interface RetryPolicy {
  /** Tries in all, at least 1. */
  readonly tries: number;
  /** Pause after the first failure, in milliseconds; each further one is 2.5 times as long. */
  readonly pauseMs: number;
  /** No try begins later than this after the first one, in milliseconds. */
  readonly withinMs: number;
}

/**
 * The answer of the first try that succeeds; throws the last error when tries or time run out, at once an error that
 * `isTransient` says no to, and the signal's reason when it is aborted.
 */
export async function retrying<T>(
  action: () => Promise<T>,
  isTransient: (error: unknown) => boolean,
  policy: RetryPolicy,
  clock: Clock,
  signal?: AbortSignal,
): Promise<T> {
  const end = clock.now().getTime() + policy.withinMs;
  for (let tried = 1, pause = policy.pauseMs; ; tried += 1, pause *= 2.5) {
    signal?.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      signal?.throwIfAborted();
      // Many uploads meet the same outage: they must not all come back at the same moment.
      const wait = pause * (0.8 + 0.4 * Math.random());
      if (!isTransient(error) || tried >= policy.tries || clock.now().getTime() + wait > end) throw error;
      await clock.sleep(wait, signal);
    }
  }
}
