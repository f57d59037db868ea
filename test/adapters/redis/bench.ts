/** What every test on Redis starts from: a prefix of its own on one server, and adapters that are closed at the end. */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { redisConnections, type RedisConnections } from '../../../src/adapters/redis/connection.ts';
import type { Log } from '../../../src/ports.ts';

export interface HeardLog extends Log {
  /** Everything logged, as `level message`. */
  readonly lines: string[];
}

export function heardLog(): HeardLog {
  const lines: string[] = [];
  const write = (level: string) => (fields: object, message: string) => {
    const error = (fields as { error?: unknown }).error;
    lines.push(`${level} ${message}${error instanceof Error ? `: ${error.message}` : ''}`);
  };
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

export interface RedisBench {
  readonly prefix: string;
  readonly log: HeardLog;
  /** One more replica. */
  connections(): RedisConnections;
  /** To be closed before the connections, in the order of registration. */
  closeLater(end: () => Promise<void>): void;
  /** A connection of the test's own, to look and to meddle. */
  raw(): Redis;
  close(): Promise<void>;
}

export function redisBench(url: string): RedisBench {
  const prefix = `test-${randomUUID()}`;
  const log = heardLog();
  const ends: (() => Promise<void>)[] = [];
  const all: RedisConnections[] = [];
  let raw: Redis | undefined;

  /** The server may be shared: nothing is left on it. */
  async function forget(): Promise<void> {
    const [first] = all;
    const keys = await first?.run((redis) => redis.keys(`${prefix}:*`)).catch(() => []);
    if (first !== undefined && keys !== undefined && keys.length > 0) await first.run((redis) => redis.del(...keys));
  }

  return {
    prefix,
    log,
    connections() {
      const made = redisConnections({ url, password: undefined, prefix, log });
      all.push(made);
      return made;
    },
    closeLater: (end) => void ends.push(end),
    raw: () => (raw ??= new Redis(url.replace(/^unix:\/\//, ''))),
    async close() {
      for (const end of ends) await end();
      await forget();
      for (const connections of all) await connections.close();
      raw?.disconnect();
    },
  };
}
