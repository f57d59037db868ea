/** Owns where is kept what is known of each person's one-time codes: one Redis hash a person, secrets in it sealed. */
import { randomUUID } from 'node:crypto';
import type { StepUpRecord } from '../../domain/step-up.ts';
import type { StepUpRecords } from '../../ports.ts';
import { evaluate, script, type RedisConnections } from './connection.ts';

/** KEYS: the hash. ARGV: json, expected version, new version, the change's own id. 1 when it was kept. */
const CHANGE = script(`
local known = redis.call('HMGET', KEYS[1], 'version', 'change')
if known[2] == ARGV[4] then return 1 end
if (known[1] or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'json', ARGV[1], 'version', ARGV[3], 'change', ARGV[4])
return 1
`);

export function redisStepUpRecords(connections: RedisConnections): StepUpRecords {
  const keyOf = (user: string): string => `${connections.prefix}:step-up:${user}`;
  return {
    async read(user) {
      const text = await connections.run((redis) => redis.hget(keyOf(user), 'json'));
      return text === null ? undefined : (JSON.parse(text) as StepUpRecord);
    },
    async compareAndSet(next) {
      const args = [JSON.stringify(next), next.version - 1, next.version, randomUUID()];
      return (await connections.run((redis) => evaluate(redis, CHANGE, [keyOf(next.user)], args))) === 1;
    },
  };
}
