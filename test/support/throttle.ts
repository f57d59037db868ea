/** Owns a slow line for tests: a TCP proxy on the loopback address that lets so many bytes a second through, each way, over all connections. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Throttle {
  readonly port: number;
  close(): Promise<void>;
}

export interface ThrottleOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly bytesPerSecond: number;
}

/** Listens on a free port. Holds one chunk a connection and direction; the rest waits in the kernel's buffers. */
export async function startThrottle({ target, bytesPerSecond }: ThrottleOptions): Promise<Throttle> {
  const sockets = new Set<Socket>();
  const [up, down] = [line(bytesPerSecond), line(bytesPerSecond)];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ ...target, allowHalfOpen: true, noDelay: true });
    for (const [from, to, wait] of [
      [near, far, up],
      [far, near, down],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        if (!from.readableEnded) to.destroy();
      });
      carry(from, to, wait).catch(() => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Resolves when `bytes` more have had their time on the line. */
type Wait = (bytes: number) => Promise<void>;

function line(bytesPerSecond: number): Wait {
  let freeAt = 0;
  return async (bytes) => {
    freeAt = Math.max(freeAt, Date.now()) + (1_000 * bytes) / bytesPerSecond;
    await new Promise((resolve) => setTimeout(resolve, freeAt - Date.now()));
  };
}

async function carry(from: Socket, to: Socket, wait: Wait): Promise<void> {
  for await (const chunk of from as AsyncIterable<Buffer>) {
    await wait(chunk.length);
    if (to.destroyed) return;
    if (!to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
  }
  to.end();
}
