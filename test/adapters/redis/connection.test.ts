import { expect, test } from 'vitest';
import { complaints } from '../../../src/adapters/redis/complaints.ts';
import { redisConnections } from '../../../src/adapters/redis/connection.ts';
import { KeyturnError } from '../../../src/domain/error.ts';
import { heardLog } from './bench.ts';

const open = (url: string, password?: string) => redisConnections({ url, password, prefix: 'test', log: heardLog() });

test.each([
  ['redis://redis.example', 'redis.example:6379', { host: 'redis.example', port: 6379, db: 0 }],
  ['redis://redis.example:7000/3', 'redis.example:7000', { port: 7000, db: 3 }],
  ['redis://bot:p%40ss@redis.example', 'redis.example:6379', { username: 'bot', password: 'p@ss' }],
  ['redis://[::1]:6379', '::1:6379', { host: '::1' }],
  ['rediss://redis.example', 'redis.example:6379', { tls: { servername: 'redis.example' } }],
  ['rediss://127.0.0.1', '127.0.0.1:6379', { tls: {} }],
  ['unix:///run/redis.sock', '/run/redis.sock', { path: '/run/redis.sock' }],
])('%s is understood', (url, where, options) => {
  const connections = open(url);
  expect(connections.where).toBe(where);
  expect(connections.workerOptions).toMatchObject(options);
});

test('a password of its own goes before the one in the URL', () => {
  expect(open('redis://:old@redis.example', 'new').workerOptions.password).toBe('new');
});

test.each(['', 'redis.example:6379', 'http://redis.example', 'redis://host/db', 'unix://', 'redis://:top-secret@'])(
  'what is no address of Redis is refused without being shown: %j',
  (url) => {
    let thrown: unknown;
    try {
      open(url);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(KeyturnError);
    expect((thrown as KeyturnError).code).toBe('config.invalid');
    expect((thrown as KeyturnError).message).not.toContain('top-secret');
  },
);

test('nothing is asked of a connection that was closed', async () => {
  const connections = open('unix:///nowhere/redis.sock');
  await connections.close();
  await connections.close();
  await expect(connections.run((redis) => redis.ping())).rejects.toMatchObject({ code: 'queue.unavailable' });
});

test('the same trouble is logged once in half a minute, then with how often it happened', () => {
  const log = heardLog();
  let now = 0;
  const heard = complaints(log, () => now);
  for (let n = 0; n < 5; n += 1) heard.about('Redis is away', new Error('refused'));
  heard.about('Redis is away', new Error('timeout'));
  expect(log.lines).toEqual(['warn Redis is away: refused', 'warn Redis is away: timeout']);
  now = 31_000;
  heard.about('Redis is away', new Error('refused'));
  expect(log.lines).toHaveLength(3);
  heard.over('Redis is back');
  heard.over('Redis is back');
  expect(log.lines.slice(3)).toEqual(['info Redis is back']);
});
