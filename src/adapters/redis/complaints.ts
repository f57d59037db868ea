/** Owns how often the same trouble is logged: once, then at most every half minute with a count, and its end. */
import type { Log } from '../../ports.ts';

export interface Complaints {
  /** Logs `what` with its error as a warning, or only counts it when it was logged shortly before. */
  about(what: string, error: unknown): void;
  /** Says that all is well again, when something was complained about. */
  over(message: string): void;
}

const QUIET_MS = 30_000;
/** Texts of errors can differ each time; so many are kept apart at most. */
const MOST = 100;

export function complaints(log: Log, now: () => number = () => performance.now()): Complaints {
  const known = new Map<string, { loggedAt: number; unlogged: number }>();
  return {
    about(what, error) {
      const topic = `${what}: ${error instanceof Error ? error.message : String(error)}`;
      const before = known.get(topic);
      if (before !== undefined && now() - before.loggedAt < QUIET_MS) {
        before.unlogged += 1;
        return;
      }
      if (known.size >= MOST) known.clear();
      known.set(topic, { loggedAt: now(), unlogged: 0 });
      log.warn({ error, ...(before === undefined ? {} : { alsoHappened: before.unlogged }) }, what);
    },
    over(message) {
      if (known.size > 0) log.info({}, message);
      known.clear();
    },
  };
}
