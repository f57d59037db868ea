/** Owns how bytes get to Azure and back: one connection pool a store, its certificates, and time limits that fit a stall. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob';
import { trusted, type LineOptions } from './tls.ts';
import type { StoreTuning } from './tuning.ts';

/**
 * Instead of the SDK's own client, which knows no limit for a line that stands still, hides what a certificate showed, and
 * takes proxies from the environment.
 */
export function azureHttpClient(options: LineOptions, tuning: StoreTuning): IHttpClient {
  const pool = { keepAlive: true, maxSockets: 64 };
  const http = new HttpAgent(pool);
  let https: HttpsAgent | undefined;
  const sendBy = async (url: URL) => {
    if (url.protocol === 'http:') return { send: httpRequest, agent: http };
    https ??= new HttpsAgent({ ...pool, ...(await trusted(options)) });
    return { send: httpsRequest, agent: https };
  };
  return {
    async sendRequest(request) {
      const url = new URL(request.url);
      const { send, agent } = await sendBy(url);
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const headers = request.headers.toJson({ preserveCase: true });
        const signal = request.abortSignal as AbortSignal | undefined;
        const sending = send(url, { agent, headers, method: request.method, ...(signal && { signal }) });
        limit(sending, tuning);
        sending.once('response', resolve).once('error', reject);
        sending.end(request.body);
      });
      return toResponse(request, answer);
    },
  };
}

/** Fails with ETIMEDOUT when no connection comes about, or when no byte moves for too long, the body of the answer included. */
function limit(sending: ReturnType<typeof httpRequest>, { connectTimeoutMs, idleTimeoutMs }: StoreTuning): void {
  const giveUp = (what: string) => sending.destroy(Object.assign(new Error(what), { code: 'ETIMEDOUT' }));
  sending.setTimeout(idleTimeoutMs, () => giveUp('no byte moved'));
  sending.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => giveUp('no connection'), connectTimeoutMs);
    socket.once('connect', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
  });
}

async function toResponse(request: WebResource, answer: IncomingMessage): Promise<HttpOperationResponse> {
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  for (const [name, value] of Object.entries(answer.headers)) headers.set(name, String(value));
  const status = answer.statusCode ?? 0;
  const isStreamed = request.streamResponseStatusCodes?.has(status) ?? false;
  return {
    request,
    headers,
    status,
    ...(isStreamed ? { readableStreamBody: answer } : { bodyAsText: await text(answer) }),
  };
}
