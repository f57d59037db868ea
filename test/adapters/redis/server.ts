/** A real Redis of a test's own, in a folder and on a socket of its own, that can be killed, restarted and frozen. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TestRedis {
  readonly url: string;
  /** As `kill -9` or a machine that lost power. */
  kill(): Promise<void>;
  /** On the same data. */
  start(): Promise<void>;
  /** Does not answer, but keeps its connections. */
  freeze(): void;
  thaw(): void;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

/** What the local parts offer to tests, when they are up: the file that KEYTURN_TEST_ENV names. */
export function sharedRedisUrl(): string | undefined {
  const file = process.env['KEYTURN_TEST_ENV'];
  if (file === undefined) return undefined;
  return (JSON.parse(readFileSync(file, 'utf8')) as { redis?: { url?: string } }).redis?.url;
}

/** `args`: further options of redis-server; by default every write is on disk before it is answered. */
export async function startRedis(
  args: readonly string[] = ['--appendonly', 'yes', '--appendfsync', 'always'],
): Promise<TestRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'keyturn-redis-'));
  const socket = join(folder, 'redis.sock');
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const options = ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', ...args];
    const started = spawn('redis-server', options, { stdio: 'ignore' });
    child = started;
    let failed: Error | undefined;
    started.on('error', (error) => (failed = error));
    for (let tries = 0; tries < 500; tries += 1) {
      if (failed !== undefined) throw failed;
      if (started.exitCode !== null) throw new Error(`redis-server ended with ${started.exitCode}`);
      if (await answers(socket)) return;
      await sleep(20);
    }
    throw new Error('redis-server did not start in 10 seconds');
  }

  async function kill(): Promise<void> {
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    child = undefined;
    await ended;
  }

  await start();
  return {
    url: `unix://${socket}`,
    kill,
    start,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async remove() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** True when it answers PING; a server that still loads its data does not count. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.setTimeout(1_000);
    connection.on('connect', () => connection.write('PING\r\n'));
    const end = (answer: boolean) => () => {
      connection.destroy();
      resolve(answer);
    };
    connection.on('data', (data) => end(data.toString() === '+PONG\r\n')());
    connection.on('error', end(false)).on('timeout', end(false)).on('close', end(false));
  });
}
