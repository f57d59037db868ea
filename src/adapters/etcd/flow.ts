/** Owns the pace of a stream of bytes: how long it may stand still, how fast it may run, and that pieces wait in order. */
import { KeyturnError } from '../../domain/error.ts';

/** Above this many bytes waiting to be taken, the source is asked to stop for a while. */
const HIGH_WATER = 1024 * 1024;

export interface Source {
  pause(): void;
  resume(): void;
}

/** Pieces on their way from events to a loop. */
export interface Pipe {
  push(piece: Uint8Array): void;
  /** No more will come; with `error`, because of it. What was pushed before is still handed out. */
  end(error?: Error): void;
  /** Ends with the reason of `signal`, or with `onStall` when no piece came for `stallTimeoutMs` while one was awaited. */
  read(options: {
    readonly signal: AbortSignal;
    readonly stallTimeoutMs: number;
    readonly onStall: () => Error;
  }): AsyncGenerator<Uint8Array>;
}

/** `source` is paused while more than 1 MiB waits. */
export function pipe(source: Source): Pipe {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  let paused = false;
  let ended: { readonly error: Error | undefined } | undefined;
  let wake = (): void => undefined;

  return {
    push(piece) {
      waiting.push(piece);
      bytes += piece.length;
      if (bytes > HIGH_WATER && !paused) {
        paused = true;
        source.pause();
      }
      wake();
    },
    end(error) {
      ended ??= { error };
      wake();
    },
    async *read({ signal, stallTimeoutMs, onStall }) {
      for (;;) {
        signal.throwIfAborted();
        const batch = waiting;
        waiting = [];
        bytes = 0;
        yield* batch;
        if (paused && waiting.length === 0) {
          paused = false;
          source.resume();
        }
        if (waiting.length > 0) continue;
        if (ended !== undefined) {
          if (ended.error !== undefined) throw ended.error;
          return;
        }
        // The loop has waited since it looked at the signal: a listener would come too late.
        signal.throwIfAborted();
        await new Promise<void>((resolve, reject) => {
          const settle = (then: () => void): void => {
            clearTimeout(timer);
            signal.removeEventListener('abort', onAbort);
            wake = () => undefined;
            then();
          };
          const onAbort = (): void => settle(() => reject(signal.reason as Error));
          const timer = setTimeout(() => settle(() => reject(onStall())), stallTimeoutMs);
          signal.addEventListener('abort', onAbort, { once: true });
          wake = () => settle(resolve);
        });
      }
    },
  };
}

/** Shorter waits cost more than they even out. Milliseconds. */
const SHORTEST_WAIT = 10;

/** Hands pieces on at no more than `bytesPerSecond`; whoever makes them is held back by that. */
export async function* limited(
  pieces: AsyncIterable<Uint8Array>,
  bytesPerSecond: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let freeAt = performance.now();
  for await (const piece of pieces) {
    const now = performance.now();
    // Time in which nothing came is not saved up.
    freeAt = Math.max(freeAt, now) + (piece.length / bytesPerSecond) * 1000;
    if (freeAt - now > SHORTEST_WAIT) await wait(freeAt - now, signal);
    yield piece;
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

export function stalled(who: string, ms: number): KeyturnError {
  return new KeyturnError('etcd.stalled', `${who} sent no byte of the snapshot for ${ms / 1000} s.`, {
    hint: "Look at the load of the node and its disk, at the network to it, and at etcd's log; or raise backup.stallTimeout.",
  });
}
