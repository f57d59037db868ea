/** The memory of what was read and told, in memory. */
import type { ScrubMemory } from '../../src/ports.ts';

export function fakeScrubMemory(): ScrubMemory {
  const reads = new Map<string, Map<string, Date>>();
  const tellings = new Map<string, string>();
  const readsOf = (cluster: string): Map<string, Date> => {
    const known = reads.get(cluster) ?? new Map<string, Date>();
    reads.set(cluster, known);
    return known;
  };
  return {
    async lastReads(cluster) {
      return new Map(readsOf(cluster));
    },
    async setRead(cluster, copy, at) {
      const known = readsOf(cluster).get(copy);
      if (known === undefined || known < at) readsOf(cluster).set(copy, at);
    },
    async forget(cluster, copies) {
      for (const copy of copies) readsOf(cluster).delete(copy);
    },
    async told(what) {
      return tellings.get(what);
    },
    async setTold(what, operation) {
      if (operation === undefined) tellings.delete(what);
      else tellings.set(what, operation);
    },
  };
}
