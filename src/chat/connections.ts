/**
 * Owns staying connected: several Socket Mode connections, each made again whenever it ends, and a watchdog for when
 * none of them can be. The client's own reconnecting is not used: it waits 5 s after every refresh, and stops for good
 * (with an unhandled rejection) when Slack stays away.
 */
import { within } from '../commands/deps.ts';
import { KeyturnError } from '../domain/error.ts';
import type { Clock, Log } from '../ports.ts';
import { refusalOf } from './slack-error.ts';

/** Bolt's SocketModeClient with `autoReconnectEnabled: false` fits. */
export interface SocketConnection {
  /** Resolves when Slack said hello; rejects when the connection did not come about. */
  start(): Promise<unknown>;
  disconnect(): Promise<unknown>;
  on(event: 'disconnected', listener: () => void): unknown;
}

export interface ConnectionsOptions {
  readonly connections: readonly SocketConnection[];
  readonly clock: Clock;
  readonly log: Log;
  /** With no connection for so long, `onDead` is called, once. */
  readonly deadAfterMs: number;
  readonly onDead: (reason: string) => void;
}

export interface Connections {
  /** Resolves with the first connection, or after `patienceMs` without one; rejects with slack.refused for a bad token. */
  ready(patienceMs: number): Promise<void>;
  readonly open: number;
  stop(): Promise<void>;
}

const HELLO_PATIENCE_MS = 15_000;
const CLOSE_PATIENCE_MS = 35_000;
const STOP_PATIENCE_MS = 5000;
const MAX_BACKOFF_MS = 15_000;
const SHORT_LIFE_MS = 5000;
const UNAUTHORIZED_PAUSE_MS = 60_000;

export function keepConnected(options: ConnectionsOptions): Connections {
  const { clock, connections } = options;
  const stopping = new AbortController();
  const up = new Set<SocketConnection>();
  const first = firstWord();
  const dog = watchdog(options);
  dog.missing();
  const lanes = connections.map((connection) =>
    lane(options, connection, stopping.signal, {
      up: () => {
        up.add(connection);
        dog.alive();
        first.good();
      },
      down: () => {
        if (up.delete(connection) && up.size === 0 && !stopping.signal.aborted) dog.missing();
      },
      unauthorized: first.bad,
    }),
  );
  return {
    get open() {
      return up.size;
    },
    async ready(patienceMs) {
      const waited = new AbortController();
      await Promise.race([first.said, clock.sleep(patienceMs, waited.signal).catch(() => undefined)]).finally(() =>
        waited.abort(),
      );
    },
    async stop() {
      stopping.abort();
      dog.alive();
      for (const connection of connections) connection.disconnect().catch(() => undefined);
      const late = (): Error => new Error('late');
      await within(clock, STOP_PATIENCE_MS, Promise.all(lanes), late).catch(() => undefined);
    },
  };
}

interface LaneEvents {
  up(): void;
  down(): void;
  unauthorized(error: KeyturnError): void;
}

/** One connection's life: made, lost and made again until told to stop. */
async function lane(
  options: ConnectionsOptions,
  connection: SocketConnection,
  signal: AbortSignal,
  events: LaneEvents,
): Promise<void> {
  const { clock, log } = options;
  let ended = (): void => undefined;
  connection.on('disconnected', () => ended());
  signal.addEventListener('abort', () => ended(), { once: true });
  let failures = 0;
  while (!signal.aborted) {
    const over = new Promise<void>((resolve) => (ended = resolve));
    let pauseMs: number;
    try {
      await connect(clock, connection);
      const since = clock.now().getTime();
      events.up();
      await over;
      // Closed as soon as opened is trouble, not a refresh.
      failures = clock.now().getTime() - since < SHORT_LIFE_MS ? failures + 1 : 0;
      pauseMs = backoff(failures);
    } catch (error) {
      failures += 1;
      pauseMs = afterFailure(options, error, backoff(failures), events);
    }
    events.down();
    log.debug({ pauseMs }, 'A connection to Slack ended; it is made again');
    if (pauseMs > 0) await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
  // The stop may have come while it was being made.
  await close(clock, connection);
}

async function connect(clock: Clock, connection: SocketConnection): Promise<void> {
  const late = (): Error => new Error(`no hello from Slack within ${HELLO_PATIENCE_MS} ms`);
  try {
    await within(clock, HELLO_PATIENCE_MS, connection.start(), late);
  } catch (error) {
    await close(clock, connection);
    throw error;
  }
}

/** The client closes by force when Slack does not answer the close for 30 s. */
async function close(clock: Clock, connection: SocketConnection): Promise<void> {
  const late = (): Error => new Error('it does not close');
  await within(clock, CLOSE_PATIENCE_MS, connection.disconnect(), late).catch(() => undefined);
}

/** How long to wait after a failure; a refused token is told to whoever waits for the first connection. */
function afterFailure(options: ConnectionsOptions, error: unknown, backoffMs: number, events: LaneEvents): number {
  const refusal = refusalOf(error);
  if (refusal?.kind === 'rate-limited') return refusal.retryAfterMs;
  if (refusal?.kind === 'unauthorized' || refusal?.kind === 'refused') {
    options.log.error({ reason: refusal.reason }, 'Slack refuses the app-level token');
    events.unauthorized(
      new KeyturnError('slack.refused', `Slack refused the app-level token: ${refusal.reason}.`, {
        hint: 'Make an app-level token (xapp-…) with the scope connections:write, and switch Socket Mode on.',
        cause: error,
      }),
    );
    return UNAUTHORIZED_PAUSE_MS;
  }
  options.log.warn({ err: error, pauseMs: backoffMs }, 'Slack could not be connected to; it is tried again');
  return backoffMs;
}

function backoff(failures: number): number {
  return failures === 0 ? 0 : Math.min(MAX_BACKOFF_MS, 500 * 2 ** Math.min(failures - 1, 6));
}

/** Barks once when nothing was alive for too long. */
function watchdog(options: ConnectionsOptions): { alive(): void; missing(): void } {
  let waiting: AbortController | undefined;
  return {
    alive: () => waiting?.abort(),
    missing() {
      waiting?.abort();
      waiting = new AbortController();
      options.clock.sleep(options.deadAfterMs, waiting.signal).then(
        () => options.onDead(`no connection to Slack for ${Math.round(options.deadAfterMs / 1000)} s`),
        () => undefined,
      );
    },
  };
}

function firstWord(): { said: Promise<void>; good: () => void; bad: (error: Error) => void } {
  let good = (): void => undefined;
  let bad: (error: Error) => void = () => undefined;
  const said = new Promise<void>((resolve, reject) => {
    good = resolve;
    bad = reject;
  });
  said.catch(() => undefined); // nobody may be waiting any more
  return { said, good, bad };
}
