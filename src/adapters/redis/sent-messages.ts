/** Owns what is known of each message in Slack: one Redis hash a message, forgotten 90 days after its last change. */
import { randomUUID } from 'node:crypto';
import type { MessageRecord, SentMessages } from '../../ports.ts';
import { evaluate, script, WORKER_PATIENCE_MS, type RedisConnections } from './connection.ts';

const KEPT_MS = 90 * 24 * 3600 * 1000;

/**
 * KEYS: the hash. ARGV: state, expected version, the change's own id, time to live.
 * The id makes a change that is sent again after a lost answer succeed once.
 */
const CHANGE_STATE = script(`
local known = redis.call('HMGET', KEYS[1], 'version', 'change')
if known[2] == ARGV[3] then return 1 end
if (known[1] or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'version', tonumber(ARGV[2]) + 1, 'change', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`);

/** KEYS: the hash. ARGV: time to live, fields and values; an empty value removes. Nothing for an unknown message. */
const MARK = script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`);

export function redisSentMessages(connections: RedisConnections): SentMessages {
  const patience = { patienceMs: WORKER_PATIENCE_MS };
  const keyOf = (key: string): string => `${connections.prefix}:message:${key}`;
  const mark = async (key: string, fields: readonly string[]): Promise<void> => {
    await connections.run((redis) => evaluate(redis, MARK, [keyOf(key)], [KEPT_MS, ...fields]), patience);
  };
  return {
    async read(key) {
      const fields = await connections.run((redis) => redis.hgetall(keyOf(key)), patience);
      return toRecord(key, fields);
    },
    async changeState(key, state, expectedVersion) {
      const args = [JSON.stringify(state), expectedVersion, randomUUID(), KEPT_MS];
      return (await connections.run((redis) => evaluate(redis, CHANGE_STATE, [keyOf(key)], args), patience)) === 1;
    },
    markPosting: (key, since) => mark(key, ['postingSince', since.toISOString()]),
    markSent: (key, sent) => mark(key, ['sent', JSON.stringify(sent), 'postingSince', '']),
  };
}

function toRecord(key: string, fields: Partial<Record<string, string>>): MessageRecord | undefined {
  if (fields['version'] === undefined || fields['state'] === undefined) return undefined;
  return {
    key,
    state: JSON.parse(fields['state']) as unknown,
    version: Number(fields['version']),
    sent: fields['sent'] === undefined ? undefined : (JSON.parse(fields['sent']) as MessageRecord['sent']),
    postingSince: fields['postingSince'],
  };
}
