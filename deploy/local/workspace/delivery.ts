/** Owns the way to the app: envelopes over Socket Mode or signed POSTs, and the three seconds it has to acknowledge. */
import { createHmac, randomInt, randomUUID } from 'node:crypto';
import type { WebSocket } from 'ws';
import { APP_ID, isJson, type Json } from './state.ts';

export type EnvelopeType = 'slash_commands' | 'interactive' | 'events_api';

export type Delivered =
  | { readonly ok: true; readonly ackMs: number; readonly answer: Json }
  | { readonly ok: false; readonly error: DeliveryError };
export type DeliveryError = 'dispatch_failed' | 'operation_timeout' | 'http_client_error' | 'http_service_error';

/** One delivery as the tests see it; `ackMs` is undefined when no acknowledgement ever came. */
export interface AckRecord {
  readonly type: EnvelopeType;
  /** The command with its text, the action id, the view's callback id or the event's type. */
  readonly what: string;
  readonly sentAt: Date;
  ackMs: number | undefined;
  /** Acknowledged within three seconds. */
  inTime: boolean;
}

export type DisconnectReason = 'refresh_requested' | 'warning' | 'link_disabled';

export interface HttpTarget {
  readonly requestUrl: string;
  readonly signingSecret: string;
}

const ACK_MS = 3_000;
const PING_EVERY_MS = 10_000;
/** After a refresh is announced the connection is closed by us, if the app did not do it. */
const CLOSE_AFTER_MS = 10_000;
/** An app may hold so many connections. */
export const MAX_CONNECTIONS = 10;
/** Events are sent again when not acknowledged: at once, after a minute, after five. */
const EVENT_RETRIES_MS = [1_000, 60_000, 300_000];
const ACKS_KEPT = 10_000;

/** Which repetition this is; undefined: the first time. */
interface Retry {
  readonly attempt: number;
  readonly reason: string;
}

interface Waiting {
  readonly record: AckRecord;
  readonly started: number;
  readonly settle: (result: Delivered) => void;
}

export class Delivery {
  readonly acks: AckRecord[] = [];
  private readonly sockets = new Set<WebSocket>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly http: HttpTarget | undefined;
  private cutOff = false;
  private readonly pings: NodeJS.Timeout;

  /** With `http`, deliveries are POSTs; without, they go to one of the sockets. */
  constructor(http: HttpTarget | undefined) {
    this.http = http;
    this.pings = setInterval(() => {
      for (const socket of this.sockets) socket.ping();
    }, PING_EVERY_MS);
  }

  get connections(): number {
    return this.sockets.size;
  }

  /** No delivery succeeds until it is switched off again; open sockets are dropped without a word. */
  setCutOff(cutOff: boolean): void {
    this.cutOff = cutOff;
    if (cutOff) for (const socket of this.sockets) socket.terminate();
  }

  /** Takes a connection that showed a good ticket. */
  accept(socket: WebSocket): void {
    this.sockets.add(socket);
    socket.on('message', (data: Buffer) => this.onMessage(data.toString('utf8')));
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.terminate());
    send(socket, {
      type: 'hello',
      num_connections: this.sockets.size,
      connection_info: { app_id: APP_ID },
      debug_info: { host: 'local-workspace', build_number: 1, approximate_connection_time: 18_060 },
    });
  }

  /** Asks the app to connect again, as Slack does every few hours; `link_disabled` closes at once. */
  disconnect(reason: DisconnectReason, closeAfterMs: number = reason === 'link_disabled' ? 0 : CLOSE_AFTER_MS): void {
    for (const socket of this.sockets) {
      send(socket, { type: 'disconnect', reason, debug_info: { host: 'local-workspace' } });
      this.later(closeAfterMs, () => socket.close());
    }
  }

  /** Sends one payload and waits at most three seconds; events are sent again when that was in vain. */
  async deliver(type: EnvelopeType, what: string, payload: Json): Promise<Delivered> {
    const result = await this.attempt(type, what, payload, undefined);
    if (!result.ok && type === 'events_api') this.retryEvent(what, payload, 0, result.error);
    return result;
  }

  close(): void {
    clearInterval(this.pings);
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    for (const { settle } of this.waiting.values()) settle({ ok: false, error: 'dispatch_failed' });
    this.waiting.clear();
    for (const socket of this.sockets) socket.terminate();
  }

  private retryEvent(what: string, payload: Json, retry: number, error: DeliveryError): void {
    const delay = EVENT_RETRIES_MS[retry];
    if (delay === undefined) return;
    const why = { attempt: retry + 1, reason: error === 'operation_timeout' ? 'timeout' : 'http_error' };
    this.later(delay, () => {
      void this.attempt('events_api', what, payload, why).then((result) => {
        if (!result.ok) this.retryEvent(what, payload, retry + 1, result.error);
      });
    });
  }

  private async attempt(type: EnvelopeType, what: string, payload: Json, retry: Retry | undefined): Promise<Delivered> {
    const record: AckRecord = { type, what, sentAt: new Date(), ackMs: undefined, inTime: false };
    this.acks.push(record);
    if (this.acks.length > ACKS_KEPT) this.acks.shift();
    if (this.cutOff) return { ok: false, error: 'dispatch_failed' };
    return this.http === undefined
      ? this.bySocket(type, payload, retry, record)
      : this.byPost(this.http, type, payload, retry, record);
  }

  private bySocket(type: EnvelopeType, payload: Json, retry: Retry | undefined, record: AckRecord): Promise<Delivered> {
    const open = [...this.sockets].filter((socket) => socket.readyState === socket.OPEN);
    const socket = open[open.length < 2 ? 0 : randomInt(open.length)];
    if (socket === undefined) return Promise.resolve({ ok: false, error: 'dispatch_failed' });
    const envelopeId = randomUUID();
    return new Promise((settle) => {
      this.waiting.set(envelopeId, { record, started: performance.now(), settle });
      send(socket, {
        envelope_id: envelopeId,
        type,
        payload,
        accepts_response_payload: type !== 'events_api',
        ...(retry === undefined ? {} : { retry_attempt: retry.attempt, retry_reason: retry.reason }),
      });
      this.later(ACK_MS, () => settle({ ok: false, error: 'operation_timeout' }));
      // A late acknowledgement is still measured, so that a test can see how late it was.
      this.later(10 * ACK_MS, () => this.waiting.delete(envelopeId));
    });
  }

  private onMessage(text: string): void {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (!isJson(message) || typeof message['envelope_id'] !== 'string') return;
    const waiting = this.waiting.get(message['envelope_id']);
    if (waiting === undefined) return;
    this.waiting.delete(message['envelope_id']);
    const ackMs = performance.now() - waiting.started;
    note(waiting.record, ackMs);
    if (ackMs <= ACK_MS) {
      waiting.settle({ ok: true, ackMs, answer: isJson(message['payload']) ? message['payload'] : {} });
    }
  }

  private async byPost(
    target: HttpTarget,
    type: EnvelopeType,
    payload: Json,
    retry: Retry | undefined,
    record: AckRecord,
  ): Promise<Delivered> {
    const started = performance.now();
    const { body, contentType } = encode(type, payload);
    try {
      const response = await fetch(target.requestUrl, {
        method: 'POST',
        body,
        headers: { 'content-type': contentType, ...retryHeaders(retry), ...signature(target.signingSecret, body) },
        signal: AbortSignal.timeout(ACK_MS),
      });
      const text = await response.text();
      const ackMs = performance.now() - started;
      if (response.status >= 500) return { ok: false, error: 'http_service_error' };
      if (response.status !== 200) return { ok: false, error: 'http_client_error' };
      note(record, ackMs);
      return { ok: true, ackMs, answer: parseAnswer(text) };
    } catch (error) {
      const timedOut = error instanceof Error && error.name === 'TimeoutError';
      return { ok: false, error: timedOut ? 'operation_timeout' : 'dispatch_failed' };
    }
  }

  private later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, ms);
    this.timers.add(timer);
  }
}

function note(record: AckRecord, ackMs: number): void {
  record.ackMs = ackMs;
  record.inTime = ackMs <= ACK_MS;
}

function send(socket: WebSocket, message: Json): void {
  socket.send(JSON.stringify(message));
}

/** Commands are form fields, interactions one form field `payload`, events JSON. */
function encode(type: EnvelopeType, payload: Json): { body: string; contentType: string } {
  if (type === 'events_api') return { body: JSON.stringify(payload), contentType: 'application/json' };
  const fields =
    type === 'interactive'
      ? { payload: JSON.stringify(payload) }
      : Object.fromEntries(Object.entries(payload).map(([name, value]) => [name, String(value)]));
  return { body: new URLSearchParams(fields).toString(), contentType: 'application/x-www-form-urlencoded' };
}

/** Slack's v0 signature over time and body. */
function signature(secret: string, body: string): Record<string, string> {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const hash = createHmac('sha256', secret).update(`v0:${timestamp}:${body}`).digest('hex');
  return { 'x-slack-request-timestamp': timestamp, 'x-slack-signature': `v0=${hash}` };
}

function retryHeaders(retry: Retry | undefined): Record<string, string> {
  if (retry === undefined) return {};
  return { 'x-slack-retry-num': String(retry.attempt), 'x-slack-retry-reason': retry.reason };
}

/** The body of an HTTP acknowledgement: JSON, or plain text that is shown as it is. */
function parseAnswer(text: string): Json {
  if (text.trim() === '') return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return isJson(parsed) ? parsed : {};
  } catch {
    return { text };
  }
}
