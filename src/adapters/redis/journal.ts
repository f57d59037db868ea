/**
 * Owns what is known of each restore's course: one Redis list a restore, guarded by the highest fencing token it has seen.
 * The nodes keep records of their own; where a Redis that was not synced forgot the last moments, theirs count.
 */
import { randomUUID } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';
import type { JournalEntry } from '../../domain/journal.ts';
import type { RestoreJournal } from '../../ports.ts';
import { evaluate, script, WORKER_PATIENCE_MS, type RedisConnections } from './connection.ts';

/** Longer than anybody keeps a restore waiting; what must be kept for good is in the audit. */
const KEPT_MS = 400 * 24 * 3600 * 1000;

/**
 * KEYS: the list, its guard (a hash). ARGV: token, time to live, and to append also the entry and its id. Answers the
 * highest token: when it is not ours, nothing was done. An entry that is sent again after a lost answer is there once.
 */
const APPEND = script(`
local highest = tonumber(redis.call('HGET', KEYS[2], 'token') or '0')
local token = tonumber(ARGV[1])
if token < highest then return highest end
redis.call('HSET', KEYS[2], 'token', ARGV[1])
if ARGV[3] and redis.call('HSETNX', KEYS[2], 'id:' .. ARGV[4], 1) == 1 then
  redis.call('RPUSH', KEYS[1], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return token
`);

export function redisRestoreJournal(connections: RedisConnections): RestoreJournal {
  const patience = { patienceMs: WORKER_PATIENCE_MS };
  // In one slot of a Redis cluster, so that one script may touch both.
  const keysOf = (request: string): [string, string] => [
    `${connections.prefix}:journal:{${request}}`,
    `${connections.prefix}:journal:{${request}}:guard`,
  ];
  const append = async (request: string, token: number, entry: readonly string[]): Promise<void> => {
    const args = [token, KEPT_MS, ...entry];
    const highest = await connections.run((redis) => evaluate(redis, APPEND, keysOf(request), args), patience);
    if (highest !== token) throw overtaken(request, token, Number(highest));
  };
  const read = async (request: string): Promise<readonly JournalEntry[]> => {
    const lines = await connections.run((redis) => redis.lrange(keysOf(request)[0], 0, -1), patience);
    return lines.map((line) => JSON.parse(line) as JournalEntry);
  };
  return {
    read,
    async takeOver(request, token) {
      await append(request, token, []);
      return read(request);
    },
    append: (request, token, event) => append(request, token, [JSON.stringify({ token, event }), randomUUID()]),
  };
}

function overtaken(request: string, token: number, highest: number): KeyturnError {
  return new KeyturnError('lease.lost', `Restore ${request} is led by token ${highest} now; ours is ${token}.`, {
    hint: 'Stop at once: another replica goes on with this restore.',
  });
}
