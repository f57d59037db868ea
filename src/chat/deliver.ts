/** Owns the last step of a message: into Slack exactly once, edited where it stands, whatever Slack does meanwhile. */
import type { ChatPostMessageArguments, ChatUpdateArguments, ConversationsHistoryArguments } from '@slack/web-api';
import type { BackupMessage } from '../domain/backup-message.ts';
import type { Clock, Log, MessageRecord, Outbox, SentMessages } from '../ports.ts';
import type { MessageView } from './blocks.ts';
import type { MessageState } from './message-state.ts';
import { refusalOf } from './slack-error.ts';
import type { Refusal } from './slack-error.ts';
import { backupAlertView, backupView } from './views/backup.ts';

/** The part of Slack's Web API that delivery uses; a WebClient fits. It must not retry by itself: a retry may post twice. */
export interface MessageApi {
  readonly chat: {
    postMessage(message: ChatPostMessageArguments): Promise<{ channel?: string; ts?: string }>;
    update(message: ChatUpdateArguments): Promise<{ channel?: string; ts?: string }>;
  };
  readonly conversations: {
    history(query: ConversationsHistoryArguments): Promise<{
      messages?: { ts?: string; metadata?: { event_type?: string; event_payload?: object } }[];
      response_metadata?: { next_cursor?: string };
    }>;
  };
}

export interface DeliveryOptions {
  readonly slack: MessageApi;
  readonly sentMessages: SentMessages;
  readonly channels: { readonly results: string; readonly alerts: string };
  /** User group (or user) that is called when a backup fails. */
  readonly oncall: string | undefined;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

export type DeliveryResult = Awaited<ReturnType<Parameters<Outbox['deliver']>[0]>>;

const METADATA_TYPE = 'keyturn_message';
const UNAUTHORIZED_PAUSE_MS = 60_000;
const MAX_BACKOFF_MS = 30_000;
/** How far back an interrupted post is looked for, in pages of 200 messages. */
const HISTORY_PAGES = 5;

/** The outbox's handler. Never throws for what Slack does; throws what the memory throws. */
export function deliverer(options: DeliveryOptions): Parameters<Outbox['deliver']>[0] {
  let failuresInARow = 0;
  return async (key, stillOurs) => {
    try {
      await deliver(options, key, stillOurs);
      failuresInARow = 0;
      return 'delivered';
    } catch (error) {
      if (error instanceof TakenOver) return { pauseMs: 0 };
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      failuresInARow += 1;
      return afterRefusal(options.log, key, refusal, failuresInARow);
    }
  };
}

function afterRefusal(log: Log, key: string, refusal: Refusal, failuresInARow: number): DeliveryResult {
  switch (refusal.kind) {
    case 'rate-limited':
      return { pauseMs: refusal.retryAfterMs };
    case 'away': {
      const pauseMs = Math.min(MAX_BACKOFF_MS, 1000 * 2 ** Math.min(failuresInARow - 1, 5));
      log.warn({ key, reason: refusal.reason, pauseMs }, 'Slack is away; the message is kept and tried again');
      return { pauseMs };
    }
    case 'unauthorized':
      log.error({ key, reason: refusal.reason }, "Slack refuses Keyturn's token or scopes: no message gets through");
      return { pauseMs: UNAUTHORIZED_PAUSE_MS };
    case 'no-channel':
    case 'no-message':
    case 'bad-blocks':
    case 'refused':
      log.error({ key, reason: refusal.reason }, 'Slack finally refused a message; it is not delivered');
      return 'delivered';
  }
}

/** This process hung for so long that another may have made the delivery, and told newer things. */
class TakenOver extends Error {}

/** The calls that change something in Slack, only while the delivery is ours. */
function guarded({ chat, conversations }: MessageApi, stillOurs: () => boolean): MessageApi {
  const check = (): void => {
    if (!stillOurs()) throw new TakenOver();
  };
  return {
    chat: {
      postMessage: async (message) => (check(), chat.postMessage(message)),
      update: async (message) => (check(), chat.update(message)),
    },
    conversations,
  };
}

async function deliver(asked: DeliveryOptions, key: string, stillOurs: () => boolean): Promise<void> {
  const options = { ...asked, slack: guarded(asked.slack, stillOurs) };
  const record = await options.sentMessages.read(key);
  if (record === undefined) {
    options.log.warn({ key }, 'A message to deliver is not remembered any more');
    return;
  }
  if (record.sent !== undefined && record.sent.version >= record.version) return;
  const place = record.sent ?? (await findInterrupted(options, record));
  if (place === undefined || !(await edit(options, record, place))) await post(options, record);
}

// ── Posting ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function post(options: DeliveryOptions, record: MessageRecord): Promise<void> {
  if (record.postingSince === undefined) await options.sentMessages.markPosting(record.key, options.clock.now());
  const [preferred, ...others] = channelsFor(options, record.state as MessageState);
  try {
    await postIn(options, record, preferred);
  } catch (error) {
    const other = others[0];
    if (other === undefined || refusalOf(error)?.kind !== 'no-channel') throw error;
    options.log.warn(
      { key: record.key, channel: preferred },
      'The channel takes no messages; the results channel does',
    );
    await postIn(options, record, other);
  }
}

async function postIn(options: DeliveryOptions, record: MessageRecord, channel: string): Promise<void> {
  const posted = await simplerIfRefused((blocks) =>
    options.slack.chat.postMessage({
      channel,
      ...content(options, record, channel, blocks),
      unfurl_links: false,
      unfurl_media: false,
    } as ChatPostMessageArguments),
  );
  // Slack answers with the id of the channel that it posted in; a name in the configuration works only for posting.
  const sent = { channel: posted.channel ?? channel, ts: posted.ts ?? '', version: record.version };
  await options.sentMessages.markSent(record.key, sent);
}

/** Where a message belongs, first choice first. */
function channelsFor(options: DeliveryOptions, state: MessageState): [string, ...string[]] {
  const { results, alerts } = options.channels;
  const first = state.kind === 'backup-alert' ? alerts : (state.origin?.channel ?? results);
  return first === results ? [results] : [first, results];
}

// ── Editing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Place = Pick<NonNullable<MessageRecord['sent']>, 'channel' | 'ts'>;

/** False when the message is not there to be edited any more: then it has to be posted anew. */
async function edit(options: DeliveryOptions, record: MessageRecord, place: Place): Promise<boolean> {
  const { channel, ts } = place;
  try {
    await simplerIfRefused((blocks) =>
      options.slack.chat.update({ channel, ts, ...content(options, record, channel, blocks) } as ChatUpdateArguments),
    );
  } catch (error) {
    const kind = refusalOf(error)?.kind;
    if (kind !== 'no-message' && kind !== 'no-channel') throw error;
    options.log.warn({ key: record.key, channel }, 'A message can no longer be edited; it is posted anew');
    return false;
  }
  await options.sentMessages.markSent(record.key, { channel, ts, version: record.version });
  return true;
}

/** First with blocks; when Slack does not take those, the text alone, which says it all. */
async function simplerIfRefused<T>(call: (blocks: boolean) => Promise<T>): Promise<T> {
  try {
    return await call(true);
  } catch (error) {
    if (refusalOf(error)?.kind !== 'bad-blocks') throw error;
    return call(false);
  }
}

function content(options: DeliveryOptions, record: MessageRecord, channel: string, withBlocks: boolean): object {
  const view = render(options, record.state as MessageState, channel);
  return {
    text: view.text,
    blocks: withBlocks ? view.blocks : [],
    metadata: { event_type: METADATA_TYPE, event_payload: { key: record.key } },
  };
}

function render(options: DeliveryOptions, state: MessageState, channel: string): MessageView {
  switch (state.kind) {
    case 'backup':
      return backupView(state, { movedFrom: movedFrom(state, channel) });
    case 'backup-alert':
      return backupAlertView(state.backup, options.oncall);
  }
}

/** The channel of the one who asked, when the message had to go to the results channel instead. */
function movedFrom({ origin }: BackupMessage, channel: string): string | undefined {
  return origin === undefined || origin.channel === channel ? undefined : origin.channel;
}

// ── After a crash ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The message of a post that began and was never remembered as done; undefined when there was none, or it never arrived. */
async function findInterrupted(options: DeliveryOptions, record: MessageRecord): Promise<Place | undefined> {
  if (record.postingSince === undefined) return undefined;
  // Slack's clock and ours differ a little.
  const oldest = String(Math.floor(Date.parse(record.postingSince) / 1000) - 120);
  for (const channel of channelsFor(options, record.state as MessageState)) {
    const ts = await findInChannel(options, record.key, channel, oldest);
    if (ts !== undefined) return { channel, ts };
  }
  return undefined;
}

async function findInChannel(
  { slack, log }: DeliveryOptions,
  key: string,
  channel: string,
  oldest: string,
): Promise<string | undefined> {
  let cursor: string | undefined;
  try {
    for (let page = 0; page < HISTORY_PAGES; page += 1) {
      const query = { channel, oldest, limit: 200, include_all_metadata: true, ...(cursor ? { cursor } : {}) };
      const { messages = [], response_metadata: next } = await slack.conversations.history(query);
      const found = messages.find((m) => isOurs(m.metadata, key));
      if (found?.ts !== undefined) return found.ts;
      cursor = next?.next_cursor;
      if (cursor === undefined || cursor === '') return undefined;
    }
  } catch (error) {
    const refusal = refusalOf(error);
    if (!cantRead(refusal)) throw error;
    // A channel that we may post in without reading it: rather a message twice than none.
    log.warn({ key, channel, reason: refusal.reason }, 'The channel can not be read to look for an interrupted post');
  }
  return undefined;
}

function cantRead(refusal: Refusal | undefined): refusal is Extract<Refusal, { reason: string }> {
  if (refusal?.kind === 'no-channel' || refusal?.kind === 'refused') return true;
  return refusal?.kind === 'unauthorized' && refusal.reason.startsWith('missing_scope');
}

function isOurs(metadata: { event_type?: string; event_payload?: object } | undefined, key: string): boolean {
  if (metadata?.event_type !== METADATA_TYPE) return false;
  return (metadata.event_payload as { key?: unknown } | undefined)?.key === key;
}
