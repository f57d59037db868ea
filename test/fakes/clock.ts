/** A clock that stands still until the test moves it; sleepers wake in order. */
import type { Clock } from '../../src/ports.ts';

export interface FakeClock extends Clock {
  /** Moves time on and wakes whoever is due. */
  advance(ms: number): Promise<void>;
}

export function fakeClock(start = '2026-11-21T06:00:00.000Z'): FakeClock {
  let now = Date.parse(start);
  let sleepers: { at: number; wake: () => void }[] = [];
  return {
    now: () => new Date(now),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        sleepers.push({ at: now + ms, wake: resolve });
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
    async advance(ms) {
      now += ms;
      const due = sleepers.filter((s) => s.at <= now).sort((a, b) => a.at - b.at);
      sleepers = sleepers.filter((s) => s.at > now);
      for (const sleeper of due) {
        sleeper.wake();
        await Promise.resolve();
      }
    },
  };
}

/** A clock whose time jumps to the next sleeper whenever all that runs has come to wait: hours pass in a moment. */
export function hastyClock(start = '2026-11-21T06:00:00.000Z'): Clock {
  let now = Date.parse(start);
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();
  let pumping = false;
  const pump = (): void => {
    const [next] = [...sleepers].sort((a, b) => a.at - b.at);
    pumping = next !== undefined;
    if (next === undefined) return;
    sleepers.delete(next);
    now = Math.max(now, next.at);
    next.wake();
    setImmediate(pump);
  };
  return {
    now: () => new Date(now),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const sleeper = { at: now + ms, wake: resolve };
        sleepers.add(sleeper);
        const leave = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason as Error);
        };
        signal?.addEventListener('abort', leave, { once: true });
        if (!pumping) setImmediate(pump);
        pumping = true;
      }),
  };
}
