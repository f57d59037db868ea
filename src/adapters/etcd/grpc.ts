/** Owns gRPC as far as etcd needs it: calls and one stream of bytes over Node's HTTP/2, on a connection that is handed in. */
import http2 from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { KeyturnError } from '../../domain/error.ts';

/** etcd's blobs of 32 KiB come whole, not cut into frames of 16 KiB. Bytes. */
const LARGEST_FRAME = 1024 * 1024;

/** TLS as a client: Node's options, and the one certificate to accept where no CA is known (sha256 as Node prints it). */
export interface Secure {
  readonly options: ConnectionOptions;
  readonly pinned: string | undefined;
}

/** How a call ended; 0 is good (gRPC's status codes). */
export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
}

/** A call that etcd answered with a status other than 0. */
export class GrpcError extends Error {
  readonly status: GrpcStatus;

  constructor(status: GrpcStatus) {
    super(`gRPC status ${status.code}: ${status.message}`);
    this.status = status;
  }
}

export interface GrpcSession {
  /** One request, one answer. Throws GrpcError, what broke the connection, or the signal's reason. */
  unary(path: string, message: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  /** One request; the answer is read by the caller. Resolves when etcd has begun to answer. */
  stream(path: string, message: Uint8Array, options: CallOptions): Promise<GrpcStream>;
  /** Milliseconds to etcd and back. */
  roundTrip(signal: AbortSignal): Promise<number>;
  close(): void;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Sent along: `hasleader` makes etcd refuse at once when there is no leader. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An answer that is read piece by piece. */
export interface GrpcStream {
  /** Emits 'data' with raw gRPC frames; pause and resume hold etcd back. */
  readonly body: ClientHttp2Stream;
  /** Resolves at the end of the stream with its status; rejects with what broke it. */
  readonly status: Promise<GrpcStatus>;
  close(): void;
}

/**
 * Speaks HTTP/2 on `socket`, inside TLS when `secure` is given. `window` is what etcd may send before it is read, in
 * bytes: the default of HTTP/2 (64 KiB) crawls at 1.4 MB/s through SSH.
 * Throws what TLS or the socket reports; `socket` belongs to the session from now on.
 */
export async function openGrpc(
  socket: Duplex,
  secure: Secure | undefined,
  options: { readonly window: number; readonly signal: AbortSignal },
): Promise<GrpcSession> {
  /** The first thing that went wrong below HTTP/2 tells more than what HTTP/2 makes of it. */
  let broken: Error | undefined;
  const note = (error: Error): void => {
    // What SSH says of its end beats what TLS makes of it.
    if (broken === undefined || (error instanceof KeyturnError && !(broken instanceof KeyturnError))) broken = error;
  };
  socket.on('error', note);
  try {
    const transport = secure === undefined ? socket : await shakeHands(socket, secure, note, options.signal);
    const session = await openSession(transport, secure !== undefined, options.window, note, options.signal);
    // ssh2 ends a channel without closing it, and TLS above would wait for ever to say goodbye. What has come is read first.
    const onEnd = (): void => {
      setImmediate(() => session.destroy(new Error('etcd closed the connection')));
    };
    socket.once('end', onEnd).once('close', onEnd);
    return grpcSession(
      session,
      () => {
        session.destroy();
        transport.destroy();
        socket.destroy();
      },
      () => broken,
    );
  } catch (error) {
    socket.destroy();
    // A socket that broke during the handshake says so a moment later than TLS.
    throw broken ?? error;
  }
}

function shakeHands(
  socket: Duplex,
  { options, pinned }: Secure,
  note: (error: Error) => void,
  signal: AbortSignal,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const transport = tls.connect({ ...options, socket, ALPNProtocols: ['h2'] });
    const fail = (error: Error): void => {
      stop();
      transport.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason as Error);
    const onClose = (): void => fail(new Error('The connection was closed during the TLS handshake.'));
    const stop = (): void => {
      signal.removeEventListener('abort', onAbort);
      transport.off('error', fail).off('close', onClose);
      socket.off('error', fail);
    };
    transport.on('error', note);
    transport.once('error', fail).once('close', onClose);
    socket.once('error', fail);
    signal.addEventListener('abort', onAbort, { once: true });
    transport.once('secureConnect', () => {
      if (pinned !== undefined && transport.getPeerX509Certificate()?.fingerprint256 !== pinned) {
        fail(new Error('The certificate is another one than in the file that etcd was started with'));
        return;
      }
      stop();
      resolve(transport);
    });
    if (signal.aborted) onAbort();
  });
}

function openSession(
  transport: Duplex,
  isSecure: boolean,
  window: number,
  note: (error: Error) => void,
  signal: AbortSignal,
): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(isSecure ? 'https://etcd' : 'http://etcd', {
      createConnection: () => transport,
      settings: { initialWindowSize: window, enablePush: false, maxFrameSize: LARGEST_FRAME },
    });
    const fail = (error: Error): void => {
      stop();
      session.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal.reason as Error);
    const onClose = (): void => fail(new Error('The connection was closed before HTTP/2 was set up.'));
    const stop = (): void => {
      signal.removeEventListener('abort', onAbort);
      session.off('error', fail).off('close', onClose);
    };
    session.on('error', note);
    session.once('error', fail).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    // Our settings are acknowledged once the other side has proved to speak HTTP/2.
    session.once('localSettings', () => {
      stop();
      session.setLocalWindowSize(window);
      resolve(session);
    });
    if (signal.aborted) onAbort();
  });
}

function grpcSession(session: ClientHttp2Session, close: () => void, broken: () => Error | undefined): GrpcSession {
  const stream: GrpcSession['stream'] = async (path, message, { signal, metadata }) => {
    signal.throwIfAborted();
    if (session.destroyed || session.closed) throw broken() ?? new Error('The connection to etcd is closed.');
    const body = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    });
    const cancel = (): void => {
      body.close(http2.constants.NGHTTP2_CANCEL);
    };
    signal.addEventListener('abort', cancel, { once: true });
    const status = statusOf(body, signal, broken);
    // Nobody may be waiting for it any more.
    status.catch(() => undefined).finally(() => signal.removeEventListener('abort', cancel));
    body.end(frame(message));
    await Promise.race([new Promise((begun) => body.once('response', begun)), status]);
    return { body, status, close: cancel };
  };

  const unary: GrpcSession['unary'] = async (path, message, options) => {
    const { body, status } = await stream(path, message, options);
    const chunks: Buffer[] = [];
    body.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = await status;
    if (ended.code !== 0) throw new GrpcError(ended);
    return unframe(Buffer.concat(chunks));
  };

  const roundTrip: GrpcSession['roundTrip'] = (signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      session.ping((error: Error | null, ms) => {
        signal.removeEventListener('abort', onAbort);
        if (error === null) resolve(ms);
        else reject(broken() ?? error);
      });
    });

  return { unary, stream, roundTrip, close };
}

/** The status is in the trailers, or in the headers when there is no answer but it. */
function statusOf(body: ClientHttp2Stream, signal: AbortSignal, broken: () => Error | undefined): Promise<GrpcStatus> {
  return new Promise((resolve, reject) => {
    let status: GrpcStatus | undefined;
    let failure: Error | undefined;
    const look = (headers: IncomingHttpHeaders): void => {
      const code = headers['grpc-status'];
      if (typeof code === 'string') status = { code: Number(code), message: decodeMessage(headers['grpc-message']) };
    };
    body.on('response', (headers) => {
      look(headers);
      if (headers[':status'] !== 200) failure = new Error(`HTTP status ${headers[':status'] ?? 'missing'}.`);
      // An answer of headers alone has no body that anybody would read to its end.
      if (status !== undefined) body.resume();
    });
    body.on('trailers', look);
    body.on('error', (error: Error) => (failure ??= error));
    body.on('close', () => {
      if (signal.aborted) reject(signal.reason as Error);
      else if (status !== undefined) resolve(status);
      else reject(broken() ?? failure ?? new Error('The stream ended without a status.'));
    });
  });
}

/** Percent-encoded UTF-8 (gRPC over HTTP/2, "Status-Message"). */
function decodeMessage(value: string | string[] | undefined): string {
  const text = typeof value === 'string' ? value : '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** One message: not compressed, its length, itself. */
function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

function unframe(framed: Buffer): Buffer {
  if (framed.length < 5 || framed[0] !== 0 || framed.readUInt32BE(1) !== framed.length - 5) {
    throw new RangeError('The answer is no gRPC message.');
  }
  return framed.subarray(5);
}
