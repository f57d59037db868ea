/**
 * Owns that a cluster has one operation at a time among all replicas: a Redis key that its holder keeps renewing, and
 * gives up by its own monotonic clock when it can't.
 */
import { randomUUID } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';
import type { ClusterLease, Lease, Operation } from '../../ports.ts';
import { evaluate, script, type RedisConnections } from './connection.ts';

export interface LeaseTimes {
  /** A lease that is not renewed for so long is free. Default 15,000. */
  readonly ttlMs: number;
  /** Default 5,000. */
  readonly renewMs: number;
}

/**
 * KEYS: lease, counter of tokens. ARGV: operation, holder's own id, time to live. Answers the token and, when someone
 * else holds it, their operation. Twice with one id is as once. A counter that Redis forgot starts at the time in
 * seconds, so that tokens grow even then.
 */
const ACQUIRE = script(`
local held = redis.call('HMGET', KEYS[1], 'holder', 'token', 'operation')
if held[1] == ARGV[2] then return {tonumber(held[2])} end
if held[1] then return {0, held[3]} end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SET', KEYS[2], redis.call('TIME')[1]) end
local token = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'token', token, 'operation', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {token}
`);

/**
 * KEYS: lease, counter. ARGV: operation, holder's own id, time to live, token. 1 while the lease is the holder's. A
 * lease that is gone is made again with its token, unless someone had it meanwhile: then the counter has moved on.
 */
const RENEW = script(`
local holder = redis.call('HGET', KEYS[1], 'holder')
if not holder then
  local counter = tonumber(redis.call('GET', KEYS[2]) or '0')
  if counter > tonumber(ARGV[4]) then return 0 end
  redis.call('SET', KEYS[2], ARGV[4])
  redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'token', ARGV[4], 'operation', ARGV[1])
elseif holder ~= ARGV[2] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`);

/** KEYS: lease. ARGV: holder's own id. */
const RELEASE = script(`
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
`);

export function redisClusterLease(
  connections: RedisConnections,
  times: LeaseTimes = { ttlMs: 15_000, renewMs: 5_000 },
): ClusterLease {
  const keysOf = (cluster: string): [string, string] => [
    `${connections.prefix}:lease:${cluster}`,
    `${connections.prefix}:lease-token:${cluster}`,
  ];
  return {
    async acquire(operation) {
      const holder = randomUUID();
      const keys = keysOf(operation.cluster);
      let askedAt = 0;
      const [token, heldBy] = (await connections.run((redis) => {
        askedAt = performance.now();
        return evaluate(redis, ACQUIRE, keys, [JSON.stringify(operation), holder, times.ttlMs]);
      })) as [number, string?];
      if (heldBy !== undefined) return { heldBy: JSON.parse(heldBy) as Operation };
      return hold(connections, { operation, holder, token, keys, times, askedAt });
    },
    async current(cluster) {
      const text = await connections.run((redis) => redis.hget(keysOf(cluster)[0], 'operation'));
      return text === null ? undefined : (JSON.parse(text) as Operation);
    },
  };
}

interface Held {
  readonly operation: Operation;
  readonly holder: string;
  readonly token: number;
  readonly keys: readonly [string, string];
  readonly times: LeaseTimes;
  /** By the monotonic clock, before the request that Redis answered was sent. */
  readonly askedAt: number;
}

/** Renews until the lease is released or lost. */
function hold(connections: RedisConnections, { operation, holder, token, keys, times, askedAt }: Held): Lease {
  const lost = new AbortController();
  let released = false;
  let sureUntil = askedAt + times.ttlMs;
  // Apart from renewing, because a request to a Redis that hangs can take longer than the lease lasts.
  const watch = setInterval(() => {
    if (performance.now() >= sureUntil) lose('it could not be renewed in time');
  }, times.ttlMs / 20).unref();
  const renewal = setInterval(() => void renew(), times.renewMs).unref();
  let renewing = false;

  function end(): void {
    clearInterval(watch);
    clearInterval(renewal);
  }

  function lose(why: string): void {
    if (released || lost.signal.aborted) return;
    end();
    lost.abort(
      new KeyturnError('lease.lost', `The lease of cluster ${operation.cluster} was lost: ${why}.`, {
        hint: 'See that Redis can be reached from here; the operation is tried again where attempts are left.',
      }),
    );
  }

  async function renew(): Promise<void> {
    if (renewing) return;
    renewing = true;
    try {
      let sentAt = 0;
      const args = [JSON.stringify(operation), holder, times.ttlMs, token];
      const mine = await connections.run(
        async (redis) => {
          // A renewal that comes after the release would make the lease again.
          if (released) return 1;
          sentAt = performance.now();
          return evaluate(redis, RENEW, keys, args);
        },
        { patienceMs: times.renewMs },
      );
      if (mine === 1) sureUntil = Math.max(sureUntil, sentAt + times.ttlMs);
      else lose('someone else holds it now');
    } catch (error) {
      connections.complaints.about(`The lease of cluster ${operation.cluster} could not be renewed`, error);
    } finally {
      renewing = false;
    }
  }

  return {
    token,
    lost: lost.signal,
    async release() {
      if (released) return;
      released = true;
      end();
      try {
        await connections.run((redis) => evaluate(redis, RELEASE, [keys[0]], [holder]));
      } catch (error) {
        // Nothing is wrong with the operation: the lease runs out by itself.
        connections.complaints.about(`The lease of cluster ${operation.cluster} could not be released`, error);
      }
    },
  };
}
