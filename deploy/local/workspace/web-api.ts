/** Owns Slack's Web API: which methods there are, what each needs, how often it may be called, what it does. */
import { randomBytes } from 'node:crypto';
import { refuse, SlackRefusal, type Core } from './core.ts';
import { MAX_CONNECTIONS } from './delivery.ts';
import { MESSAGE_TEXT_MAX, UPDATE_TEXT_MAX, validateMessage, validateView } from './limits.ts';
import type { Rate } from './rate-limits.ts';
import { contentOf } from './responses.ts';
import {
  APP_ID,
  asApiMessage,
  botIdOf,
  isJson,
  repliesTo,
  TEAM_ID,
  withoutUndefined,
  type Channel,
  type Json,
  type Message,
  type User,
} from './state.ts';
import { asApiView, blocksOf, newHash, newViewId, withIds, type OpenView } from './views.ts';

/** A call: its arguments as sent, JSON strings parsed where the method wants JSON. */
export interface Call {
  readonly core: Core;
  readonly args: Json;
}

interface Method {
  /** Any of these scopes will do; empty: none is needed. */
  readonly scopes: readonly string[];
  readonly rate: Rate;
  /** Default `bot`: an xoxb- token. */
  readonly token?: 'app' | 'none';
  readonly run: (call: Call) => Json;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Json;
}

/** Answers one call. Never throws for what an app can do wrong. */
export function callMethod(core: Core, name: string, token: string | undefined, args: Json): ApiAnswer {
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  if (method === undefined) return ok({ ok: false, error: 'unknown_method', req_method: name });
  try {
    checkToken(core, method, token);
    checkScopes(core, method);
    const wait = core.rates.take(method.rate, method.rate === 'post' ? `${name} ${channelKey(core, args)}` : name);
    if (wait !== undefined) {
      const headers = { 'retry-after': String(wait) };
      return { status: 429, headers, body: { ok: false, error: 'ratelimited' } };
    }
    return ok({ ok: true, ...method.run({ core, args }) }, core);
  } catch (error) {
    if (error instanceof SlackRefusal) return ok({ ok: false, error: error.code, ...error.extra }, core);
    throw error;
  }
}

function ok(body: Json, core?: Core): ApiAnswer {
  const scopes = core?.scopes;
  return { status: 200, headers: scopes === undefined ? {} : { 'x-oauth-scopes': scopes.join(',') }, body };
}

function checkToken(core: Core, method: Method, token: string | undefined): void {
  if (method.token === 'none') return;
  if (token === undefined || token === '') throw new SlackRefusal('not_authed');
  if (token !== core.tokens.bot && token !== core.tokens.app) throw new SlackRefusal('invalid_auth');
  const wanted = method.token === 'app' ? core.tokens.app : core.tokens.bot;
  if (token !== wanted) throw new SlackRefusal('not_allowed_token_type');
}

function checkScopes(core: Core, method: Method): void {
  if (core.scopes === undefined || method.scopes.length === 0) return;
  if (method.scopes.some((scope) => core.scopes?.includes(scope))) return;
  throw new SlackRefusal('missing_scope', { needed: method.scopes[0], provided: core.scopes.join(',') });
}

/** One channel is one channel, whether it is named by id, name or user. */
function channelKey(core: Core, args: Json): string {
  const reference = optionalText(args, 'channel') ?? '';
  return core.state.findChannel(reference)?.id ?? reference;
}

// ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────

function optionalText(args: Json, name: string): string | undefined {
  const value = args[name];
  if (value === undefined || value === null || value === '') return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function text(args: Json, name: string, error = 'invalid_arguments'): string {
  const value = optionalText(args, name);
  if (value === undefined) throw missing(name, error);
  return value;
}

function missing(name: string, error: string): SlackRefusal {
  return new SlackRefusal(error, {
    response_metadata: { messages: [`[ERROR] missing required field: ${name}`] },
  });
}

function flag(args: Json, name: string): boolean {
  return ['true', '1'].includes(String(args[name]));
}

/** A JSON argument: parsed from a string, or as it is when the whole body was JSON. */
function json(args: Json, name: string, error: string): unknown {
  const value = args[name];
  if (typeof value !== 'string') return value ?? undefined;
  if (value === '') return undefined;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    throw new SlackRefusal(error);
  }
}

function textList(args: Json, name: string): string[] {
  return (optionalText(args, name) ?? '').split(',').filter((item) => item !== '');
}

/** Cuts one page out of a list, as `limit` and `cursor` ask; says where the next one starts. */
function page<T>(args: Json, items: readonly T[]): { items: T[]; next: string } {
  const limit = Math.min(Math.max(Number(optionalText(args, 'limit') ?? '100') || 100, 1), 1000);
  const cursor = optionalText(args, 'cursor');
  const start = cursor === undefined ? 0 : Number(Buffer.from(cursor, 'base64').toString());
  if (!Number.isInteger(start) || start < 0) throw new SlackRefusal('invalid_cursor');
  const end = start + limit;
  return {
    items: items.slice(start, end),
    next: end < items.length ? Buffer.from(String(end)).toString('base64') : '',
  };
}

// ── Looking things up ────────────────────────────────────────────────────────────────────────────────────────────────

function channelOf({ core, args }: Call, name = 'channel'): Channel {
  const channel = core.state.findChannel(text(args, name, 'channel_not_found'));
  if (channel === undefined) throw new SlackRefusal('channel_not_found');
  return channel;
}

/** A channel by id only, as chat.update and its like want it, with the bot in it. */
function ownChannel(call: Call): Channel {
  const channel = call.core.state.channels.get(text(call.args, 'channel', 'channel_not_found'));
  if (channel === undefined) throw new SlackRefusal('channel_not_found');
  requireMember(call.core, channel);
  return channel;
}

function requireMember(core: Core, channel: Channel): void {
  if (channel.members.includes(core.state.bot.id)) return;
  throw new SlackRefusal(channel.kind === 'public' ? 'not_in_channel' : 'channel_not_found');
}

function messageOf({ core, args }: Call, channel: Channel, name: string): Message {
  const message = core.state.findMessage(channel, text(args, name, 'message_not_found'));
  if (message === undefined) throw new SlackRefusal('message_not_found');
  return message;
}

function userOf({ core, args }: Call, name = 'user'): User {
  const user = core.state.users.get(text(args, name, 'user_not_found'));
  if (user === undefined) throw new SlackRefusal('user_not_found');
  return user;
}

function channelJson(core: Core, channel: Channel): Json {
  const bot = core.state.bot.id;
  if (channel.kind === 'im') {
    return { id: channel.id, created: channel.created, is_im: true, is_archived: false, user: channel.members[0] };
  }
  return {
    id: channel.id,
    name: channel.name,
    name_normalized: channel.name,
    is_channel: channel.kind === 'public',
    is_group: channel.kind === 'private',
    is_im: false,
    is_mpim: false,
    is_private: channel.kind === 'private',
    is_archived: channel.archived,
    is_general: channel.name === 'general',
    is_member: channel.members.includes(bot),
    created: channel.created,
    creator: channel.creator,
    topic: { value: channel.topic, creator: bot, last_set: channel.created },
    purpose: { value: channel.purpose, creator: bot, last_set: channel.created },
    num_members: channel.members.length,
  };
}

function userJson(core: Core, user: User): Json {
  const image = `${core.baseUrl()}/avatars/${user.id}.svg`;
  return {
    id: user.id,
    team_id: TEAM_ID,
    name: user.name,
    real_name: user.realName,
    deleted: user.deactivated === true,
    is_bot: user.isBot === true && user.id === core.state.bot.id,
    is_app_user: false,
    is_admin: user.isAdmin === true,
    is_owner: false,
    is_restricted: user.guest === true,
    is_ultra_restricted: false,
    tz: 'Europe/Berlin',
    tz_label: 'Central European Time',
    tz_offset: 3600,
    updated: 0,
    profile: {
      real_name: user.realName,
      real_name_normalized: user.realName,
      display_name: user.name,
      display_name_normalized: user.name,
      title: user.title ?? '',
      team: TEAM_ID,
      image_24: image,
      image_48: image,
      image_72: image,
      image_192: image,
      image_512: image,
      ...(user.id === core.state.bot.id ? { bot_id: botIdOf(user), api_app_id: APP_ID } : {}),
    },
  };
}

// ── chat ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Text, blocks, attachments and metadata of a call, after Slack's checks. */
function checkedContent({ core, args }: Call, textMax: number): ReturnType<typeof contentOf> {
  const body = withoutUndefined({
    text: optionalText(args, 'text') ?? optionalText(args, 'markdown_text'),
    blocks: json(args, 'blocks', 'invalid_blocks_format'),
    attachments: json(args, 'attachments', 'invalid_attachments'),
    metadata: json(args, 'metadata', 'invalid_metadata_format'),
  });
  refuse(validateMessage(body, core.rules, textMax));
  return contentOf(body);
}

function postMessage(call: Call): Json {
  const { core, args } = call;
  const channel = channelOf(call);
  requireMember(core, channel);
  if (channel.archived) throw new SlackRefusal('is_archived');
  const content = checkedContent(call, MESSAGE_TEXT_MAX);
  const broadcast = flag(args, 'reply_broadcast');
  const message = core.state.post(channel, {
    ...content,
    user: core.state.bot.id,
    fromApp: true,
    threadTs: threadOf(call, channel),
    broadcast: broadcast ? true : undefined,
  });
  return { channel: channel.id, ts: message.ts, message: asApiMessage(core.state, channel, message, true) };
}

/** The thread that is replied to: a reply to a reply joins the same thread. */
function threadOf({ core, args }: Call, channel: Channel): string | undefined {
  const ts = optionalText(args, 'thread_ts');
  if (ts === undefined) return undefined;
  const parent = core.state.findMessage(channel, ts);
  if (parent === undefined) throw new SlackRefusal('thread_not_found');
  return parent.threadTs ?? parent.ts;
}

function postEphemeral(call: Call): Json {
  const { core } = call;
  const channel = channelOf(call);
  requireMember(core, channel);
  const user = userOf(call);
  if (!channel.members.includes(user.id)) throw new SlackRefusal('user_not_in_channel');
  const content = checkedContent(call, MESSAGE_TEXT_MAX);
  const threadTs = threadOf(call, channel);
  const message = core.state.post(channel, {
    ...content,
    user: core.state.bot.id,
    fromApp: true,
    ephemeralFor: user.id,
    threadTs,
  });
  return { message_ts: message.ts };
}

/** Blocks are kept only when neither text nor blocks came; text alone replaces them, and only that shows as edited. */
function updateMessage(call: Call): Json {
  const { core, args } = call;
  const channel = ownChannel(call);
  const message = messageOf(call, channel, 'ts');
  if (message.user !== core.state.bot.id) throw new SlackRefusal('cant_update_message');
  const keepsContent = ['text', 'blocks', 'attachments'].every((name) => optionalText(args, name) === undefined);
  if (keepsContent && optionalText(args, 'metadata') === undefined) throw new SlackRefusal('no_text');
  if (!keepsContent) {
    const content = checkedContent(call, UPDATE_TEXT_MAX);
    message.text = content.text;
    if (args['blocks'] !== undefined || args['text'] !== undefined) message.blocks = emptyToUndefined(content.blocks);
    if (args['attachments'] !== undefined) message.attachments = emptyToUndefined(content.attachments);
    if (message.blocks === undefined) message.edited = { user: message.user, ts: core.state.nextTs() };
  }
  const metadata = json(args, 'metadata', 'invalid_metadata_format');
  if (isJson(metadata)) {
    refuse(validateMessage({ text: 'x', metadata }, core.rules));
    message.metadata = Object.keys(metadata).length === 0 ? undefined : metadata;
  }
  core.state.touch(channel, message);
  const shown = asApiMessage(core.state, channel, message, true);
  return { channel: channel.id, ts: message.ts, text: message.text, message: shown };
}

function emptyToUndefined<T>(items: T[] | undefined): T[] | undefined {
  return items?.length === 0 ? undefined : items;
}

function deleteMessage(call: Call): Json {
  const { core } = call;
  const channel = ownChannel(call);
  const message = messageOf(call, channel, 'ts');
  if (message.user !== core.state.bot.id) throw new SlackRefusal('cant_delete_message');
  core.state.remove(channel, message);
  return { channel: channel.id, ts: message.ts };
}

function getPermalink(call: Call): Json {
  const channel = ownChannel(call);
  const message = messageOf(call, channel, 'message_ts');
  return {
    channel: channel.id,
    permalink: `${call.core.publicUrl()}/archives/${channel.id}/p${message.ts.replace('.', '')}`,
  };
}

// ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const TRIGGER_REFUSALS = {
  unknown: 'invalid_trigger_id',
  expired: 'expired_trigger_id',
  used: 'exchanged_trigger_id',
} as const;

function useTrigger({ core, args }: Call): { user: string; client: string | undefined; viewId: string | undefined } {
  const use = core.triggers.use(text(args, 'trigger_id'));
  if (!use.ok) throw new SlackRefusal(TRIGGER_REFUSALS[use.why]);
  return use.value;
}

function viewArgument({ core, args }: Call, type: 'modal' | 'home'): Json {
  const view = json(args, 'view', 'invalid_arguments');
  if (!isJson(view)) throw missing('view', 'invalid_arguments');
  refuse(validateView(view, core.rules));
  if (view['type'] !== type) throw new SlackRefusal('invalid_arguments');
  return { ...view, blocks: withIds(blocksOf(view)) };
}

function refuseTakenExternalId(core: Core, view: Json, except?: OpenView): void {
  const id = view['external_id'];
  if (typeof id !== 'string' || id === '') return;
  const taken = core.views.findExternal(id);
  if (taken !== undefined && taken !== except) throw new SlackRefusal('duplicate_external_id');
}

function openView(call: Call): Json {
  const { core } = call;
  const view = viewArgument(call, 'modal');
  refuseTakenExternalId(core, view);
  const { user, client } = useTrigger(call);
  return { view: asApiView(core.views.open(user, client, view), botIdOf(core.state.bot)) };
}

function pushView(call: Call): Json {
  const { core } = call;
  const view = viewArgument(call, 'modal');
  refuseTakenExternalId(core, view);
  const { viewId } = useTrigger(call);
  const below = viewId === undefined ? undefined : core.views.find(viewId);
  if (below === undefined) throw new SlackRefusal('not_found');
  const pushed = core.views.push(below, view);
  if (pushed === undefined) throw new SlackRefusal('push_limit_reached');
  return { view: asApiView(pushed, botIdOf(core.state.bot)) };
}

function updateView(call: Call): Json {
  const { core, args } = call;
  const view = viewArgument(call, 'modal');
  const [id, externalId] = [optionalText(args, 'view_id'), optionalText(args, 'external_id')];
  if (id === undefined && externalId === undefined) throw missing('view_id', 'invalid_arguments');
  const open = id === undefined ? core.views.findExternal(externalId ?? '') : core.views.find(id);
  if (open === undefined) throw new SlackRefusal('not_found');
  refuseTakenExternalId(core, view, open);
  const hash = optionalText(args, 'hash');
  if (hash !== undefined && hash !== open.hash) throw new SlackRefusal('hash_conflict');
  core.views.update(open, view);
  return { view: asApiView(open, botIdOf(core.state.bot)) };
}

function publishView(call: Call): Json {
  const { core, args } = call;
  const view = viewArgument(call, 'home');
  const user = userOf(call, 'user_id');
  const old = core.state.homes.get(user.id);
  const hash = optionalText(args, 'hash');
  if (hash !== undefined && hash !== old?.hash) throw new SlackRefusal('hash_conflict');
  const home = { id: old?.id ?? newViewId(), view, hash: newHash() };
  core.state.homes.set(user.id, home);
  core.state.changed({ type: 'home', user: user.id });
  return { view: { id: home.id, team_id: TEAM_ID, hash: home.hash, app_id: APP_ID, ...view } };
}

// ── conversations ────────────────────────────────────────────────────────────────────────────────────────────────────

const KINDS: Readonly<Record<string, Channel['kind']>> = {
  public_channel: 'public',
  private_channel: 'private',
  im: 'im',
};

/** Private channels without the bot stay unseen. */
function listConversations({ core, args }: Call): Json {
  const wanted = textList(args, 'types');
  const kinds = (wanted.length === 0 ? ['public_channel'] : wanted).map((type) => KINDS[type]);
  const visible = [...core.state.channels.values()].filter(
    (channel) =>
      kinds.includes(channel.kind) &&
      (channel.kind === 'public' || channel.members.includes(core.state.bot.id)) &&
      !(channel.archived && flag(args, 'exclude_archived')),
  );
  const { items, next } = page(args, visible);
  return {
    channels: items.map((channel) => channelJson(core, channel)),
    response_metadata: { next_cursor: next },
  };
}

function conversationMembers(call: Call): Json {
  const { items, next } = page(call.args, channelOf(call).members);
  return { members: items, response_metadata: { next_cursor: next } };
}

function createConversation({ core, args }: Call): Json {
  const name = text(args, 'name', 'invalid_name_required');
  if (name.length > 80) throw new SlackRefusal('invalid_name_maxlength');
  if (!/^[\p{Ll}\p{Lo}\p{N}_-]+$/u.test(name)) throw new SlackRefusal('invalid_name_specials');
  if (core.state.channelNamed(name) !== undefined) throw new SlackRefusal('name_taken');
  const channel = core.state.addChannel({
    id: `C${randomBytes(5).toString('hex').toUpperCase()}`,
    name,
    kind: flag(args, 'is_private') ? 'private' : 'public',
    members: [core.state.bot.id],
  });
  return { channel: channelJson(core, channel) };
}

function inviteToConversation(call: Call): Json {
  const { core, args } = call;
  const channel = ownChannel(call);
  if (channel.archived) throw new SlackRefusal('is_archived');
  const users = textList(args, 'users');
  if (users.length === 0) throw new SlackRefusal('no_user');
  const problem = users.map((id) => inviteProblem(core, channel, id)).find((error) => error !== undefined);
  if (problem !== undefined) throw new SlackRefusal(problem);
  channel.members.push(...users);
  core.state.changed({ type: 'channel', channel });
  return { channel: channelJson(core, channel) };
}

function inviteProblem(core: Core, channel: Channel, id: string): string | undefined {
  if (!core.state.users.has(id)) return 'user_not_found';
  if (id === core.state.bot.id) return 'cant_invite_self';
  return channel.members.includes(id) ? 'already_in_channel' : undefined;
}

function joinConversation(call: Call): Json {
  const { core } = call;
  const channel = channelOf(call);
  if (channel.kind !== 'public') throw new SlackRefusal('method_not_supported_for_channel_type');
  if (channel.archived) throw new SlackRefusal('is_archived');
  if (!channel.members.includes(core.state.bot.id)) {
    channel.members.push(core.state.bot.id);
    core.state.changed({ type: 'channel', channel });
  }
  return { channel: channelJson(core, channel) };
}

function archiveConversation(call: Call): Json {
  const channel = ownChannel(call);
  if (channel.archived) throw new SlackRefusal('already_archived');
  if (channel.name === 'general') throw new SlackRefusal('cant_archive_general');
  channel.archived = true;
  call.core.state.changed({ type: 'channel', channel });
  return {};
}

function setTopic(call: Call): Json {
  const channel = ownChannel(call);
  const topic = optionalText(call.args, 'topic') ?? '';
  if (topic.length > 250) throw new SlackRefusal('too_long');
  channel.topic = topic;
  call.core.state.changed({ type: 'channel', channel });
  return { channel: channelJson(call.core, channel) };
}

/** Newest first. */
function conversationHistory(call: Call): Json {
  const { core, args } = call;
  const channel = ownChannel(call);
  const shown = channel.messages.filter(
    (message) => message.ephemeralFor === undefined && (message.threadTs === undefined || message.broadcast === true),
  );
  const { items, next } = page(args, between(args, shown).reverse());
  const withMetadata = flag(args, 'include_all_metadata');
  return {
    messages: items.map((message) => asApiMessage(core.state, channel, message, withMetadata)),
    has_more: next !== '',
    pin_count: channel.messages.filter((message) => message.pinned).length,
    response_metadata: { next_cursor: next },
  };
}

/** Oldest first, the parent in front. */
function conversationReplies(call: Call): Json {
  const { core, args } = call;
  const channel = ownChannel(call);
  const parent = core.state.findMessage(channel, text(args, 'ts', 'thread_not_found'));
  if (parent === undefined) throw new SlackRefusal('thread_not_found');
  const { items, next } = page(args, [parent, ...between(args, repliesTo(channel, parent.ts))]);
  const withMetadata = flag(args, 'include_all_metadata');
  return {
    messages: items.map((message) => asApiMessage(core.state, channel, message, withMetadata)),
    has_more: next !== '',
    response_metadata: { next_cursor: next },
  };
}

/** Messages after `oldest` and before `latest`; with `inclusive`, those at the ends too. */
function between(args: Json, messages: readonly Message[]): Message[] {
  const [oldest, latest] = [optionalText(args, 'oldest') ?? '0', optionalText(args, 'latest')];
  const inclusive = flag(args, 'inclusive');
  return messages.filter(({ ts }) => {
    const [at, from, to] = [Number(ts), Number(oldest), latest === undefined ? Infinity : Number(latest)];
    return (at > from && at < to) || (inclusive && (at === from || at === to));
  });
}

function openConversation(call: Call): Json {
  const { core, args } = call;
  const users = textList(args, 'users');
  const [only] = users;
  if (only === undefined) throw new SlackRefusal('users_list_not_supplied');
  if (users.length > 1) throw new SlackRefusal('method_not_supported_for_channel_type');
  const user = core.state.users.get(only);
  if (user === undefined) throw new SlackRefusal('user_not_found');
  if (user.isBot === true) throw new SlackRefusal('cannot_dm_bot');
  return { channel: { id: core.state.directMessages(user.id).id } };
}

// ── people, pins, bookmarks, reactions ───────────────────────────────────────────────────────────────────────────────

function listUsers({ core, args }: Call): Json {
  const { items, next } = page(args, [...core.state.users.values()]);
  return { members: items.map((user) => userJson(core, user)), response_metadata: { next_cursor: next } };
}

function listUserGroups({ core, args }: Call): Json {
  const usergroups = [...core.state.groups.values()].map(({ id, handle, name, users }) => ({
    id,
    team_id: TEAM_ID,
    is_usergroup: true,
    handle,
    name,
    description: '',
    date_delete: 0,
    user_count: users.length,
    ...(flag(args, 'include_users') ? { users } : {}),
  }));
  return { usergroups };
}

function userGroupUsers({ core, args }: Call): Json {
  const group = core.state.groups.get(text(args, 'usergroup'));
  if (group === undefined) throw new SlackRefusal('no_such_subteam');
  return { users: group.users.filter((id) => core.state.users.get(id)?.deactivated !== true) };
}

function addPin(call: Call): Json {
  const channel = ownChannel(call);
  const message = messageOf(call, channel, 'timestamp');
  if (message.pinned === true) throw new SlackRefusal('already_pinned');
  message.pinned = true;
  call.core.state.touch(channel, message);
  return {};
}

function addBookmark(call: Call): Json {
  const { core, args } = call;
  const channel = channelOf(call, 'channel_id');
  requireMember(core, channel);
  if (text(args, 'type') !== 'link') throw new SlackRefusal('invalid_bookmark_type');
  const link = text(args, 'link', 'invalid_link');
  if (!/^https?:\/\//.test(link)) throw new SlackRefusal('invalid_link');
  const id = `Bk${randomBytes(5).toString('hex').toUpperCase()}`;
  const bookmark = { id, title: text(args, 'title'), link, emoji: optionalText(args, 'emoji') };
  channel.bookmarks.push(bookmark);
  core.state.changed({ type: 'channel', channel });
  return { bookmark: { ...bookmark, channel_id: channel.id, type: 'link' } };
}

function addReaction(call: Call): Json {
  const { core, args } = call;
  const channel = ownChannel(call);
  const message = messageOf(call, channel, 'timestamp');
  const name = text(args, 'name', 'invalid_name').replaceAll(':', '');
  if (!/^[\w+-]+$/.test(name)) throw new SlackRefusal('invalid_name');
  const reaction = message.reactions.find((one) => one.name === name);
  if (reaction?.users.includes(core.state.bot.id)) throw new SlackRefusal('already_reacted');
  if (reaction === undefined) message.reactions.push({ name, users: [core.state.bot.id] });
  else reaction.users.push(core.state.bot.id);
  core.state.touch(channel, message);
  return {};
}

// ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function getUploadUrl({ core, args }: Call): Json {
  const length = Number(text(args, 'length'));
  if (!Number.isInteger(length) || length < 1) throw new SlackRefusal('invalid_arguments');
  const id = `F${randomBytes(5).toString('hex').toUpperCase()}`;
  core.files.set(id, { id, name: text(args, 'filename'), length, content: undefined });
  return { upload_url: `${core.baseUrl()}/upload/${id}`, file_id: id };
}

function completeUpload(call: Call): Json {
  const { core, args } = call;
  const wanted = json(args, 'files', 'invalid_arguments');
  if (!Array.isArray(wanted) || wanted.length === 0) throw missing('files', 'invalid_arguments');
  const files = wanted.filter(isJson).map(({ id, title }) => {
    const stored = core.files.get(String(id));
    if (stored?.content === undefined) throw new SlackRefusal('file_not_found');
    const { name, length } = stored;
    return {
      id: stored.id,
      name,
      title: typeof title === 'string' ? title : name,
      size: length,
      mimetype: 'application/octet-stream',
    };
  });
  if (optionalText(args, 'channel_id') !== undefined) {
    const channel = channelOf(call, 'channel_id');
    requireMember(core, channel);
    core.state.post(channel, {
      text: optionalText(args, 'initial_comment') ?? '',
      user: core.state.bot.id,
      fromApp: true,
      files,
      threadTs: threadOf(call, channel),
    });
  }
  return { files };
}

// ── auth, connections ────────────────────────────────────────────────────────────────────────────────────────────────

function testAuth({ core }: Call): Json {
  const { bot } = core.state;
  return {
    url: `${core.publicUrl()}/`,
    team: core.name,
    team_id: TEAM_ID,
    user: bot.name,
    user_id: bot.id,
    bot_id: botIdOf(bot),
    is_enterprise_install: false,
  };
}

function testApi({ args }: Call): Json {
  const error = optionalText(args, 'error');
  if (error !== undefined) throw new SlackRefusal(error, { args });
  return { args };
}

function openConnection({ core }: Call): Json {
  if (core.mode === 'http') throw new SlackRefusal('socket_mode_not_enabled');
  if (core.delivery.connections >= MAX_CONNECTIONS) throw new SlackRefusal('too_many_websockets');
  return { url: `${core.baseUrl().replace(/^http/, 'ws')}/link?ticket=${core.tickets.add(true)}&app_id=${APP_ID}` };
}

// ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────────

const READ = ['channels:read', 'groups:read', 'im:read'];
const HISTORY = ['channels:history', 'groups:history', 'im:history'];
const MANAGE = ['channels:manage', 'groups:write'];

const METHODS: Readonly<Record<string, Method>> = {
  'api.test': { scopes: [], rate: 'tier4', token: 'none', run: testApi },
  'auth.test': { scopes: [], rate: 'special', run: testAuth },
  'apps.connections.open': { scopes: [], rate: 'tier1', token: 'app', run: openConnection },
  'chat.postMessage': { scopes: ['chat:write'], rate: 'post', run: postMessage },
  'chat.postEphemeral': { scopes: ['chat:write'], rate: 'tier4', run: postEphemeral },
  'chat.update': { scopes: ['chat:write'], rate: 'tier3', run: updateMessage },
  'chat.delete': { scopes: ['chat:write'], rate: 'tier3', run: deleteMessage },
  'chat.getPermalink': { scopes: [], rate: 'special', run: getPermalink },
  'views.open': { scopes: [], rate: 'tier4', run: openView },
  'views.push': { scopes: [], rate: 'tier4', run: pushView },
  'views.update': { scopes: [], rate: 'tier4', run: updateView },
  'views.publish': { scopes: [], rate: 'tier4', run: publishView },
  'conversations.list': { scopes: READ, rate: 'tier2', run: listConversations },
  'conversations.info': {
    scopes: READ,
    rate: 'tier3',
    run: (call) => ({ channel: channelJson(call.core, channelOf(call)) }),
  },
  'conversations.members': { scopes: READ, rate: 'tier4', run: conversationMembers },
  'conversations.create': { scopes: MANAGE, rate: 'tier2', run: createConversation },
  'conversations.invite': { scopes: [...MANAGE, 'channels:write.invites'], rate: 'tier3', run: inviteToConversation },
  'conversations.join': { scopes: ['channels:join'], rate: 'tier3', run: joinConversation },
  'conversations.archive': { scopes: MANAGE, rate: 'tier2', run: archiveConversation },
  'conversations.setTopic': { scopes: [...MANAGE, 'channels:write.topic'], rate: 'tier2', run: setTopic },
  'conversations.history': { scopes: HISTORY, rate: 'tier3', run: conversationHistory },
  'conversations.replies': { scopes: HISTORY, rate: 'tier3', run: conversationReplies },
  'conversations.open': { scopes: ['im:write'], rate: 'tier3', run: openConversation },
  'users.info': {
    scopes: ['users:read'],
    rate: 'tier4',
    run: (call) => ({ user: userJson(call.core, userOf(call)) }),
  },
  'users.list': { scopes: ['users:read'], rate: 'tier2', run: listUsers },
  'usergroups.list': { scopes: ['usergroups:read'], rate: 'tier2', run: listUserGroups },
  'usergroups.users.list': { scopes: ['usergroups:read'], rate: 'tier2', run: userGroupUsers },
  'pins.add': { scopes: ['pins:write'], rate: 'tier2', run: addPin },
  'bookmarks.add': { scopes: ['bookmarks:write'], rate: 'tier2', run: addBookmark },
  'reactions.add': { scopes: ['reactions:write'], rate: 'tier3', run: addReaction },
  'files.getUploadURLExternal': { scopes: ['files:write'], rate: 'tier4', run: getUploadUrl },
  'files.completeUploadExternal': { scopes: ['files:write'], rate: 'tier4', run: completeUpload },
};
