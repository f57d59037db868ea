/**
 * Owns where restore requests are kept: one Redis hash a request, and three indexes that the same scripts keep right.
 *
 *   request:<id>         json, version, cluster, open (1 or 0), change: id of the change that made this version
 *   requests-open        hash, cluster → id of its open request
 *   requests-untold      hash, id → version that nobody was told of yet
 *   requests-of:<cluster> sorted set, id → creation in milliseconds
 *
 * Open requests are never forgotten, those that ended after 400 days.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { isOpen } from '../../domain/restore-request.ts';
import type { RestoreRequest } from '../../domain/restore-request.ts';
import type { RestoreRequests } from '../../ports.ts';
import { evaluate, script, type RedisConnections } from './connection.ts';

const KEPT_MS = 400 * 24 * 3600 * 1000;

/**
 * KEYS: request, open ones, untold ones, those of the cluster. ARGV: id, cluster, json, version, created, change, time to live.
 * Answers nothing when it was kept, else the id that stands in the way. Twice with one change is as once.
 */
const CREATE = script(`
local change = redis.call('HGET', KEYS[1], 'change')
if change == ARGV[6] then return false end
if change then return ARGV[1] end
local held = redis.call('HGET', KEYS[2], ARGV[2])
if held then return held end
redis.call('HSET', KEYS[1], 'json', ARGV[3], 'version', ARGV[4], 'cluster', ARGV[2], 'open', '1', 'change', ARGV[6])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', time[1] * 1000 - 2 * ARGV[7])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
return false
`);

/**
 * KEYS: request, open ones, untold ones. ARGV: id, json, expected version, new version, open (1 or 0), change, time to live.
 * The change's own id makes a change that is sent again after a lost answer succeed once.
 */
const CHANGE = script(`
local known = redis.call('HMGET', KEYS[1], 'version', 'open', 'change', 'cluster')
if known[3] == ARGV[6] then return 1 end
if known[1] ~= ARGV[3] or known[2] ~= '1' then return 0 end
redis.call('HSET', KEYS[1], 'json', ARGV[2], 'version', ARGV[4], 'open', ARGV[5], 'change', ARGV[6])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
if ARGV[5] == '0' then
  if redis.call('HGET', KEYS[2], known[4]) == ARGV[1] then redis.call('HDEL', KEYS[2], known[4]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
end
return 1
`);

/** KEYS: untold ones. ARGV: id, version that was told. */
const TOLD = script(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
`);

export function redisRestoreRequests(connections: RedisConnections): RestoreRequests {
  const { prefix } = connections;
  const keyOf = (id: string): string => `${prefix}:request:${id}`;
  const openKey = `${prefix}:requests-open`;
  const untoldKey = `${prefix}:requests-untold`;
  const clusterKey = (cluster: string): string => `${prefix}:requests-of:${cluster}`;

  async function readAll(redis: Redis, ids: readonly string[]): Promise<RestoreRequest[]> {
    const texts = await Promise.all(ids.map((id) => redis.hget(keyOf(id), 'json')));
    return texts.flatMap((text) => (text === null ? [] : [parse(text)]));
  }

  return {
    async create(request) {
      const { id, cluster, version, createdAt } = request;
      const keys = [keyOf(id), openKey, untoldKey, clusterKey(cluster)];
      const args = [id, cluster, JSON.stringify(request), version, Date.parse(createdAt), changeOf(request), KEPT_MS];
      const by = (await connections.run((redis) => evaluate(redis, CREATE, keys, args))) as string | null;
      return by === null ? { kind: 'created' } : { kind: 'taken', by };
    },
    async read(id) {
      return (await connections.run((redis) => readAll(redis, [id])))[0];
    },
    async compareAndSet(next) {
      const open = isOpen(next.state) ? '1' : '0';
      const args = [next.id, JSON.stringify(next), next.version - 1, next.version, open, randomUUID(), KEPT_MS];
      const keys = [keyOf(next.id), openKey, untoldKey];
      return (await connections.run((redis) => evaluate(redis, CHANGE, keys, args))) === 1;
    },
    async open() {
      const found = await connections.run(async (redis) => readAll(redis, await redis.hvals(openKey)));
      // One that ended between the two looks is not open.
      return found.filter(({ state }) => isOpen(state)).sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
    },
    async byCluster(cluster, most) {
      return connections.run(async (redis) =>
        readAll(redis, await redis.zrevrange(clusterKey(cluster), 0, Math.max(most, 1) - 1)),
      );
    },
    untold: () => connections.run(async (redis) => readAll(redis, await redis.hkeys(untoldKey))),
    async markTold({ id, version }) {
      await connections.run((redis) => evaluate(redis, TOLD, [untoldKey], [id, version]));
    },
  };
}

/** The same request makes the same change, so creating it twice is as once. */
function changeOf(request: RestoreRequest): string {
  return `create-${request.digest}-${request.createdAt}`;
}

function parse(text: string): RestoreRequest {
  return JSON.parse(text) as RestoreRequest;
}
