/** Owns the second process, where jobs run: started, started again when it dies, and stopped with its parent. */
import { fork, type ChildProcess } from 'node:child_process';
import type { Log } from '../ports.ts';

const RESTART_WAITS_MS = [500, 2_000, 10_000, 30_000] as const;
/** A worker that lived so long was well; its next death counts as the first. */
const WELL_AFTER_MS = 60_000;
/** After a polite stop the process is ended. Longer than the worker's own grace. */
const KILL_AFTER_MS = 30_000;

/**
 * For the process with the stream. glibc keeps freed memory apart for each thread; a worker's large buffers are freed by other
 * threads than they are used by: one arena for all took 10 to 20 MB off the peak of a backup, and a tenth off its CPU time.
 * A small young generation is emptied more often, and with it the stream's many short-lived buffers: 25 MB less.
 */
export function workerEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const options = `${environment['NODE_OPTIONS'] ?? ''} --max-semi-space-size=2`.trim();
  return { ...environment, MALLOC_ARENA_MAX: '1', NODE_OPTIONS: options };
}

/** Starts `keyturn run --role worker` with the same configuration. The result stops it. */
export function superviseWorker(configFile: string, log: Log): () => Promise<void> {
  let child: ChildProcess | undefined;
  let again: NodeJS.Timeout | undefined;
  let deaths = 0;
  let stopping = false;

  const start = (): void => {
    const startedAt = Date.now();
    const [, program = ''] = process.argv;
    child = fork(program, ['run', '--config', configFile, '--role', 'worker'], {
      env: workerEnvironment(process.env),
    });
    log.info({ pid: child.pid }, 'the worker process is started');
    child.on('error', (error) => log.error({ err: error }, 'the worker process could not be started'));
    child.on('exit', (code, signal) => {
      child = undefined;
      if (stopping) return;
      if (Date.now() - startedAt > WELL_AFTER_MS) deaths = 0;
      const waitMs = RESTART_WAITS_MS[Math.min(deaths, RESTART_WAITS_MS.length - 1)] ?? 0;
      deaths += 1;
      log.error({ code, signal, waitMs }, 'the worker process ended and is started again');
      again = setTimeout(start, waitMs);
    });
  };

  start();
  return async () => {
    stopping = true;
    clearTimeout(again);
    const running = child;
    if (running === undefined) return;
    const ended = new Promise<void>((resolve) => running.once('exit', () => resolve()));
    const kill = setTimeout(() => running.kill('SIGKILL'), KILL_AFTER_MS);
    running.kill('SIGTERM');
    await ended;
    clearTimeout(kill);
  };
}
