/** Owns the pace of a stream of bytes: how long it may stand still, how fast it may run, and that pieces wait in order. */
import { KeyturnError } from '../../domain/error.ts';
import { Pace } from '../../domain/pace.ts';

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

/**
 * `source` is paused while more than 1 MiB waits. A snapshot comes in slices of some 8 KiB, 140,000 a GiB: what is done for
 * each of them is little, and the reader is woken once for all that came in one turn of the event loop.
 */
export function pipe(source: Source): Pipe {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  let paused = false;
  let ended: { readonly error: Error | undefined } | undefined;
  let wake: (() => void) | undefined;
  let willWake = false;

  const wakeSoon = (): void => {
    if (willWake) return;
    willWake = true;
    setImmediate(() => {
      willWake = false;
      wake?.();
    });
  };
  const end = (error?: Error): void => {
    ended ??= { error };
    wakeSoon();
  };

  return {
    push(piece) {
      waiting.push(piece);
      bytes += piece.length;
      if (bytes > HIGH_WATER && !paused) {
        paused = true;
        source.pause();
      }
      wakeSoon();
    },
    end,
    async *read({ signal, stallTimeoutMs, onStall }) {
      const stall = stallWatch(stallTimeoutMs, () => end(onStall()));
      const onAbort = (): void => end(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      try {
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
          stall.start();
          await new Promise<void>((resolve) => (wake = resolve));
          stall.stop();
        }
      } finally {
        stall.end();
        signal.removeEventListener('abort', onAbort);
      }
    },
  };
}

/** Calls `onStall` when a wait, from `start` to `stop`, lasted `ms`. One timer for all waits: there are thousands a second. */
function stallWatch(ms: number, onStall: () => void): { start(): void; stop(): void; end(): void } {
  let since: number | undefined;
  const timer = setInterval(
    () => {
      if (since !== undefined && performance.now() - since >= ms) onStall();
    },
    Math.max(10, ms / 20),
  );
  return {
    start: () => (since = performance.now()),
    stop: () => (since = undefined),
    end: () => clearInterval(timer),
  };
}

/** Long waits make bursts, which a busy etcd would feel; shorter ones than this timers can't. Milliseconds. */
const SHORTEST_WAIT = 2;

/** Hands pieces on at no more than `bytesPerSecond`; whoever makes them is held back by that. */
export async function* limited(
  pieces: AsyncIterable<Uint8Array>,
  bytesPerSecond: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const pace = new Pace(bytesPerSecond);
  for await (const piece of pieces) {
    const ms = pace.waitFor(piece.length, performance.now());
    if (ms > SHORTEST_WAIT) await wait(ms, signal);
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
