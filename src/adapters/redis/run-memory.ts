/**
 * Owns how often each job was tried and what its attempts remembered: two small Redis keys a job, beside BullMQ's own,
 * so that both are right after kill -9 and no lost worker can overwrite them. Every call is safe to send twice.
 */
import { randomUUID } from 'node:crypto';
import { evaluate, script, WORKER_PATIENCE_MS, type RedisConnections } from './connection.ts';

/** Longer than the queue keeps any job. */
const KEPT_MS = 30 * 24 * 3600 * 1000;

/** KEYS: run, remembered. ARGV: id of this start, time to live. Answers the attempt's number and what is remembered. */
const BEGIN = script(`
if redis.call('HGET', KEYS[1], 'start') ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'spent', 1)
  redis.call('HSET', KEYS[1], 'start', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {tonumber(redis.call('HGET', KEYS[1], 'spent')), redis.call('LRANGE', KEYS[2], 0, -1)}
`);

/** KEYS: run. ARGV: id of the start that shall not count. */
const GIVE_BACK = script(`
if redis.call('HGET', KEYS[1], 'start') == ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'spent', -1)
  redis.call('HDEL', KEYS[1], 'start')
end
return 0
`);

/** KEYS: run, remembered. ARGV: id of this value, value, time to live. */
const REMEMBER = script(`
if redis.call('HGET', KEYS[1], 'value') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
`);

/** Every method waits for a Redis that is away, half a minute at most, then throws queue.unavailable. */
export interface RunMemory {
  /** Counts an attempt. `start` is an id of this very start. */
  begin(jobId: string, start: string): Promise<{ readonly attempt: number; readonly remembered: readonly string[] }>;
  /** This start shall not count. */
  giveBack(jobId: string, start: string): Promise<void>;
  remember(jobId: string, value: string): Promise<void>;
}

export function runMemory(connections: RedisConnections): RunMemory {
  const patience = { patienceMs: WORKER_PATIENCE_MS };
  const keysOf = (jobId: string): [string, string] => [
    `${connections.prefix}:run:${jobId}`,
    `${connections.prefix}:remembered:${jobId}`,
  ];
  return {
    async begin(jobId, start) {
      const answer = await connections.run(
        (redis) => evaluate(redis, BEGIN, keysOf(jobId), [start, KEPT_MS]),
        patience,
      );
      const [attempt, remembered] = answer as [number, string[]];
      return { attempt, remembered };
    },
    async giveBack(jobId, start) {
      await connections.run((redis) => evaluate(redis, GIVE_BACK, [keysOf(jobId)[0]], [start]), patience);
    },
    async remember(jobId, value) {
      const args = [randomUUID(), value, KEPT_MS];
      await connections.run((redis) => evaluate(redis, REMEMBER, keysOf(jobId), args), patience);
    },
  };
}
