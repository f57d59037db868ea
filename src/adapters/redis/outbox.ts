/**
 * Owns the order in which messages go out: one at a time among all replicas, kept while Slack is away, none lost to
 * kill -9. The state is a few Redis keys, changed only by the scripts below; time in them is Redis' own.
 *
 *   outbox:waiting  sorted set, key → place in the line
 *   outbox:resting  sorted set, key → when its next try is due; its delivery threw
 *   outbox:failing  hash, key → `tries first-failure-ms`; removed when delivered
 *   outbox:running  hash key, turn: the delivery that was begun and did not end; the next turn begins with it
 *   outbox:turn     who delivers now; runs out when its holder dies
 *   outbox:pause    nothing is delivered while it exists
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log, Outbox, Worker } from '../../ports.ts';
import { evaluate, script, WORKER_PATIENCE_MS, type RedisConnections } from './connection.ts';

export interface OutboxTimes {
  /** How soon a message that another process asked for is seen. Default 200. */
  readonly pollMs: number;
  /** A replica that gives no sign for so long has lost its turn. Default 15,000. */
  readonly turnMs: number;
  /** After the first failure of a message; doubles up to `longestRetryMs`. Defaults 1,000 and 60,000. */
  readonly retryMs: number;
  readonly longestRetryMs: number;
  /** A message that failed for so long is dropped, with an error in the log. Default 24 hours. */
  readonly giveUpMs: number;
}

const DEFAULT_TIMES: OutboxTimes = {
  pollMs: 200,
  turnMs: 15_000,
  retryMs: 1_000,
  longestRetryMs: 60_000,
  giveUpMs: 24 * 3600 * 1000,
};

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS: waiting, resting, counter. ARGV: key. */
const ENQUEUE = script(`
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], redis.call('INCR', KEYS[3]), ARGV[1])
return 1
`);

/**
 * KEYS: waiting, resting, running, turn, pause. ARGV: turn, its time to live. The next key to deliver: one whose delivery
 * did not end, else one whose rest is over, else the first in line. Nothing while it is paused or another's turn.
 */
const TAKE = script(`${NOW}
local turn = redis.call('GET', KEYS[4])
if turn and turn ~= ARGV[1] then return false end
if redis.call('EXISTS', KEYS[5]) == 1 then return false end
local key = redis.call('HGET', KEYS[3], 'key')
if not key then key = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1)[1] end
if not key then key = redis.call('ZRANGE', KEYS[1], 0, 0)[1] end
if not key then return false end
redis.call('ZREM', KEYS[1], key)
redis.call('ZREM', KEYS[2], key)
redis.call('HSET', KEYS[3], 'key', key, 'turn', ARGV[1])
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
return key
`);

/** KEYS: turn. ARGV: turn, its time to live. 1 while it is the holder's. */
const KEEP_TURN = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`);

/** Ends a delivery only for the turn that runs it. */
const IF_MINE = `
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then return false end
local key = redis.call('HGET', KEYS[1], 'key')
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
`;

/**
 * KEYS: running, turn, failing, waiting, resting, counter. ARGV: turn, key. A delivery that another turn has taken over
 * may have put an old state over a newer one: the message is owed one more.
 */
const DELIVERED = script(`
if redis.call('HGET', KEYS[1], 'turn') ~= ARGV[1] then
  if not redis.call('ZSCORE', KEYS[5], ARGV[2]) then
    redis.call('ZADD', KEYS[4], 'NX', redis.call('INCR', KEYS[6]), ARGV[2])
  end
  return false
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[3], ARGV[2])
return false
`);

/** KEYS: running, turn, pause. ARGV: turn, ms. The delivery stays begun, so that it comes first. */
const PAUSED = script(`${IF_MINE}
redis.call('HDEL', KEYS[1], 'turn')
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[3], '1', 'PX', ARGV[2]) end
return false
`);

/** KEYS: running, turn, failing, waiting, resting. ARGV: turn, first retry, longest retry, give up. Tells a dropped key. */
const THREW = script(`${NOW}${IF_MINE}
redis.call('DEL', KEYS[1])
local tries, since = string.match(redis.call('HGET', KEYS[3], key) or '', '^(%d+) (%d+)$')
tries, since = tonumber(tries or '0') + 1, tonumber(since or now)
if now - since > tonumber(ARGV[4]) then
  redis.call('HDEL', KEYS[3], key)
  return key
end
redis.call('HSET', KEYS[3], key, string.format('%d %d', tries, since))
redis.call('ZREM', KEYS[4], key)
redis.call('ZADD', KEYS[5], now + math.min(ARGV[2] * 2 ^ math.min(tries - 1, 30), tonumber(ARGV[3])), key)
return false
`);

type Handler = Parameters<Outbox['deliver']>[0];
type End = 'delivered' | 'threw' | { readonly pauseMs: number };

export function redisOutbox(connections: RedisConnections, log: Log, times: OutboxTimes = DEFAULT_TIMES): Outbox {
  const patience = { patienceMs: WORKER_PATIENCE_MS };
  const names = ['waiting', 'resting', 'counter', 'running', 'turn', 'pause', 'failing'] as const;
  const keys = Object.fromEntries(names.map((name) => [name, `${connections.prefix}:outbox:${name}`])) as Record<
    (typeof names)[number],
    string
  >;
  const workers = new Set<Worker>();
  /** Wakes the workers of this process at once; those of others poll. */
  const wakers = new Set<() => void>();

  async function take(turn: string): Promise<{ readonly key: string | undefined; readonly askedAt: number }> {
    const scriptKeys = [keys.waiting, keys.resting, keys.running, keys.turn, keys.pause];
    let askedAt = 0;
    const key = await connections.run((redis) => {
      askedAt = performance.now();
      return evaluate(redis, TAKE, scriptKeys, [turn, times.turnMs]);
    });
    return { key: (key as string | null) ?? undefined, askedAt };
  }

  /** Until when, by the monotonic clock, the turn is surely ours; undefined when it can't be told. */
  async function keepTurn(turn: string): Promise<number | undefined> {
    let askedAt = 0;
    const mine = await connections.run((redis) => {
      askedAt = performance.now();
      return evaluate(redis, KEEP_TURN, [keys.turn], [turn, times.turnMs]);
    });
    return mine === 1 ? askedAt + times.turnMs : undefined;
  }

  async function settle(turn: string, key: string, end: End): Promise<void> {
    const dropped = await connections.run((redis) => {
      if (end === 'delivered') {
        const scriptKeys = [keys.running, keys.turn, keys.failing, keys.waiting, keys.resting, keys.counter];
        return evaluate(redis, DELIVERED, scriptKeys, [turn, key]);
      }
      if (end !== 'threw') {
        return evaluate(redis, PAUSED, [keys.running, keys.turn, keys.pause], [turn, Math.ceil(end.pauseMs)]);
      }
      const scriptKeys = [keys.running, keys.turn, keys.failing, keys.waiting, keys.resting];
      return evaluate(redis, THREW, scriptKeys, [turn, times.retryMs, times.longestRetryMs, times.giveUpMs]);
    }, patience);
    if (dropped !== null) {
      log.error({ key: dropped }, 'A message could not be delivered for a day and is given up');
    }
  }

  function startWorker(handler: Handler): Worker {
    const stopping = new AbortController();
    /** The turn that is being used. Once it is handed over, its own end only asks for one more delivery. */
    let delivering: { readonly turn: string; readonly key: string } | undefined;
    let woken = false;
    let endRest = (): void => undefined;

    /** Ends a rest; one that comes while a delivery runs ends the next rest. */
    function wake(): void {
      woken = true;
      endRest();
    }

    /** Until the next poll, or until this process asks for a message or the worker stops. */
    async function rest(): Promise<void> {
      if (!woken) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, times.pollMs);
          endRest = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      woken = false;
    }

    async function deliverNext(): Promise<boolean> {
      const turn = randomUUID();
      const { key, askedAt } = await take(turn);
      if (key === undefined) return false;
      delivering = { turn, key };
      let oursUntil = askedAt + times.turnMs;
      const keeping = setInterval(() => {
        keepTurn(turn).then(
          (until) => (oursUntil = until ?? oursUntil),
          (error: unknown) => connections.complaints.about("The outbox can't keep its turn", error),
        );
      }, times.turnMs / 3);
      try {
        const end = await handler(key, () => performance.now() < oursUntil).catch((error: unknown): End => {
          connections.complaints.about('A message could not be delivered and is tried again', error);
          return 'threw';
        });
        await settle(turn, key, end);
      } finally {
        clearInterval(keeping);
        delivering = undefined;
      }
      return true;
    }

    async function run(): Promise<void> {
      while (!stopping.signal.aborted) {
        const more = await deliverNext().catch((error: unknown) => {
          connections.complaints.about('The outbox waits for Redis', error);
          return false;
        });
        if (!more) await rest();
      }
    }

    wakers.add(wake);
    const ended = run();

    async function stop(graceMs: number): Promise<void> {
      stopping.abort();
      wakers.delete(wake);
      wake();
      const grace = new AbortController();
      await Promise.race([ended, sleep(graceMs, undefined, { signal: grace.signal }).catch(() => undefined)]);
      grace.abort();
      if (delivering === undefined) return;
      // The delivery stays begun: whoever has the next turn makes it again.
      await settle(delivering.turn, delivering.key, { pauseMs: 0 }).catch((error: unknown) =>
        connections.complaints.about('A delivery could not be handed over', error),
      );
    }

    let stopped: Promise<void> | undefined;
    return { stop: (graceMs) => (stopped ??= stop(graceMs)) };
  }

  return {
    async enqueue(key) {
      await connections.run(
        (redis) => evaluate(redis, ENQUEUE, [keys.waiting, keys.resting, keys.counter], [key]),
        patience,
      );
      for (const wake of wakers) wake();
    },
    async deliver(handler) {
      const worker = startWorker(handler);
      workers.add(worker);
      return worker;
    },
    async close() {
      await Promise.all([...workers].map((worker) => worker.stop(0)));
    },
  };
}
