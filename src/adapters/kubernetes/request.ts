/** Owns one question to a kube-apiserver: HTTPS on a connection that was made on its node, bounded in time and size. */
import https from 'node:https';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { Identity } from './kubeconfig.ts';

/** The largest answer that is read, in bytes: a page of 100 nodes with all their images. */
const LARGEST = 32 * 1024 * 1024;

export interface Question {
  readonly path: string;
  /** Undefined: nobody; the server is then not verified either. */
  readonly identity: Identity | undefined;
  /** Without the identity's credentials; its CA still proves the server. */
  readonly anonymous?: boolean;
  /** Names by which the server may be known, beside the identity's. */
  readonly names: readonly string[];
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** Throws what broke TLS or the connection, or the signal's reason. `socket` is used up. */
export async function get(socket: Duplex, question: Question, signal: AbortSignal): Promise<Answer> {
  const { path, identity, anonymous = false } = question;
  const token = anonymous ? undefined : identity?.token;
  let lost: Error | undefined;
  // What SSH says of its end tells more than what TLS makes of it.
  socket.on('error', (error: Error) => (lost ??= error));
  try {
    return await new Promise((resolve, reject) => {
      const request = https.get({
        path,
        signal,
        headers: { host: 'kubernetes', accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
        createConnection: () => tls.connect({ ...trustOf(question), socket, ALPNProtocols: ['http/1.1'] }),
      });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size > LARGEST) request.destroy(new Error(`the answer to ${path} is larger than ${LARGEST} bytes`));
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
      });
    });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw lost ?? error;
  } finally {
    socket.destroy();
  }
}

/**
 * Without a CA nobody can tell whose certificate it is. The tunnel ends on the node itself, which SSH has proved, nothing
 * secret is sent, and all that is believed is that something there says it is ready.
 */
function trustOf({ identity, anonymous = false, names }: Question): ConnectionOptions {
  if (identity === undefined) return { rejectUnauthorized: false };
  const known = [...names, ...(identity.host === undefined ? [] : [identity.host])];
  return {
    ca: identity.ca,
    ...(anonymous ? {} : identity.client),
    checkServerIdentity: (_host, certificate) => {
      const errors = known.map((name) => tls.checkServerIdentity(name, certificate));
      return errors.every((error) => error !== undefined) ? errors[0] : undefined;
    },
  };
}
