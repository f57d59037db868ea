/**
 * Owns the receive window of an ssh2 channel: ssh2 fixes it at 2 MiB, which holds a 50 ms link down to 20 MB/s.
 * A wider window needs ssh2's private parts; ssh2 is pinned to one version, a test guards that they are still there,
 * and without them the channel works as before, only slower.
 */

/** 16 MiB carried 119 MB/s at 50 ms round trip (measured), and bounds what a reader that stops can pile up. */
export const WIDE_WINDOW = 16 * 1024 * 1024;

/** The private parts of ssh2 1.17's Channel (lib/Channel.js, lib/client.js: CHANNEL_DATA). */
interface Internals {
  readonly incoming: { window: number };
  readonly outgoing: { readonly id: number; readonly state: string };
  readonly _client: { readonly _protocol: { channelWindowAdjust(channel: number, bytes: number): void } };
  push(chunk: unknown): boolean;
  _read(size: number): void;
}

/** Keeps the window between half of `bytes` and `bytes` while the reader keeps up. False when ssh2 is not as known. */
export function widenWindow(channel: object, bytes = WIDE_WINDOW): boolean {
  if (!hasInternals(channel)) return false;
  const { incoming, outgoing } = channel;
  const protocol = channel._client._protocol;
  const topUp = (): void => {
    const missing = bytes - incoming.window;
    if (outgoing.state === 'closed' || outgoing.state === 'closing' || missing < bytes / 2) return;
    incoming.window += missing;
    protocol.channelWindowAdjust(outgoing.id, missing);
  };

  // `push` tells whether the reader keeps up; `_read` is called when it has caught up again.
  const push = channel.push.bind(channel);
  const read = channel._read.bind(channel);
  channel.push = (chunk) => {
    const keepsUp = push(chunk);
    if (keepsUp && chunk !== null) topUp();
    return keepsUp;
  };
  channel._read = (size) => {
    topUp();
    read(size);
  };
  topUp();
  return true;
}

function hasInternals(channel: object): channel is Internals {
  const c = channel as Partial<{ -readonly [K in keyof Internals]: Partial<Internals[K]> }>;
  return (
    typeof c.incoming?.window === 'number' &&
    typeof c.outgoing?.id === 'number' &&
    typeof c.outgoing.state === 'string' &&
    typeof (c._client as Internals['_client'] | undefined)?._protocol.channelWindowAdjust === 'function' &&
    typeof c.push === 'function' &&
    typeof c._read === 'function'
  );
}
