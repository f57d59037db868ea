/** Owns the newest scheduled run that was queued for each cluster, in one Redis hash. */
import type { TickMemory } from '../../ports.ts';
import type { RedisConnections } from './connection.ts';
import { moveForward } from './move-forward.ts';

export function redisTickMemory(connections: RedisConnections): TickMemory {
  const key = `${connections.prefix}:ticks`;
  return {
    async lastQueuedRun(cluster) {
      const ms = await connections.run((redis) => redis.hget(key, cluster));
      return ms === null ? undefined : new Date(Number(ms));
    },
    async setLastQueuedRun(cluster, run) {
      await moveForward(connections, key, cluster, run);
    },
  };
}
