/**
 * Owns what Keyturn needs of ssh2's private parts: a wider receive window, signals to a command whose input has ended, and
 * what an SFTP server says that it can do beyond the protocol.
 * ssh2 is pinned to one version, a test guards that these parts are still there, and without them all works as before,
 * only slower and with less certain endings.
 */

/** The private parts of ssh2 1.17's Channel (lib/Channel.js; lib/client.js: CHANNEL_DATA). */
interface Internals {
  readonly incoming: { window: number };
  readonly outgoing: { readonly id: number; readonly state: string };
  readonly _client: {
    readonly _protocol: {
      channelWindowAdjust(channel: number, bytes: number): void;
      signal(channel: number, name: string): void;
    };
  };
  /** Whether the reader keeps up; nothing where it always does, as an SFTP session. */
  push(chunk: unknown): boolean | undefined;
  _read?(size: number): void;
}

/** 16 MiB carried 119 MB/s at 50 ms round trip (measured), and bounds what a reader that stops can pile up. */
export const WIDE_WINDOW = 16 * 1024 * 1024;

/**
 * Keeps the window between half of `bytes` and `bytes` while the reader keeps up; ssh2's own 2 MiB hold a link of 50 ms
 * down to 20 MB/s. False when ssh2 is not as known.
 */
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
  const read = channel._read?.bind(channel);
  channel.push = (chunk) => {
    const keepsUp = push(chunk);
    if (keepsUp !== false && chunk !== null) topUp();
    return keepsUp;
  };
  if (read !== undefined)
    channel._read = (size) => {
      topUp();
      read(size);
    };
  topUp();
  return true;
}

/** Sends a signal even after the command's input has ended; ssh2's own `signal` does nothing then. */
export function sendSignal(channel: object, name: 'TERM' | 'KILL'): boolean {
  if (!hasInternals(channel) || !['open', 'eof'].includes(channel.outgoing.state)) return false;
  channel._client._protocol.signal(channel.outgoing.id, name);
  return true;
}

/** Names and versions of an SFTP server's extensions; none when ssh2 is not as known: then none is used. */
export function extensionsOf(sftp: object): Readonly<Record<string, unknown>> {
  const { _extensions } = sftp as { _extensions?: unknown };
  return typeof _extensions === 'object' && _extensions !== null ? { ..._extensions } : {};
}

function hasInternals(channel: object): channel is Internals {
  const { incoming, outgoing, _client, push, _read } = channel as Partial<Internals>;
  const protocol = (_client as Partial<Internals['_client']> | undefined)?._protocol;
  return (
    typeof incoming?.window === 'number' &&
    typeof outgoing?.id === 'number' &&
    typeof outgoing.state === 'string' &&
    typeof protocol?.channelWindowAdjust === 'function' &&
    typeof protocol.signal === 'function' &&
    typeof push === 'function' &&
    (_read === undefined || typeof _read === 'function')
  );
}
