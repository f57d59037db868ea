/** Owns the local Redis: the real server from the services' root file system, in the foreground, with its AOF on. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { systemPath } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';
import { loaderOf, programOf, type Loader } from '../parts/programs.ts';

export interface RedisOptions {
  /** Data, log and socket; made when it is not there, kept when Redis stops. */
  readonly dir: string;
  /** From `ensureRootfs('services', …)`. */
  readonly rootfs: string;
  /** A TCP port, or a unix socket at `<dir>/redis.sock`. */
  readonly listen: { readonly port: number; readonly address?: string } | 'unix';
  /** The network namespace to run in, by name (`ip netns`) or file; default the caller's. */
  readonly netns?: string;
  /** Sync each write to disk before it is answered; default true. Else once a second. */
  readonly durable?: boolean;
}

export interface LocalRedis {
  /** `redis://address:port` or `unix:///path`. */
  readonly url: string;
  /** Ends it in order; safe twice. */
  stop(): Promise<void>;
  /** Pulls the plug. */
  kill9(): Promise<void>;
  /** Starts it again on its data, after ending it in order if it runs. */
  restart(): Promise<void>;
  /** Freezes it: connections stay, nothing answers. */
  pause(): void;
  resume(): void;
}

const startWithinMs = 10_000;

/**
 * Starts Redis; resolves when it answers PING. Ends with this process, even by kill -9. Throws LocalPartsError with the
 * end of its log when it does not come up.
 */
export async function startRedis(options: RedisOptions): Promise<LocalRedis> {
  const loader = await loaderOf(options.rootfs);
  await mkdir(options.dir, { recursive: true });
  let server = await launch(options, loader);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (hasEnded(server)) return;
    const ended = once(server, 'exit');
    // A frozen process takes no other signal than SIGKILL and SIGCONT.
    server.kill('SIGCONT');
    server.kill(signal);
    await ended;
  };
  return {
    url: urlOf(options),
    stop: () => end('SIGTERM'),
    kill9: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGTERM');
      server = await launch(options, loader);
    },
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
  };
}

async function launch(options: RedisOptions, loader: Loader): Promise<ChildProcess> {
  const logFile = join(options.dir, 'redis.log');
  const log = await open(logFile, 'a');
  const [program = '', ...args] = [
    // It dies with us; nsenter and the loader become the server, so its pid is the child's.
    ...['setpriv', '--pdeathsig', 'KILL', ...enter(options)],
    ...programOf(loader, 'usr/bin/redis-server', settings(options)),
  ];
  const server = spawn(program, args, {
    cwd: options.dir,
    env: { PATH: systemPath },
    stdio: ['ignore', log.fd, log.fd],
  });
  await log.close();
  const deadline = Date.now() + startWithinMs;
  while (Date.now() < deadline && !hasEnded(server)) {
    if (await answers(options, loader)) return server;
    await new Promise((done) => setTimeout(done, 20));
  }
  server.kill('SIGKILL');
  throw new LocalPartsError(`Redis did not start: ${(await readFile(logFile, 'utf8')).slice(-1_000)}`, {
    hint: `See that its address is free and that ${options.dir} can be written to.`,
  });
}

function settings(options: RedisOptions): string[] {
  const { dir, listen, durable = true } = options;
  const where =
    listen === 'unix'
      ? ['--port', '0', '--unixsocket', socketOf(dir), '--unixsocketperm', '700']
      : ['--port', String(listen.port), '--bind', addressOf(listen)];
  return [
    ...[...where, '--dir', dir, '--daemonize', 'no', '--protected-mode', 'no'],
    ...['--appendonly', 'yes', '--appendfsync', durable ? 'always' : 'everysec', '--save', ''],
    // What BullMQ asks for: jobs must never be evicted.
    ...['--maxmemory-policy', 'noeviction'],
  ];
}

async function answers(options: RedisOptions, loader: Loader): Promise<boolean> {
  const where =
    options.listen === 'unix'
      ? ['-s', socketOf(options.dir)]
      : ['-h', addressOf(options.listen), '-p', String(options.listen.port)];
  const [program = '', ...args] = [...enter(options), ...programOf(loader, 'usr/bin/redis-cli', [...where, 'PING'])];
  const result = await execa(program, args, {
    reject: false,
    timeout: 2_000,
    env: { PATH: systemPath },
    stdin: 'ignore',
  });
  return result.stdout === 'PONG';
}

function enter({ netns }: RedisOptions): string[] {
  if (netns === undefined) return [];
  return ['nsenter', `--net=${netns.includes('/') ? netns : `/run/netns/${netns}`}`, '--'];
}

function urlOf({ dir, listen }: RedisOptions): string {
  return listen === 'unix' ? `unix://${socketOf(dir)}` : `redis://${addressOf(listen)}:${listen.port}`;
}

function addressOf({ address = '127.0.0.1' }: { readonly address?: string }): string {
  return address;
}

function socketOf(dir: string): string {
  return join(dir, 'redis.sock');
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
