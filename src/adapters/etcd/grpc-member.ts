/** Owns a member of etcd reached through a tunnel: every call over HTTP/2, the snapshot over a connection of its own. */
import {
  decodeCount,
  decodeHash,
  decodeMemberList,
  decodeStatus,
  hashRequest,
  COUNT_ALL_KEYS,
  EMPTY,
  METHODS,
} from './protobuf.ts';
import type { Endpoint } from '../../domain/etcd-commands.ts';
import { KeyturnError } from '../../domain/error.ts';
import type { NodeConnection, SnapshotStream } from '../../ports.ts';
import type { Credentials } from './credentials.ts';
import { at, etcdError } from './errors.ts';
import type { Place } from './errors.ts';
import { limited, pipe, stalled } from './flow.ts';
import { GrpcError, openGrpc } from './grpc.ts';
import type { CallOptions, GrpcSession, GrpcStatus, GrpcStream } from './grpc.ts';
import type { Member, SnapshotOptions } from './member.ts';
import { snapshotDecoder } from './snapshot-decoder.ts';

/** A healthy etcd answers in milliseconds; one without a leader after 7 s. */
const CALL_TIMEOUT_MS = 10_000;
const CALL_WINDOW = 1024 * 1024;
/** Without a limit: more than any reader takes. Bytes a second. */
const FULL_SPEED = 300_000_000;
const LARGEST_WINDOW = 16 * 1024 * 1024;
const SMALLEST_WINDOW = 64 * 1024;

interface CallWishes {
  readonly metadata?: CallOptions['metadata'];
  /** Default `CALL_TIMEOUT_MS`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Connects at the first call. `ended` ends everything. */
export function grpcMember(
  connection: NodeConnection,
  endpoint: Endpoint,
  credentials: Credentials | undefined,
  place: Place,
): Member {
  const closed = new AbortController();
  const sessions = new Set<GrpcSession>();
  let shared: Promise<GrpcSession> | undefined;

  const connect = async (window: number, signal: AbortSignal): Promise<GrpcSession> => {
    const tunnel = await connection.tunnel(endpoint.host, endpoint.port, signal);
    const session = await openGrpc(tunnel, endpoint.secure ? credentials : undefined, { window, signal });
    sessions.add(session);
    return session;
  };

  const drop = (session: GrpcSession): void => {
    sessions.delete(session);
    session.close();
  };

  /** One connection for all short calls; a broken one is made anew at the next. */
  const talk = (signal: AbortSignal): Promise<GrpcSession> => (shared ??= connect(CALL_WINDOW, signal));

  const forget = (): void => {
    void shared?.then(drop, () => undefined);
    shared = undefined;
  };

  const call = async <T>(
    path: string,
    message: Uint8Array,
    decode: (answer: Uint8Array) => T,
    { metadata = {}, timeoutMs = CALL_TIMEOUT_MS, signal: wish }: CallWishes = {},
  ): Promise<T> => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([timeout, closed.signal, ...(wish === undefined ? [] : [wish])]);
    try {
      const session = await talk(signal);
      return decode(await session.unary(path, message, { signal, metadata }));
    } catch (error) {
      if (!(error instanceof GrpcError)) forget();
      if (timeout.aborted && error === timeout.reason) throw tookTooLong(place, timeoutMs);
      throw etcdError(error, place, 'etcd.unreachable', signal);
    }
  };

  const openSnapshot = async (options: SnapshotOptions): Promise<SnapshotStream> => {
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, closed.signal, stop.signal]);
    const tooLate = setTimeout(() => stop.abort(stalled(at(place), options.stallTimeoutMs)), options.stallTimeoutMs);
    let session: GrpcSession | undefined;
    const end = (): void => {
      if (session !== undefined) drop(session);
    };
    try {
      const roundTripMs = await (await talk(signal)).roundTrip(signal);
      session = await connect(windowFor(options.rateLimit, roundTripMs), signal);
      // etcd answers at once when it refuses, else with its first blob.
      const stream = await session.stream(METHODS.snapshot, EMPTY, { signal });
      return {
        source: 'stream',
        fallbackReason: undefined,
        chunks: readSnapshot(stream, place, { ...options, signal }, end),
        close() {
          stop.abort(closedByUs(place));
          end();
        },
      };
    } catch (error) {
      end();
      forget();
      throw etcdError(error, place, 'etcd.stream-broken', signal);
    } finally {
      clearTimeout(tooLate);
    }
  };

  return {
    status: () => call(METHODS.status, EMPTY, decodeStatus),
    memberList: () => call(METHODS.memberList, EMPTY, decodeMemberList),
    countKeys: () => call(METHODS.range, COUNT_ALL_KEYS, decodeCount, { metadata: { hasleader: 'true' } }),
    hashAt: (revision, options) => call(METHODS.hashKv, hashRequest(revision), decodeHash, options),
    openSnapshot,
    close() {
      closed.abort(
        new KeyturnError('etcd.unreachable', `The session with ${at(place)} was closed.`, { hint: 'Open another.' }),
      );
      for (const session of [...sessions]) drop(session);
    },
  };
}

/**
 * What etcd may send ahead: as much as is read in the time there and back, twice, since room is told of when half of it is used
 * up, and in a few ms more. A larger window is only memory; under a rate limit etcd would fill it in bursts.
 */
function windowFor(rateLimit: number | undefined, roundTripMs: number): number {
  const ahead = rateLimit === undefined ? 10 : 2;
  const bytes = ((rateLimit ?? FULL_SPEED) / 1000) * (2 * roundTripMs + ahead);
  return Math.round(Math.min(LARGEST_WINDOW, Math.max(SMALLEST_WINDOW, bytes)));
}

/** The snapshot's bytes, as they come; ends only after gRPC status 0 between two messages. */
async function* readSnapshot(
  stream: GrpcStream,
  place: Place,
  { signal, stallTimeoutMs, rateLimit }: SnapshotOptions,
  close: () => void,
): AsyncGenerator<Uint8Array> {
  const decoder = snapshotDecoder();
  const pieces = pipe(stream.body);
  stream.body.on('data', (chunk: Buffer) => {
    try {
      for (const blob of decoder.push(chunk)) pieces.push(blob);
    } catch (error) {
      pieces.end(broken(place, (error as Error).message));
      stream.close();
    }
  });
  stream.status.then(
    (status) => pieces.end(failureOf(status, decoder.atBoundary && decoder.remaining === 0n, place)),
    (error: unknown) => pieces.end(etcdError(error, place, 'etcd.stream-broken', signal)),
  );
  const read = pieces.read({ signal, stallTimeoutMs, onStall: () => stalled(at(place), stallTimeoutMs) });
  try {
    yield* rateLimit === undefined ? read : limited(read, rateLimit, signal);
  } finally {
    close();
  }
}

function failureOf(status: GrpcStatus, isWhole: boolean, place: Place): Error | undefined {
  if (status.code !== 0) return broken(place, `it ended with gRPC status ${status.code}, ${status.message}`);
  return isWhole ? undefined : broken(place, 'it ended before all bytes were sent');
}

function broken(place: Place, why: string): KeyturnError {
  return new KeyturnError('etcd.stream-broken', `The snapshot stream of ${at(place)} broke: ${why}.`, {
    hint: `Look at etcd's log on ${place.name}; the next attempt reads from the beginning.`,
  });
}

function tookTooLong(place: Place, ms: number): KeyturnError {
  return new KeyturnError('etcd.unreachable', `etcd at ${at(place)} did not answer within ${ms / 1000} s.`, {
    hint: `Look at the load of ${place.name}, at etcd's log, and whether the cluster has a leader.`,
  });
}

function closedByUs(place: Place): KeyturnError {
  return new KeyturnError('etcd.stream-broken', `The session with ${at(place)} was closed.`, { hint: 'Open it anew.' });
}
