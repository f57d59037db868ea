/** The machine's own clock, for tests of adapters that meet real sockets and files. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/ports.ts';

export const systemClock: Clock = {
  now: () => new Date(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted();
    await sleep(ms, undefined, signal && { signal }).catch((error: unknown) => {
      throw signal?.aborted ? signal.reason : error;
    });
  },
};
