/** Owns when each stored copy was last read and what was told of it: one Redis hash a cluster, and one for all that was told. */
import type { ScrubMemory } from '../../ports.ts';
import type { RedisConnections } from './connection.ts';
import { moveForward } from './move-forward.ts';

export function redisScrubMemory(connections: RedisConnections): ScrubMemory {
  const readsOf = (cluster: string): string => `${connections.prefix}:scrub:read:${cluster}`;
  const told = `${connections.prefix}:scrub:told`;
  return {
    async lastReads(cluster) {
      const reads = await connections.run((redis) => redis.hgetall(readsOf(cluster)));
      return new Map(Object.entries(reads).map(([copy, ms]) => [copy, new Date(Number(ms))]));
    },
    setRead: (cluster, copy, at) => moveForward(connections, readsOf(cluster), copy, at),
    async forget(cluster, copies) {
      if (copies.length > 0) await connections.run((redis) => redis.hdel(readsOf(cluster), ...copies));
    },
    async told(what) {
      return (await connections.run((redis) => redis.hget(told, what))) ?? undefined;
    },
    async setTold(what, operation) {
      await connections.run<unknown>((redis) =>
        operation === undefined ? redis.hdel(told, what) : redis.hset(told, what, operation),
      );
    },
  };
}
