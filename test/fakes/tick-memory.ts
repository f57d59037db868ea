/** The memory of queued runs, in memory. */
import type { TickMemory } from '../../src/ports.ts';

export function fakeTickMemory(): TickMemory {
  const runs = new Map<string, Date>();
  return {
    async lastQueuedRun(cluster) {
      return runs.get(cluster);
    },
    async setLastQueuedRun(cluster, run) {
      const known = runs.get(cluster);
      if (known === undefined || known < run) runs.set(cluster, run);
    },
  };
}
