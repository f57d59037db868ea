/** Owns that a stream ends with the signal of whoever asked for it. */
import type { Readable } from 'node:stream';

/** Ends `stream` with the signal's own reason. */
export function abortable(stream: Readable, signal: AbortSignal): Readable {
  const abort = () => void stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', abort));
  return stream;
}
