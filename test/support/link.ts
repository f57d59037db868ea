/** A TCP connection's cable that a test can cut: with a reset, or in silence as when a router dies. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface Link {
  readonly port: number;
  /** Bytes that came from the target so far. */
  readonly received: number;
  /** Nothing goes through any more, and nobody is told. */
  silence(): void;
  /** Every connection is reset. */
  cut(): void;
  close(): Promise<void>;
}

/** Listens on a free port of the loopback address, and carries what comes to `target`. */
export async function startLink(target: { readonly host: string; readonly port: number }): Promise<Link> {
  const sockets = new Set<Socket>();
  let received = 0;
  let silent = false;
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ ...target, noDelay: true });
    far.on('data', (chunk: Buffer) => (received += chunk.length));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
      if (silent) from.pause();
      else from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get received() {
      return received;
    },
    silence() {
      silent = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    cut,
    async close() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
