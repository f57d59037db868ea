/** A real Redis of a test's own, in a folder and on a socket of its own, that can be killed, restarted and frozen. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loaderOf, programOf } from '../../../deploy/local/parts/programs.ts';
import { ensureRootfs } from '../../../deploy/local/parts/rootfs.ts';

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
interface TestEnvironment {
  readonly redis?: { readonly url?: string };
  readonly cacheDir?: string;
}

function testEnvironment(): TestEnvironment {
  const file = process.env['KEYTURN_TEST_ENV'];
  return file === undefined ? {} : (JSON.parse(readFileSync(file, 'utf8')) as TestEnvironment);
}

export function sharedRedisUrl(): string | undefined {
  return testEnvironment().redis?.url;
}

/** Redis as the local parts have it; on a developer's machine, without the parts, the one that is installed. */
async function redisServer(): Promise<readonly string[]> {
  const { cacheDir } = testEnvironment();
  if (cacheDir === undefined) return ['redis-server'];
  return programOf(await loaderOf(await ensureRootfs('services', { cacheDir })), 'usr/bin/redis-server');
}

/** `args`: further options of redis-server; by default every write is on disk before it is answered. */
export async function startRedis(
  args: readonly string[] = ['--appendonly', 'yes', '--appendfsync', 'always'],
): Promise<TestRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'keyturn-redis-'));
  const socket = join(folder, 'redis.sock');
  const program = await redisServer();
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const options = ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', ...args];
    // It dies with the tests, however they end.
    const started = spawn('setpriv', ['--pdeathsig', 'KILL', ...program, ...options], { stdio: 'ignore' });
    child = started;
    let failed: Error | undefined;
    started.on('error', (error) => (failed = error));
    for (let tries = 0; tries < 500; tries += 1) {
      if (failed !== undefined) throw failed;
      if (started.exitCode !== null) throw new Error(`redis-server ended with ${started.exitCode}`);
      if (await answers(socket)) return;
      await sleep(20);
    }
    await kill();
    throw new Error('redis-server did not start in 10 seconds');
  }

  async function kill(): Promise<void> {
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    child = undefined;
    await ended;
  }

  try {
    await start();
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
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
    // One that wants a password first is up too.
    connection.on('data', (data) => end(/^(\+PONG|-NOAUTH)/.test(data.toString()))());
    connection.on('error', end(false)).on('timeout', end(false)).on('close', end(false));
  });
}
