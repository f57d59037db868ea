/** Owns times that only go on, in a Redis hash: whoever comes late changes nothing. */
import { evaluate, script, type RedisConnections } from './connection.ts';

/** KEYS: the hash. ARGV: field, time in milliseconds. Twice is as once. */
const MOVE_FORWARD = script(`
local known = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '-1')
if tonumber(ARGV[2]) > known then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 0
`);

/** Throws queue.unavailable. */
export async function moveForward(connections: RedisConnections, key: string, field: string, at: Date): Promise<void> {
  await connections.run((redis) => evaluate(redis, MOVE_FORWARD, [key], [field, at.getTime()]));
}
