/** Owns how a stream goes through something that changes it: fed as fast as it takes bytes, and ended whatever happens. */
import { spawn } from 'node:child_process';
import type { Readable, Transform, Writable } from 'node:stream';

/** Something that bytes go through. */
export interface Filter {
  readonly input: Writable;
  readonly output: Readable;
  /** Resolves when it has made all of its output of all of its input; else rejects with why. */
  readonly ended: Promise<void>;
  /** Once it has ended: what is wrong when it did not read all of the `handed` bytes that it was handed. */
  leftOver(handed: number): Error | undefined;
  /** Ends it at once; resolves when nothing of it is left. Safe at any time and twice. */
  stop(): Promise<void>;
}

/**
 * What the filter makes of `chunks`. Throws what `chunks` throws, why the filter failed, or the signal's reason. The filter
 * is gone when this has ended, also when nobody read it to its end.
 */
export async function* through(
  open: () => Filter,
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  const filter = open();
  filter.ended.catch(() => undefined);
  const watch = watchAbort(signal, filter);
  const source: { failed?: { readonly error: unknown } } = {};
  const fed = feed(filter.input, chunks).catch((error: unknown) => {
    source.failed = { error };
    void filter.stop();
    throw error;
  });
  fed.catch(() => undefined);
  try {
    for await (const chunk of filter.output) yield chunk as Uint8Array;
    const [handed] = await Promise.race([Promise.all([fed, filter.ended]), watch.aborted]);
    const problem = filter.leftOver(handed);
    if (problem !== undefined) throw problem;
  } catch (error) {
    signal.throwIfAborted();
    if (source.failed !== undefined) throw source.failed.error;
    // A program that fails closes its output first; why it failed is told by its end.
    await filter.ended;
    throw error;
  } finally {
    watch.end();
    await filter.stop();
  }
}

/** Resolves with the number of bytes when all are handed over, or when nobody takes any more. */
async function feed(input: Writable, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let handed = 0;
  let last = Promise.resolve();
  // A broken pipe is told by the filter's end.
  input.on('error', () => undefined);
  for await (const chunk of chunks) {
    if (input.destroyed) return handed;
    // Node's zstd takes an empty one for the end.
    if (chunk.length === 0) continue;
    handed += chunk.length;
    const { hasRoom, written } = write(input, chunk);
    last = written;
    if (!hasRoom) await drained(input);
  }
  // Told of the end while a write is under way, Node's zstd adds an empty frame, which it does not read itself.
  await last;
  input.end();
  return handed;
}

/** Whether more may follow at once, and when this one is through. */
function write(input: Writable, chunk: Uint8Array): { readonly hasRoom: boolean; readonly written: Promise<void> } {
  let isThrough = (): void => undefined;
  const written = new Promise<void>((resolve) => {
    isThrough = resolve;
  });
  return { hasRoom: input.write(chunk, () => isThrough()), written };
}

function drained(input: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      input.off('drain', done).off('close', done);
      resolve();
    };
    input.on('drain', done).on('close', done);
    if (input.destroyed) done();
  });
}

function watchAbort(signal: AbortSignal, filter: Filter) {
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(signal.reason as Error);
      void filter.stop();
    };
  });
  aborted.catch(() => undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  return { aborted, end: () => signal.removeEventListener('abort', onAbort) };
}

/** So much of what a program prints to its standard error is kept, in characters. */
const MOST_STDERR = 2_000;

/**
 * A program that reads standard input and writes standard output. It gets the search path and nothing else of the
 * environment. `failed` makes the error of how it ended, in words.
 */
export function programFilter(
  argv: readonly [string, ...string[]],
  failed: (why: string, cause?: unknown) => Error,
): Filter {
  const [file, ...args] = argv;
  const child = spawn(file, args, { stdio: 'pipe', env: { PATH: process.env['PATH'] } });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = `${stderr}${text}`.slice(-MOST_STDERR);
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(failed(`${file} could not be started (${error.code ?? error.message})`, error));
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(failed(`${file} ended with ${signal ?? `exit code ${code}`}: ${oneLine(stderr)}`));
    });
  });
  return {
    input: child.stdin,
    output: child.stdout,
    ended,
    leftOver: () => undefined,
    async stop() {
      child.kill('SIGKILL');
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      await closed;
    },
  };
}

/** A stream of Node's own. `failed` makes the error of how it ended, in words. */
export function transformFilter(
  transform: Transform & { readonly bytesWritten: number },
  failed: (why: string, cause?: unknown) => Error,
): Filter {
  const ended = new Promise<void>((resolve, reject) => {
    transform.once('error', (error) => reject(failed(error.message, error)));
    transform.once('close', () => {
      if (transform.readableEnded) resolve();
      else reject(failed('it was ended'));
    });
  });
  return {
    input: transform,
    output: transform,
    ended,
    // What follows the end of the data it does not read, nor does it complain.
    leftOver: (handed) => {
      const left = handed - transform.bytesWritten;
      return left === 0 ? undefined : failed(`${left} bytes follow its end`);
    },
    async stop() {
      transform.destroy();
    },
  };
}

function oneLine(text: string): string {
  return text.trim().replace(/\s+/g, ' ') || 'it said nothing';
}
