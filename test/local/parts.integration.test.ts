import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../deploy/local/parts/rootfs.ts';
import { startRedis, type LocalRedis } from '../../deploy/local/services/redis.ts';
import { startDelayProxy } from './delay-proxy.ts';

let dir: string;
let redis: LocalRedis;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keyturn-parts-'));
  redis = await startRedis({
    dir,
    rootfs: await ensureRootfs('services', { cacheDir: defaultCacheDir() }),
    listen: 'unix',
  });
}, 180_000);

afterAll(async () => {
  await redis.stop();
  await rm(dir, { recursive: true });
});

test('a root file system is built once: a second call answers at once', async () => {
  const progress: string[] = [];
  const options = { cacheDir: defaultCacheDir(), onProgress: (line: string) => void progress.push(line) };
  expect(await ensureRootfs('services', options)).toBe(await ensureRootfs('services', options));
  expect(progress).toEqual([]);
});

test('what Redis has confirmed is there after kill -9', async () => {
  await withClient((client) => client.set('kept', 'yes'));
  await redis.kill9();
  await redis.restart();
  expect(await withClient((client) => client.get('kept'))).toBe('yes');
});

test('a paused Redis answers only when it goes on', async () => {
  await withClient(async (client) => {
    redis.pause();
    const answer = client.ping();
    const first = await Promise.race([answer, new Promise((done) => setTimeout(() => done('nothing yet'), 300))]);
    expect(first).toBe('nothing yet');
    redis.resume();
    expect(await answer).toBe('PONG');
  });
});

test('the delaying proxy adds its round trip once, and does not limit the bandwidth', async () => {
  const size = 32 * 1024 * 1024;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.alloc(size)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await startDelayProxy({
    target: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    roundTripMs: 200,
  });
  const client = connect(proxy.port, '127.0.0.1');
  const started = performance.now();
  client.write('go');
  let firstAfter = 0;
  let received = 0;
  for await (const chunk of client as AsyncIterable<Buffer>) {
    firstAfter ||= performance.now() - started;
    received += chunk.length;
  }
  const all = performance.now() - started;
  expect(received).toBe(size);
  expect(firstAfter).toBeGreaterThanOrEqual(199);
  // One socket buffer a round trip would take a minute; this leaves room for a busy machine.
  expect(all - firstAfter).toBeLessThan(3_000);
  await proxy.close();
  server.close();
});

async function withClient<T>(use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redis.url.replace('unix://', ''));
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}
