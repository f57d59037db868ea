/** Owns the newest scheduled run that was queued for each cluster, in one Redis hash. */
import type { TickMemory } from '../../ports.ts';
import { evaluate, script, type RedisConnections } from './connection.ts';

/** KEYS: the hash. ARGV: cluster, run in milliseconds. Twice is as once. */
const MOVE_FORWARD = script(`
local known = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '-1')
if tonumber(ARGV[2]) > known then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 0
`);

export function redisTickMemory(connections: RedisConnections): TickMemory {
  const key = `${connections.prefix}:ticks`;
  return {
    async lastQueuedRun(cluster) {
      const ms = await connections.run((redis) => redis.hget(key, cluster));
      return ms === null ? undefined : new Date(Number(ms));
    },
    async setLastQueuedRun(cluster, run) {
      await connections.run((redis) => evaluate(redis, MOVE_FORWARD, [key], [cluster, run.getTime()]));
    },
  };
}
