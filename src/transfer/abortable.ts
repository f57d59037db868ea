/** Owns that a stream, or the wait for a result, ends with the signal of whoever asked for it. */
import type { Readable } from 'node:stream';

/** Ends `stream` with the signal's own reason. */
export function abortable(stream: Readable, signal: AbortSignal): Readable {
  const abort = () => void stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', abort));
  return stream;
}

/** Rejects with the signal's reason when that comes first; `running` then goes on alone. */
export function unlessAborted<T>(running: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return running;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    running.finally(() => signal.removeEventListener('abort', onAbort)).then(resolve, reject);
  });
}
