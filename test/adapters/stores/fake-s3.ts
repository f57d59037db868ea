/** A tiny S3 server in memory that checks what a server checks, and fails as a test tells it to. */
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse, type IncomingHttpHeaders } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';

/** One request as the test sees it, e.g. `UploadPart bucket/key 2`. */
export interface FakeRequest {
  readonly operation: string;
  readonly key: string;
  readonly part: number | undefined;
  /** Counts requests of this operation, from 1. */
  readonly nth: number;
  readonly headers: IncomingMessage['headers'];
  readonly host: string;
  readonly url: string;
}

/** What happens to a request instead of the usual. */
export type Fault =
  /** Refused with S3's XML, or without a body when `code` is undefined. */
  | { readonly status: number; readonly code: string | undefined }
  /** The connection breaks: before anything is done, or after all is done but before the answer. */
  | 'reset'
  | 'reset after'
  /** No answer ever. */
  | 'hang'
  /** A byte of the body changes on the way to the server. */
  | 'flip'
  /** Answered with 200 and this, whatever was asked. */
  | { readonly answer: string }
  /** Answered with 200 and an error inside, as CompleteMultipartUpload may. */
  | 'error inside'
  /** The body of the answer: cut off, or standing still, after so many bytes; the range left out of account; longer than it says. */
  | { readonly cutAfter: number }
  | { readonly stallAfter: number }
  | 'ignore range'
  | 'wrong size';

export interface FakeS3 {
  readonly port: number;
  readonly requests: readonly FakeRequest[];
  readonly objects: ReadonlyMap<string, { readonly body: Buffer; readonly meta: Record<string, string> }>;
  readonly uploads: ReadonlyMap<string, unknown>;
  /** Headers that HEAD shows beside the usual: versions, locks. */
  shows: Readonly<Record<string, string>>;
  /** Called for each request; undefined: as usual. */
  fault: (request: FakeRequest) => Fault | undefined;
  /** How often this operation was asked for. */
  count(operation: string): number;
  close(): Promise<void>;
}

interface StoredBody {
  readonly body: Buffer;
  readonly meta: Record<string, string>;
  readonly at: Date;
}
interface OpenMultipart {
  readonly key: string;
  readonly at: Date;
  readonly meta: Record<string, string>;
  readonly parts: Map<number, Buffer>;
}
interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string | number>;
  readonly body?: string | Buffer;
}

export interface FakeS3Options {
  /** Speaks TLS with this certificate (PEM); default: plain HTTP. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Checks CRC32 of parts: says so and insists on it, as AWS does, or silently where one is sent, as Swift does. Default: not at all. */
  readonly crc32?: 'told' | 'silent';
}

/** `bucket` is there, addressed by path or by host name; every other one is not. */
export async function startFakeS3(bucket: string, options: FakeS3Options = {}): Promise<FakeS3> {
  const objects = new Map<string, StoredBody>();
  const uploads = new Map<string, OpenMultipart>();
  const requests: FakeRequest[] = [];
  const parsed = (request: IncomingMessage): { read: FakeRequest; query: URLSearchParams } => {
    const host = request.headers.host ?? '';
    const url = new URL(request.url ?? '/', 'http://fake');
    const byHost = host.startsWith(`${bucket}.`);
    const path = decodeURIComponent(url.pathname).slice(1);
    const named = byHost ? bucket : (path.split('/')[0] ?? '');
    const key = byHost ? path : path.slice(named.length + 1);
    const operation = operationOf(request.method ?? '', url.searchParams, key, request.headers);
    const number = url.searchParams.get('partNumber');
    const nth = requests.filter((earlier) => earlier.operation === operation).length + 1;
    const part = number === null ? undefined : Number(number);
    const read = { operation, key, part, nth, headers: request.headers, host, url: request.url ?? '' };
    requests.push(read);
    return { read: named === bucket ? read : { ...read, operation: 'NoSuchBucket' }, query: url.searchParams };
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { read, query } = parsed(request);
    const fault = fake.fault(read);
    if (fault === 'reset') return void request.socket.destroy();
    if (fault === 'hang') return;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (fault === 'flip' && body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
    if (typeof fault === 'object' && 'status' in fault) {
      send(response, { status: fault.status, body: fault.code === undefined ? '' : errorXml(fault.code) }, undefined);
      return;
    }
    if (typeof fault === 'object' && 'answer' in fault) {
      send(response, { status: 200, body: fault.answer }, undefined);
      return;
    }
    const answer =
      fault === 'error inside'
        ? { status: 200, body: errorXml('InternalError') }
        : (mismatch(read, body, options.crc32) ??
          act(read, query, body, { objects, uploads, crc32: options.crc32 }, fault));
    const shown = read.operation === 'HeadObject' ? fake.shows : {};
    if (fault === 'reset after') return void request.socket.destroy();
    send(response, { ...answer, headers: { ...answer.headers, ...shown } }, fault);
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    serve(request, response).catch(() => response.destroy());
  };
  const server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeS3 = {
    port: (server.address() as AddressInfo).port,
    requests,
    objects,
    uploads,
    shows: {},
    fault: () => undefined,
    count: (operation) => requests.filter((request) => request.operation === operation).length,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

function operationOf(method: string, query: URLSearchParams, key: string, headers: IncomingHttpHeaders): string {
  if (query.has('object-lock')) return 'GetObjectLockConfiguration';
  if (query.has('legal-hold')) return method === 'PUT' ? 'PutObjectLegalHold' : 'GetObjectLegalHold';
  if (query.has('retention')) return 'GetObjectRetention';
  if (key === '') return query.has('uploads') ? 'ListMultipartUploads' : 'ListObjectsV2';
  const upload = query.has('uploadId');
  if (method === 'POST') return upload ? 'CompleteMultipartUpload' : 'CreateMultipartUpload';
  // One byte with a sum of 0: only to see whether it is refused.
  if (upload && headers['x-amz-checksum-crc32'] === 'AAAAAA==') return 'ProbeCrc32';
  if (method === 'PUT') return upload ? 'UploadPart' : 'PutObject';
  if (method === 'DELETE') return upload ? 'AbortMultipartUpload' : 'DeleteObject';
  if (method === 'HEAD') return 'HeadObject';
  return upload ? 'ListParts' : 'GetObject';
}

/** A server refuses a body that does not fit the hash it was signed with, or the checksum beside it. */
function mismatch({ headers, operation }: FakeRequest, body: Buffer, crc: FakeS3Options['crc32']): Answer | undefined {
  const claimed = headers['x-amz-content-sha256'];
  const sha256 = createHash('sha256').update(body).digest('hex');
  if (typeof claimed === 'string' && claimed !== 'UNSIGNED-PAYLOAD' && claimed !== sha256) {
    return { status: 400, body: errorXml('XAmzContentSHA256Mismatch') };
  }
  if (crc === undefined) return undefined;
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  const sent = headers['x-amz-checksum-crc32'];
  const mayLack = crc === 'silent' && sent === undefined;
  if (['UploadPart', 'ProbeCrc32'].includes(operation) && !mayLack && sent !== sum.toString('base64')) {
    return { status: 400, body: errorXml('BadDigest') };
  }
  const partsWithSum = body.toString().match(/<Part>(?=.*?<ChecksumCRC32>.*?<\/Part>)/g)?.length ?? 0;
  const parts = body.toString().match(/<Part>/g)?.length ?? 0;
  if (operation === 'CompleteMultipartUpload' && partsWithSum !== (crc === 'told' ? parts : 0)) {
    return { status: 400, body: errorXml('InvalidPart') };
  }
  return undefined;
}

interface State {
  readonly objects: Map<string, StoredBody>;
  readonly uploads: Map<string, OpenMultipart>;
  readonly crc32: FakeS3Options['crc32'];
}

function act(read: FakeRequest, query: URLSearchParams, body: Buffer, state: State, fault: Fault | undefined): Answer {
  const { objects, uploads } = state;
  const { key, part } = read;
  const id = query.get('uploadId') ?? '';
  const upload = uploads.get(id);
  const object = objects.get(key);
  const noUpload = { status: 404, body: errorXml('NoSuchUpload') };
  switch (read.operation) {
    case 'NoSuchBucket':
      return { status: 404, body: errorXml('NoSuchBucket') };
    case 'PutObject':
      objects.set(key, { body, meta: metaOf(read), at: new Date() });
      return { status: 200, headers: { etag: etag(body) } };
    case 'GetObject':
      return object ? get(read, object, fault) : { status: 404, body: errorXml('NoSuchKey') };
    case 'HeadObject':
      return object ? { status: 200, headers: headers(object, fault) } : { status: 404 };
    case 'DeleteObject':
      objects.delete(key);
      return { status: 204 };
    case 'CreateMultipartUpload': {
      const created = randomUUID();
      uploads.set(created, { key, at: new Date(), meta: metaOf(read), parts: new Map() });
      const algorithm = state.crc32 === 'told' ? { 'x-amz-checksum-algorithm': 'CRC32' } : {};
      return { status: 200, headers: algorithm, body: xml('InitiateMultipartUploadResult', { UploadId: created }) };
    }
    case 'UploadPart':
    case 'ProbeCrc32':
      upload?.parts.set(part ?? 0, body);
      return upload ? { status: 200, headers: { etag: etag(body) } } : noUpload;
    case 'CompleteMultipartUpload': {
      if (!upload) return noUpload;
      const wanted = [...body.toString().matchAll(/<PartNumber>(\d+)</g)].map(([, number]) => Number(number));
      const parts = wanted.map((number) => upload.parts.get(number) ?? Buffer.alloc(0));
      objects.set(key, { body: Buffer.concat(parts), meta: upload.meta, at: new Date() });
      uploads.delete(id);
      return { status: 200, body: xml('CompleteMultipartUploadResult', { ETag: '"x-1"' }) };
    }
    case 'AbortMultipartUpload':
      return uploads.delete(id) ? { status: 204 } : noUpload;
    case 'ListParts':
      return upload ? { status: 200, body: xml('ListPartsResult', { UploadId: id }) } : noUpload;
    case 'GetObjectLockConfiguration':
      return { status: 404, body: errorXml('ObjectLockConfigurationNotFoundError') };
    case 'ListObjectsV2':
      return listObjects(query, objects);
    case 'ListMultipartUploads':
      return listUploads(query, uploads);
    default:
      return { status: 501 };
  }
}

function get(read: FakeRequest, object: StoredBody, fault: Fault | undefined): Answer {
  const from = fault === 'ignore range' ? undefined : /^bytes=(\d+)-$/.exec(read.headers.range ?? '')?.[1];
  if (read.headers['if-match'] !== undefined && read.headers['if-match'] !== etag(object.body)) {
    return { status: 412, body: errorXml('PreconditionFailed') };
  }
  if (from === undefined) return { status: 200, headers: headers(object, fault), body: object.body };
  const body = object.body.subarray(Number(from));
  const range = `bytes ${from}-${object.body.length - 1}/${object.body.length}`;
  const sizes = { 'content-length': body.length, 'content-range': range };
  return { status: 206, headers: { ...headers(object, fault), ...sizes }, body };
}

function headers({ body, meta, at }: StoredBody, fault: Fault | undefined): Record<string, string | number> {
  const length = fault === 'wrong size' ? body.length - 1 : body.length;
  return { etag: etag(body), 'content-length': length, 'last-modified': at.toUTCString(), ...meta };
}

function listObjects(query: URLSearchParams, objects: ReadonlyMap<string, StoredBody>): Answer {
  const all = pageOf([...objects], query, ([key]) => key, Number(query.get('max-keys') ?? 1000), 'continuation-token');
  const contents = all.page.map(([key, { body, at }]) => ({
    Contents: { Key: key, Size: body.length, LastModified: at.toISOString() },
  }));
  const next = all.next === undefined ? {} : { NextContinuationToken: all.next };
  return { status: 200, body: xml('ListBucketResult', { IsTruncated: all.next !== undefined, ...next }, contents) };
}

function listUploads(query: URLSearchParams, uploads: ReadonlyMap<string, OpenMultipart>): Answer {
  const marker = ([id, { key }]: [string, OpenMultipart]) => `${key} ${id}`;
  const key = query.get('key-marker');
  const id = query.get('upload-id-marker');
  if (key !== null) query.set('after', `${key} ${id ?? ''}`);
  const all = pageOf([...uploads], query, marker, Number(query.get('max-uploads') ?? 1000), 'after');
  const found = all.page.map(([uploadId, upload]) => ({
    Upload: { Key: upload.key, UploadId: uploadId, Initiated: upload.at.toISOString() },
  }));
  const [nextKey = '', nextId = ''] = all.next?.split(' ') ?? [];
  const next = all.next === undefined ? {} : { NextKeyMarker: nextKey, NextUploadIdMarker: nextId };
  return {
    status: 200,
    body: xml('ListMultipartUploadsResult', { IsTruncated: all.next !== undefined, ...next }, found),
  };
}

function pageOf<T>(all: T[], query: URLSearchParams, name: (entry: T) => string, limit: number, after: string) {
  const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const from = query.get(after) ?? '';
  const left = all
    .filter(
      (entry) => name(entry).startsWith(query.get('prefix') ?? '') && (from === '' || order(name(entry), from) > 0),
    )
    .sort((a, b) => order(name(a), name(b)));
  const page = left.slice(0, limit);
  const last = page.at(-1);
  return { page, next: left.length > page.length && last !== undefined ? name(last) : undefined };
}

function send(response: ServerResponse, answer: Answer, fault: Fault | undefined): void {
  const body = Buffer.from(answer.body ?? '');
  response.writeHead(answer.status, { 'content-length': body.length, ...answer.headers });
  if (typeof fault === 'object' && 'cutAfter' in fault) {
    response.write(body.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 20));
  } else if (typeof fault === 'object' && 'stallAfter' in fault) {
    response.write(body.subarray(0, fault.stallAfter));
  } else response.end(body);
}

function metaOf({ headers: all }: FakeRequest): Record<string, string> {
  const meta = Object.entries(all).filter(([name]) => name.startsWith('x-amz-meta-'));
  return Object.fromEntries(meta.map(([name, value]) => [name, String(value)]));
}

function etag(body: Buffer): string {
  return `"${createHash('md5').update(body).digest('hex')}"`;
}

type XmlFields = Record<string, unknown>;

function xml(root: string, fields: XmlFields, more: readonly XmlFields[] = []): string {
  return `<?xml version="1.0" encoding="UTF-8"?><${root}>${[fields, ...more].map(xmlOf).join('')}</${root}>`;
}

function xmlOf(fields: XmlFields): string {
  const text = (value: unknown): string =>
    typeof value === 'object' && value !== null ? xmlOf(value as XmlFields) : String(value);
  return Object.entries(fields)
    .map(([name, value]) => `<${name}>${text(value)}</${name}>`)
    .join('');
}

/** With what real servers put in beside the code: none of it may reach a person. */
function errorXml(code: string): string {
  return xml('Error', {
    Code: code,
    Message: 'See AKIDSECRET',
    StringToSign: 'AWS4 SECRET',
    AWSAccessKeyId: 'AKIDSECRET',
  });
}
