/** Owns patience: how long somebody waits for something that may never come. */

/** The part of a clock that is needed for it. */
export interface Sleeper {
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** `work`, or the error of `late` when it takes longer than `ms`; what it still does afterwards is not waited for. */
export async function within<T>(clock: Sleeper, ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const done = new AbortController();
  const timeUp = clock.sleep(ms, done.signal).then(() => {
    throw late();
  });
  work.catch(() => undefined); // it may fail after the time is up, when nobody listens any more
  timeUp.catch(() => undefined);
  try {
    return await Promise.race([work, timeUp]);
  } finally {
    done.abort();
  }
}
