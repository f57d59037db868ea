/** Owns the last step of a message: into Slack exactly once, edited where it stands, whatever Slack does meanwhile. */
import type {
  ChatPostMessageArguments,
  ChatUpdateArguments,
  ConversationsHistoryArguments,
  ConversationsRepliesArguments,
} from '@slack/web-api';
import type { Clock, Log, MessageRecord, Outbox, SentMessages } from '../ports.ts';
import { parentOf } from './message-state.ts';
import type { MessageState } from './message-state.ts';
import { refusalOf } from './slack-error.ts';
import type { Refusal } from './slack-error.ts';
import { renderMessage } from './views/message.ts';

/** The part of Slack's Web API that delivery uses; a WebClient fits. It must not retry by itself: a retry may post twice. */
export interface MessageApi {
  readonly chat: {
    postMessage(message: ChatPostMessageArguments): Promise<{ channel?: string; ts?: string }>;
    update(message: ChatUpdateArguments): Promise<{ channel?: string; ts?: string }>;
  };
  readonly conversations: {
    history(query: ConversationsHistoryArguments): Promise<FoundMessages>;
    replies(query: ConversationsRepliesArguments): Promise<FoundMessages>;
    /** The private conversation with a person: a message can be sent to a user's id, but not looked for there. */
    open(query: { users: string }): Promise<{ channel?: { id?: string } }>;
  };
}

interface FoundMessages {
  readonly messages?: { ts?: string; metadata?: { event_type?: string; event_payload?: object } }[];
  readonly response_metadata?: { next_cursor?: string };
}

export interface DeliveryOptions {
  readonly slack: MessageApi;
  readonly sentMessages: SentMessages;
  readonly channels: { readonly results: string; readonly alerts: string };
  /** The slash command, e.g. `/etcd`: messages say what to type next. */
  readonly command: string;
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
  const places = await placesFor(options, record.state as MessageState, stillOurs);
  const found = record.sent ?? (await findInterrupted(options, record, places));
  if (found === undefined || !(await edit(options, record, found))) await post(options, record, places);
}

// ── Posting ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Places = readonly [Place, ...Place[]];

/** Where a message can stand; `thread`: the `ts` of the message that it answers. */
interface Place {
  readonly channel: string;
  readonly thread?: string;
}

async function post(options: DeliveryOptions, record: MessageRecord, places: Places): Promise<void> {
  if (record.postingSince === undefined) await options.sentMessages.markPosting(record.key, options.clock.now());
  for (const [i, place] of places.entries()) {
    try {
      await postIn(options, record, place);
      return;
    } catch (error) {
      if (i === places.length - 1 || refusalOf(error)?.kind !== 'no-channel') throw error;
      options.log.warn({ key: record.key, ...place }, 'A place takes no messages; the next one may');
    }
  }
}

async function postIn(options: DeliveryOptions, record: MessageRecord, { channel, thread }: Place): Promise<void> {
  const posted = await simplerIfRefused((blocks) =>
    options.slack.chat.postMessage({
      channel,
      ...(thread === undefined ? {} : { thread_ts: thread }),
      ...content(options, record, channel, blocks),
      unfurl_links: false,
      unfurl_media: false,
    } as ChatPostMessageArguments),
  );
  // Slack answers with the id of the channel that it posted in; a name in the configuration works only for posting.
  const sent = { channel: posted.channel ?? channel, ts: posted.ts ?? '', version: record.version };
  await options.sentMessages.markSent(record.key, sent);
}

/** Where a message belongs, first choice first; the results channel is better than nowhere. */
async function placesFor(options: DeliveryOptions, state: MessageState, stillOurs: () => boolean): Promise<Places> {
  const { results } = options.channels;
  // What is for one person is no one else's.
  if (state.kind === 'restore-end' && state.to !== undefined) return [{ channel: state.to }];
  const thread = await threadOf(options, state, stillOurs);
  const channels = [...(thread === undefined ? channelsFor(options, state) : [thread.channel]), results];
  const [first = results, ...others] = new Set(channels);
  const places = [{ channel: first }, ...others.map((channel) => ({ channel }))] as const;
  return thread === undefined ? places : [thread, ...places];
}

function channelsFor({ channels }: DeliveryOptions, state: MessageState): readonly string[] {
  switch (state.kind) {
    case 'backup':
    case 'verify':
      return [state.origin?.channel ?? channels.results];
    case 'backup-alert':
    case 'copy-damaged':
    case 'scrub-behind':
    case 'restore-break-glass':
    case 'retention-question':
    case 'retention-trouble':
      return [channels.alerts];
    case 'restore':
      return [visibleTo(state.request?.origin.channel) ?? channels.results];
    case 'restore-end':
    case 'restore-steps':
    case 'restore-cleaned':
    case 'restore-decision':
    case 'enrol-anew':
    case 'hold':
      return [channels.results];
  }
}

/** In a conversation with the bot alone no approver would see it. */
function visibleTo(channel: string | undefined): string | undefined {
  return channel?.startsWith('D') === true ? undefined : channel;
}

/** A message that stands in another's thread comes after it: that one is delivered first, if it was not. */
async function threadOf(
  options: DeliveryOptions,
  state: MessageState,
  stillOurs: () => boolean,
): Promise<Required<Place> | undefined> {
  const key = parentOf(state);
  if (key === undefined) return undefined;
  const known = await options.sentMessages.read(key);
  if (known !== undefined && known.sent === undefined) await deliver(options, key, stillOurs);
  const sent = known?.sent ?? (await options.sentMessages.read(key))?.sent;
  return sent === undefined ? undefined : { channel: sent.channel, thread: sent.ts };
}

// ── Editing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

type Found = Pick<NonNullable<MessageRecord['sent']>, 'channel' | 'ts'>;

/** False when the message is not there to be edited any more: then it has to be posted anew. */
async function edit(options: DeliveryOptions, record: MessageRecord, { channel, ts }: Found): Promise<boolean> {
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
  const view = renderMessage(record.state as MessageState, { ...options, channel });
  return {
    text: view.text,
    blocks: withBlocks ? view.blocks : [],
    metadata: { event_type: METADATA_TYPE, event_payload: { key: record.key } },
  };
}

// ── After a crash ────────────────────────────────────────────────────────────────────────────────────────────────────

/** The message of a post that began and was never remembered as done; undefined when there was none, or it never arrived. */
async function findInterrupted(
  options: DeliveryOptions,
  record: MessageRecord,
  places: Places,
): Promise<Found | undefined> {
  if (record.postingSince === undefined) return undefined;
  // Slack's clock and ours differ a little.
  const oldest = String(Math.floor(Date.parse(record.postingSince) / 1000) - 120);
  for (const place of places) {
    const found = await findIn(options, record.key, place, oldest);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function findIn(
  { slack, log }: DeliveryOptions,
  key: string,
  { channel: asked, thread }: Place,
  oldest: string,
): Promise<Found | undefined> {
  let cursor: string | undefined;
  try {
    const channel = await channelIdOf(slack, asked);
    for (let page = 0; page < HISTORY_PAGES; page += 1) {
      const query = { channel, oldest, limit: 200, include_all_metadata: true, ...(cursor ? { cursor } : {}) };
      const { messages = [], response_metadata: next } =
        thread === undefined
          ? await slack.conversations.history(query)
          : await slack.conversations.replies({ ...query, ts: thread });
      const found = messages.find((m) => isOurs(m.metadata, key));
      if (found?.ts !== undefined) return { channel, ts: found.ts };
      cursor = next?.next_cursor;
      if (cursor === undefined || cursor === '') return undefined;
    }
  } catch (error) {
    const refusal = refusalOf(error);
    if (!cantRead(refusal)) throw error;
    // A channel that we may post in without reading it: rather a message twice than none.
    log.warn(
      { key, channel: asked, reason: refusal.reason },
      'The channel can not be read to look for an interrupted post',
    );
  }
  return undefined;
}

async function channelIdOf(slack: MessageApi, channel: string): Promise<string> {
  if (!/^[UW]/.test(channel)) return channel;
  const { channel: opened } = await slack.conversations.open({ users: channel });
  return opened?.id ?? channel;
}

function cantRead(refusal: Refusal | undefined): refusal is Extract<Refusal, { reason: string }> {
  if (refusal?.kind === 'no-channel' || refusal?.kind === 'refused') return true;
  return refusal?.kind === 'unauthorized' && refusal.reason.startsWith('missing_scope');
}

function isOurs(metadata: { event_type?: string; event_payload?: object } | undefined, key: string): boolean {
  if (metadata?.event_type !== METADATA_TYPE) return false;
  return (metadata.event_payload as { key?: unknown } | undefined)?.key === key;
}
