/** Owns reading requests and writing answers: bodies, forms, JSON, and who may ask from a browser. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isJson, type Json } from './state.ts';

const BODY_MAX = 32 * 1024 * 1024;

/** The whole body; throws when it is larger than 32 MiB. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_MAX) throw new Error('request body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Arguments of a Web API call: query, form, multipart or JSON; and the token, wherever it was put. */
export async function readCall(request: IncomingMessage, url: URL): Promise<{ args: Json; token: string | undefined }> {
  const args: Json = Object.fromEntries(url.searchParams);
  Object.assign(args, await readFields(request));
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const { token, ...rest } = args;
  return { args: rest, token: bearer ?? (typeof token === 'string' ? token : undefined) };
}

async function readFields(request: IncomingMessage): Promise<Json> {
  const body = await readBody(request);
  const type = request.headers['content-type'] ?? '';
  if (body.length === 0) return {};
  if (type.startsWith('application/json')) return parseObject(body.toString('utf8'));
  if (type.startsWith('multipart/form-data')) return Object.fromEntries(await multipart(body, type));
  return Object.fromEntries(new URLSearchParams(body.toString('utf8')));
}

export async function multipart(body: Buffer, contentType: string): Promise<FormData> {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- bodies here are small and come from our own app
  return new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
}

/** An object; empty when the text is none. */
export function parseObject(text: string): Json {
  try {
    const parsed: unknown = JSON.parse(text);
    return isJson(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: Json,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(JSON.stringify(body));
}

export function sendText(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers });
  response.end(body);
}

/**
 * Whether a browser may speak to the page's own routes: only under a loopback name (so that no foreign name can be
 * pointed here), and only from the page itself (so that no other page can act for a person).
 */
export function isFromPage(request: IncomingMessage): boolean {
  const host = request.headers.host ?? '';
  if (!/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host)) return false;
  const origin = request.headers.origin;
  return origin === undefined || origin === `http://${host}`;
}
