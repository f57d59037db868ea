/** A tiny Azure Blob service in memory: it keeps and refuses as Azure does and Azurite can not, and fails as a test tells it to. */
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** One request as the test sees it. */
export interface FakeRequest {
  readonly operation:
    | ('PutBlob' | 'PutBlock' | 'PutBlockList' | 'GetBlockList' | 'GetBlob' | 'HeadBlob' | 'DeleteBlob')
    | ('SetLegalHold' | 'ListBlobs' | 'GetContainer' | 'Other');
  readonly blob: string;
  /** Counts requests of this operation, from 1. */
  readonly nth: number;
  readonly headers: IncomingMessage['headers'];
}

/** What happens to a request instead of the usual. */
export type Fault =
  /** Refused, with Azure's XML. */
  | { readonly status: number; readonly code: string }
  /** The connection breaks after all is done but before the answer. */
  | 'reset after'
  /** A byte of the body changes on the way to the server. */
  | 'flip'
  /** The body of the answer: cut off, or standing still, after so many bytes; the range left out of account. */
  | { readonly cutAfter: number }
  | { readonly stallAfter: number }
  | 'ignore range';

interface Stored {
  readonly body: Buffer;
  readonly meta: Readonly<Record<string, string>>;
  readonly etag: string;
  hold: boolean;
  keptUntil?: Date;
}

export interface FakeAzure {
  readonly endpoint: string;
  readonly requests: readonly FakeRequest[];
  readonly blobs: Map<string, Stored>;
  /** Uncommitted, by blob and id. */
  readonly blocks: Map<string, Map<string, Buffer>>;
  /** Blobs that were deleted under a hold or policy: hidden, kept as versions. */
  readonly versions: string[];
  /** `policy`: keeps all that is written. `versions`: version-level immutability, without which blobs have no legal hold. */
  container: { policy: boolean; versions: boolean };
  /** Called for each request; undefined: as usual. */
  fault: (request: FakeRequest) => Fault | undefined;
  count(operation: FakeRequest['operation']): number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Buffer;
}

/** Of the account `fake`, in the path, with the container `etcd-backup`. Speaks TLS with that certificate (PEM) when there is one. */
export async function startFakeAzure(tls?: { readonly key: string; readonly cert: string }): Promise<FakeAzure> {
  const requests: FakeRequest[] = [];
  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '/', 'http://fake');
    const blob = decodeURIComponent(url.pathname).replace(/^\/fake\/etcd-backup\/?/, '');
    const operation = operationOf(incoming.method ?? '', url.searchParams, blob);
    const nth = fake.count(operation) + 1;
    const request: FakeRequest = { operation, blob, nth, headers: incoming.headers };
    requests.push(request);
    const fault = fake.fault(request);
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    if (fault === 'flip' && body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
    const refusal = typeof fault === 'object' && 'status' in fault ? refused(fault.status, fault.code) : undefined;
    const answer = refusal ?? mismatch(request, body) ?? act(fake, request, url.searchParams, body, fault);
    if (fault === 'reset after') incoming.socket.destroy();
    else send(response, answer, fault);
  };
  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    serve(incoming, response).catch(() => response.destroy());
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeAzure = {
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/fake`,
    requests,
    blobs: new Map(),
    blocks: new Map(),
    versions: [],
    container: { policy: false, versions: false },
    fault: () => undefined,
    count: (operation) => requests.filter((request) => request.operation === operation).length,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

function operationOf(method: string, query: URLSearchParams, blob: string): FakeRequest['operation'] {
  const comp = query.get('comp');
  if (blob === '') return comp === 'list' ? 'ListBlobs' : 'GetContainer';
  const key = `${method} ${comp ?? ''}`;
  const table: Readonly<Record<string, FakeRequest['operation']>> = {
    'PUT ': 'PutBlob',
    'PUT block': 'PutBlock',
    'PUT blocklist': 'PutBlockList',
    'PUT legalhold': 'SetLegalHold',
    'GET ': 'GetBlob',
    'GET blocklist': 'GetBlockList',
    'HEAD ': 'HeadBlob',
    'DELETE ': 'DeleteBlob',
  };
  return table[key] ?? 'Other';
}

/** The service refuses a body that does not fit the MD5 that came with it. */
function mismatch({ operation, headers }: FakeRequest, body: Buffer): Answer | undefined {
  const sent = operation === 'PutBlob' ? headers['x-ms-blob-content-md5'] : headers['content-md5'];
  if (sent === undefined || sent === createHash('md5').update(body).digest('base64')) return undefined;
  return refused(400, 'Md5Mismatch');
}

function act(
  fake: FakeAzure,
  request: FakeRequest,
  query: URLSearchParams,
  body: Buffer,
  fault: Fault | undefined,
): Answer {
  const { blobs, blocks, container } = fake;
  const { blob, headers } = request;
  const stored = blobs.get(blob);
  const staged = blocks.get(blob);
  const isKept = (one: Stored) => one.hold || (one.keptUntil?.getTime() ?? 0) > Date.now();
  const write = (whole: Buffer): Answer => {
    if (stored && headers['if-none-match'] === '*') return refused(409, 'BlobAlreadyExists');
    if (stored && container.policy) return refused(409, 'BlobImmutableDueToPolicy');
    blocks.delete(blob);
    const meta = Object.entries(headers).filter(([name]) => name.startsWith('x-ms-meta-'));
    const etag = `"${randomUUID()}"`;
    blobs.set(blob, { body: whole, meta: Object.fromEntries(meta) as Record<string, string>, etag, hold: false });
    return { status: 201, headers: { etag, 'last-modified': new Date().toUTCString() } };
  };
  switch (request.operation) {
    case 'PutBlob':
      return write(body);
    case 'PutBlock': {
      const ofBlob = staged ?? new Map<string, Buffer>();
      blocks.set(blob, ofBlob.set(query.get('blockid') ?? '', body));
      return { status: 201 };
    }
    case 'PutBlockList': {
      const ids = [...body.toString().matchAll(/<Latest>(.*?)<\/Latest>/g)].map(([, id = '']) => id);
      const parts = ids.map((id) => staged?.get(id));
      const whole = parts.filter((part) => part !== undefined);
      // A commit that is repeated finds its blocks among the committed ones.
      if (whole.length < ids.length) return stored ? { status: 201 } : refused(400, 'InvalidBlockList');
      return write(Buffer.concat(whole));
    }
    case 'GetBlockList': {
      if (!stored && !staged) return refused(404, 'BlobNotFound');
      const found = [...(staged ?? [])].map(([id, part]) => element('Block', { Name: id, Size: part.length }));
      return { status: 200, body: element('BlockList', { UncommittedBlocks: found.join('') }) };
    }
    case 'HeadBlob':
      return stored ? { status: 200, headers: about(stored) } : refused(404, 'BlobNotFound');
    case 'GetBlob':
      return stored ? get(stored, headers, fault) : refused(404, 'BlobNotFound');
    case 'DeleteBlob':
      if (!stored) return refused(404, 'BlobNotFound');
      if (headers['if-match'] !== undefined && headers['if-match'] !== stored.etag)
        return refused(412, 'ConditionNotMet');
      if (container.policy) return refused(409, 'BlobImmutableDueToPolicy');
      if (isKept(stored)) fake.versions.push(blob);
      blobs.delete(blob);
      return { status: 202 };
    case 'SetLegalHold':
      if (!container.versions) return refused(409, 'SomeCodeForNoVersionLevelImmutability');
      if (!stored) return refused(404, 'BlobNotFound');
      stored.hold = headers['x-ms-legal-hold'] === 'true';
      return { status: 200, headers: { 'x-ms-legal-hold': String(stored.hold) } };
    case 'GetContainer':
      return {
        status: 200,
        headers: {
          'x-ms-has-immutability-policy': String(container.policy),
          'x-ms-has-legal-hold': 'false',
          'x-ms-immutable-storage-with-versioning-enabled': String(container.versions),
        },
      };
    case 'ListBlobs':
      return list(fake, query);
    case 'Other':
      return refused(501, 'NotImplemented');
  }
}

function about(stored: Stored): Record<string, string | number> {
  return {
    ...stored.meta,
    etag: stored.etag,
    'content-length': stored.body.length,
    'last-modified': new Date().toUTCString(),
    'x-ms-legal-hold': String(stored.hold),
    ...(stored.keptUntil && { 'x-ms-immutability-policy-until-date': stored.keptUntil.toUTCString() }),
  };
}

function get(stored: Stored, headers: FakeRequest['headers'], fault: Fault | undefined): Answer {
  if (headers['if-match'] !== undefined && headers['if-match'] !== stored.etag) return refused(412, 'ConditionNotMet');
  const from = fault === 'ignore range' ? undefined : /^bytes=(\d+)-$/.exec(String(headers['x-ms-range']))?.[1];
  if (from === undefined) return { status: 200, headers: about(stored), body: stored.body };
  const body = stored.body.subarray(Number(from));
  const range = `bytes ${from}-${stored.body.length - 1}/${stored.body.length}`;
  return {
    status: 206,
    headers: { ...about(stored), 'content-length': body.length, 'content-range': range },
    body,
  };
}

function list({ blobs, blocks }: FakeAzure, query: URLSearchParams): Answer {
  const uncommitted = (query.get('include') ?? '').includes('uncommittedblobs') ? [...blocks.keys()] : [];
  const names = [...new Set([...blobs.keys(), ...uncommitted])]
    .filter((name) => name.startsWith(query.get('prefix') ?? ''))
    .sort();
  const items = names.map((name) => {
    const Properties = element('Properties', {
      'Last-Modified': new Date().toUTCString(),
      'Content-Length': blobs.get(name)?.body.length ?? 0,
      BlobType: 'BlockBlob',
    });
    return `<Blob>${element('Name', name)}${Properties}</Blob>`;
  });
  return {
    status: 200,
    body: `<EnumerationResults ServiceEndpoint="http://fake/" ContainerName="etcd-backup"><Blobs>${items.join('')}</Blobs><NextMarker /></EnumerationResults>`,
  };
}

function send(response: ServerResponse, answer: Answer, fault: Fault | undefined): void {
  const body = Buffer.from(answer.body ?? '');
  const isXml = typeof answer.body === 'string';
  response.writeHead(answer.status, {
    'content-length': body.length,
    ...(isXml && { 'content-type': 'application/xml' }),
    ...answer.headers,
  });
  if (typeof fault === 'object' && 'cutAfter' in fault) {
    response.write(body.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 20));
  } else if (typeof fault === 'object' && 'stallAfter' in fault) {
    response.write(body.subarray(0, fault.stallAfter));
  } else response.end(body);
}

/** With what the real service puts in beside the code: none of it may reach a person. */
function refused(status: number, code: string): Answer {
  const body = element('Error', { Code: code, Message: 'PLANTED server text', AuthenticationErrorDetail: 'PLANTED' });
  return { status, headers: { 'x-ms-error-code': code }, body };
}

function element(name: string, content: string | Readonly<Record<string, string | number>>): string {
  const inner =
    typeof content === 'string'
      ? content
      : Object.entries(content)
          .map(([key, value]) => element(key, String(value)))
          .join('');
  return `<${name}>${inner}</${name}>`;
}
