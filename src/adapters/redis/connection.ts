/**
 * Owns how Redis is reached: addresses, reconnecting, how long a command may wait, and what its failures mean to people.
 * Commands fail soon with queue.unavailable; only workers wait for as long as Redis is away.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { KeyturnError } from '../../domain/error.ts';
import type { Log } from '../../ports.ts';
import { complaints, type Complaints } from './complaints.ts';

export interface RedisSettings {
  /** `redis://[user[:password]@]host[:port][/db]`, `rediss://…` for TLS, or `unix:///path`. */
  readonly url: string;
  /** Goes before one in the URL. */
  readonly password: string | undefined;
  /** Prefix of every key. */
  readonly prefix: string;
  readonly log: Log;
}

/** Where Redis is and who logs in, as both ioredis and BullMQ take it. */
interface Address {
  host?: string;
  port?: number;
  path?: string;
  db?: number;
  username?: string;
  password?: string;
  tls?: { servername?: string };
}

export interface WorkerOptions extends Address {
  readonly connectTimeout: number;
  readonly keepAlive: number;
  readonly retryStrategy: (times: number) => number;
  readonly maxRetriesPerRequest: null;
  readonly socketTimeout: number;
}

/** A Lua script; `run` hands it to Redis by its digest. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export interface RedisConnections {
  readonly prefix: string;
  /** Where Redis is, for people: host and port or path, no password. */
  readonly where: string;
  /** Logs what goes wrong in the background, the same thing at most every half minute. */
  readonly complaints: Complaints;
  /**
   * Does `work` on the shared connection, again and again while Redis is away, for `patienceMs` at most (default 2,000).
   * So `work` must be safe to do twice. Throws queue.unavailable.
   */
  run<T>(work: (redis: Redis) => Promise<T>, options?: { readonly patienceMs?: number }): Promise<T>;
  /** What a BullMQ worker's own connections are made of: they wait for Redis without end. */
  readonly workerOptions: WorkerOptions;
  /** Whether there is a connection now; it may be one that hangs. */
  isUp(): boolean;
  /** One line on version and persistence, with a warning where queued work could be lost. Throws queue.unavailable. */
  check(): Promise<string>;
  /** Safe twice. */
  close(): Promise<void>;
}

/** How long publishing and the bookkeeping of running jobs wait for a Redis that restarts. */
export const WORKER_PATIENCE_MS = 30_000;

const COMMAND_PATIENCE_MS = 2_000;
const COMMAND_TIMEOUT_MS = 5_000;
/** Longer than the longest blocking read of a worker (10 s), so that a dead network path is noticed. */
const SILENCE_MS = 25_000;

/** Connects at the first use. Throws config.invalid for a URL that is none. */
export function redisConnections(settings: RedisSettings): RedisConnections {
  const address = parseAddress(settings.url, settings.password);
  const where = address.path ?? `${address.host ?? ''}:${address.port ?? ''}`;
  const heard = complaints(settings.log);
  const base = {
    ...address,
    connectTimeout: COMMAND_TIMEOUT_MS,
    keepAlive: 10_000,
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), 1_000),
  };
  const redis = new Redis({
    ...base,
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
  });
  // Many callers may wait for the one connection. (Not 0: BullMQ counts up from what it finds.)
  redis.setMaxListeners(1_000);
  let lastError: unknown;
  let closed = false;
  redis.on('error', (error: unknown) => {
    lastError = error;
    heard.about(`Redis at ${where} can't be reached`, error);
  });
  redis.on('ready', () => {
    lastError = undefined;
    heard.over(`Redis at ${where} is reached again`);
  });

  async function run<T>(work: (redis: Redis) => Promise<T>, options: { patienceMs?: number } = {}): Promise<T> {
    const until = performance.now() + (options.patienceMs ?? COMMAND_PATIENCE_MS);
    for (;;) {
      if (closed) throw unavailable(where, new Error('the connection was closed by Keyturn itself'));
      try {
        await whenReady(redis, until - performance.now());
        return await work(redis);
      } catch (error) {
        if (error instanceof KeyturnError) throw error;
        if (isFinal(error) || performance.now() >= until) {
          throw unavailable(where, error instanceof NotReady && lastError !== undefined ? lastError : error);
        }
        await sleep(50);
      }
    }
  }

  return {
    prefix: settings.prefix,
    where,
    complaints: heard,
    run,
    workerOptions: { ...base, maxRetriesPerRequest: null, socketTimeout: SILENCE_MS },
    isUp: () => redis.status === 'ready',
    check: () => run((ready) => inspect(ready, settings.prefix)),
    async close() {
      closed = true;
      redis.disconnect();
    },
  };
}

/** Makes a script ready for `evaluate`. */
export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** Runs `script`; sends its text only when Redis does not know it (any more). */
export async function evaluate(
  redis: Redis,
  { lua, sha }: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (replyCode(error) !== 'NOSCRIPT') throw error;
    return redis.eval(lua, keys.length, ...keys, ...args);
  }
}

class NotReady extends Error {}

/** Resolves when commands can be sent; NotReady after `ms`. */
async function whenReady(redis: Redis, ms: number): Promise<void> {
  if (redis.status === 'ready') return;
  // The result of connecting shows in the events; a first failure is followed by further tries.
  if (redis.status === 'wait' || redis.status === 'end') redis.connect().catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    const settle = (done: () => void) => () => {
      clearTimeout(timer);
      redis.off('ready', ready).off('end', ended);
      done();
    };
    const ready = settle(resolve);
    const ended = settle(() => reject(new NotReady('no connection')));
    const timer = setTimeout(ended, Math.max(ms, 0));
    redis.once('ready', ready).once('end', ended);
  });
}

function parseAddress(text: string, password: string | undefined): Address {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const secret = password ?? (url === undefined || url.password === '' ? undefined : decodeURIComponent(url.password));
  const login: Address = {
    ...(secret === undefined ? {} : { password: secret }),
    ...(url === undefined || url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
  };
  if (url?.protocol === 'unix:' && url.pathname.length > 1) return { ...login, path: decodeURIComponent(url.pathname) };
  if ((url?.protocol === 'redis:' || url?.protocol === 'rediss:') && url.hostname !== '') {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const db = Number(url.pathname.slice(1) || '0');
    if (Number.isInteger(db) && db >= 0) {
      const tls = url.protocol === 'rediss:' ? { tls: isIP(host) === 0 ? { servername: host } : {} } : {};
      return { ...login, ...tls, host, port: Number(url.port || '6379'), db };
    }
  }
  // The text is not shown: it may hold a password.
  throw new KeyturnError('config.invalid', 'redis.url is not an address of a Redis server.', {
    hint: 'Use redis://host:6379/0, rediss://host:6379/0 (TLS) or unix:///path/to/redis.sock.',
  });
}

/** The first word of an error reply is its code in Redis' protocol, e.g. `NOSCRIPT`; undefined for other errors. */
function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined;
  return /^[A-Z]+/.exec(error.message)?.[0];
}

/** What to do about an error reply. Those that pass by themselves are not final. */
const ADVICE: Partial<Record<string, { readonly hint: string; readonly passes?: true }>> = {
  LOADING: { hint: 'Wait: Redis is loading its data.', passes: true },
  READONLY: { hint: 'Let redis.url name the primary: this Redis is a replica and takes no writes.', passes: true },
  WRONGPASS: { hint: 'Check redis.password and the user in redis.url.' },
  NOAUTH: { hint: 'Set redis.password: this Redis wants one.' },
  NOPERM: { hint: 'Give the Redis user of redis.url all commands on the keys under redis.prefix.' },
  OOM: { hint: "Give Redis more memory (maxmemory): it is full, and takes no writes under 'noeviction'." },
  MISCONF: { hint: "Look into Redis' log: it can't save to its disk and so takes no writes." },
};

/** What the network's errors mean. */
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOENT: 'there is no such socket',
  ENOTFOUND: 'its name is not known to DNS',
  EAI_AGAIN: 'DNS did not answer',
  EHOSTUNREACH: 'there is no route to it',
  ETIMEDOUT: 'no answer',
};

function isFinal(error: unknown): boolean {
  const code = replyCode(error);
  return code !== undefined && ADVICE[code]?.passes !== true;
}

function unavailable(where: string, cause: unknown): KeyturnError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const said = WORDS[(cause as { code?: string } | undefined)?.code ?? ''] ?? text.replace(/\.$/, '');
  return new KeyturnError('queue.unavailable', `Redis at ${where} can't be used: ${said}.`, {
    hint:
      ADVICE[replyCode(cause) ?? '']?.hint ??
      `See that Redis runs and that ${where} can be reached from here, then try again.`,
    cause,
  });
}

/** Looks at version, role and persistence, and proves that a key can be written. */
async function inspect(redis: Redis, prefix: string): Promise<string> {
  await redis.set(`${prefix}:check`, '1', 'PX', 1_000);
  const info = parseInfo(await redis.info());
  const saves = await redis.config('GET', 'save').then(
    (reply) => reply[1] !== '',
    // Hosted servers forbid CONFIG; then what they say of their last save has to do.
    () => info.get('rdb_last_save_time') !== undefined,
  );
  const aof = info.get('aof_enabled') === '1';
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  return [
    `Redis ${info.get('redis_version') ?? 'of unknown version'}`,
    aof ? 'AOF on' : saves ? 'RDB on' : undefined,
    aof || saves
      ? undefined
      : 'warning: neither AOF nor RDB is on, so a restart loses queued work: set `appendonly yes`',
    policy === 'noeviction'
      ? undefined
      : `warning: maxmemory-policy is ${policy}, so queued work can be thrown away: set it to noeviction`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

function parseInfo(text: string): Map<string, string> {
  const lines = text.split('\r\n').filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}
