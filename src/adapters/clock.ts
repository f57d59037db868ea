/** Owns the time of day: the one place where the program asks the machine what time it is. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock, Log } from '../ports.ts';

export const systemClock: Clock = {
  now: () => new Date(),
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    try {
      await wait(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      // Node rejects with an AbortError of its own; the port promises the signal's reason.
      signal?.throwIfAborted();
      throw error;
    }
  },
};

/**
 * `work` at once and then again and again, `pauseMs` after the last one ended; never two at a time. What it throws is logged
 * once for all failures in a row. A stop waits for what runs.
 */
export function repeat(work: () => Promise<void>, pauseMs: number, log: Log): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const all = async (): Promise<void> => {
    let failed = false;
    while (!stopping.signal.aborted) {
      failed = await work().then(
        () => false,
        (error: unknown) => {
          if (!failed) log.error({ err: error }, 'What is done every few seconds failed; it is tried again and again');
          return true;
        },
      );
      await systemClock.sleep(pauseMs, stopping.signal).catch(() => undefined);
    }
  };
  const running = all();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
