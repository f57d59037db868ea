/** Owns a far-away network for tests: a TCP proxy that holds every byte back for half a round trip, with no other limit. */
import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';

export interface DelayProxy {
  readonly port: number;
  /** Cuts every connection that runs now, as a lost link would look to both sides; new ones are taken. */
  cut(): void;
  close(): Promise<void>;
}

export interface DelayProxyOptions {
  readonly target: { readonly host: string; readonly port: number };
  /** Milliseconds there and back. */
  readonly roundTripMs: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
}

/** Bytes on their way in one direction; a real line of 10 Gbit/s and 50 ms holds as much. */
const lineHolds = 64 * 1024 * 1024;

/** Listens on a free port. `tc netem` would do the same, where the kernel has it. */
export async function startDelayProxy(options: DelayProxyOptions): Promise<DelayProxy> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ ...options.target, allowHalfOpen: true, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    delayInto(near, far, options.roundTripMs / 2);
    delayInto(far, near, options.roundTripMs / 2);
  });
  server.listen(0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    close: () => close(server, cut),
  };
}

/** Hands what `from` says on to `to`, each piece `delayMs` later, the end and a break included, in order. */
function delayInto(from: Socket, to: Socket, delayMs: number): void {
  let onTheWay = 0;
  // Timers of the same length fire in the order they were set.
  const later = (act: () => void): void => void setTimeout(act, delayMs);
  from.on('data', (chunk: Buffer) => {
    onTheWay += chunk.length;
    if (onTheWay >= lineHolds) from.pause();
    later(() => {
      to.write(chunk, () => {
        onTheWay -= chunk.length;
        if (from.isPaused() && onTheWay < lineHolds) from.resume();
      });
    });
  });
  from.on('end', () => later(() => to.end()));
  // A break is told by the close that follows it.
  from.on('error', () => undefined);
  from.on('close', (broken) => {
    if (broken || !from.readableEnded) later(() => to.destroy());
  });
}

async function close(server: Server, cut: () => void): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  cut();
  await closed;
}
