/** Owns what the workspace knows: people, groups, channels, messages; and tells listeners of every change. */
import { randomInt } from 'node:crypto';

export type Json = Record<string, unknown>;

export interface User {
  readonly id: string;
  /** The handle, without the at sign. */
  readonly name: string;
  readonly realName: string;
  readonly title?: string;
  readonly isBot?: boolean;
  readonly isAdmin?: boolean;
  /** A guest (`is_restricted`) or a deactivated person (`deleted`), for tests of who may review. */
  readonly guest?: boolean;
  readonly deactivated?: boolean;
}

export interface UserGroup {
  readonly id: string;
  readonly handle: string;
  readonly name: string;
  readonly users: readonly string[];
}

export interface Message {
  readonly ts: string;
  readonly user: string;
  /** Posted by the app. */
  readonly fromApp: boolean;
  text: string;
  blocks?: Json[] | undefined;
  attachments?: Json[] | undefined;
  metadata?: Json | undefined;
  readonly threadTs?: string | undefined;
  readonly broadcast?: boolean | undefined;
  /** Only this person sees it. */
  readonly ephemeralFor?: string | undefined;
  edited?: { readonly user: string; readonly ts: string } | undefined;
  readonly files?: readonly SlackFile[] | undefined;
  readonly reactions: { name: string; users: string[] }[];
  pinned?: boolean | undefined;
}

export interface SlackFile {
  readonly id: string;
  readonly name: string;
  readonly title: string;
  readonly size: number;
  readonly mimetype: string;
}

export interface Bookmark {
  readonly id: string;
  readonly title: string;
  readonly link: string;
  readonly emoji?: string | undefined;
}

export interface Channel {
  readonly id: string;
  readonly name: string;
  readonly kind: 'public' | 'private' | 'im';
  readonly creator: string;
  readonly created: number;
  readonly members: string[];
  topic: string;
  purpose: string;
  archived: boolean;
  /** Oldest first, ephemeral ones and replies in threads included. */
  readonly messages: Message[];
  readonly bookmarks: Bookmark[];
}

export type Change =
  | {
      readonly type: 'message';
      readonly action: 'posted' | 'changed' | 'removed';
      readonly channel: Channel;
      readonly message: Message;
    }
  | { readonly type: 'channel'; readonly channel: Channel }
  | { readonly type: 'home'; readonly user: string };

/** Kept of each channel; older messages are forgotten. */
const MESSAGES_KEPT = 2_000;

export interface Saved {
  readonly format: 1;
  readonly channels: readonly Channel[];
}

export class State {
  readonly users = new Map<string, User>();
  readonly groups = new Map<string, UserGroup>();
  readonly channels = new Map<string, Channel>();
  readonly bot: User;
  readonly homes = new Map<string, { readonly id: string; readonly view: Json; hash: string }>();
  private readonly listeners = new Set<(change: Change) => void>();
  private lastTs = 0;

  constructor(bot: User, users: readonly User[], groups: readonly UserGroup[]) {
    this.bot = bot;
    for (const user of [...users, bot]) this.users.set(user.id, user);
    for (const group of groups) this.groups.set(group.id, group);
  }

  /** Calls `listener` on each change; returns how to stop. */
  onChange(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed(change: Change): void {
    for (const listener of this.listeners) listener(change);
  }

  /** A time stamp that no other message has. */
  nextTs(): string {
    this.lastTs = Math.max(Date.now() * 1000 + randomInt(900), this.lastTs + 1);
    return `${Math.floor(this.lastTs / 1e6)}.${String(this.lastTs % 1e6).padStart(6, '0')}`;
  }

  /** By id, by `#name`, or the direct messages with a user by the user's id. */
  findChannel(reference: string): Channel | undefined {
    const byId = this.channels.get(reference);
    if (byId !== undefined) return byId;
    if (this.users.get(reference)?.isBot !== true && this.users.has(reference)) return this.directMessages(reference);
    return this.channelNamed(reference.replace(/^#/, ''));
  }

  channelNamed(name: string): Channel | undefined {
    return [...this.channels.values()].find((channel) => channel.kind !== 'im' && channel.name === name);
  }

  /** The conversation of a person and the app; made when first asked for. */
  directMessages(user: string): Channel {
    const id = `D${user.slice(1)}`;
    return this.channels.get(id) ?? this.addChannel({ id, name: user, kind: 'im', members: [user, this.bot.id] });
  }

  addChannel(wanted: {
    readonly id: string;
    readonly name: string;
    readonly kind: Channel['kind'];
    readonly members: readonly string[];
    readonly topic?: string;
    readonly purpose?: string;
  }): Channel {
    const channel: Channel = {
      ...wanted,
      members: [...wanted.members],
      creator: this.bot.id,
      created: Math.floor(Date.now() / 1000),
      topic: wanted.topic ?? '',
      purpose: wanted.purpose ?? '',
      archived: false,
      messages: [],
      bookmarks: [],
    };
    this.channels.set(channel.id, channel);
    this.changed({ type: 'channel', channel });
    return channel;
  }

  post(channel: Channel, content: Omit<Message, 'ts' | 'reactions'>): Message {
    const message: Message = { ...content, ts: this.nextTs(), reactions: [] };
    channel.messages.push(message);
    if (channel.messages.length > MESSAGES_KEPT) channel.messages.shift();
    this.changed({ type: 'message', action: 'posted', channel, message });
    return message;
  }

  touch(channel: Channel, message: Message): void {
    this.changed({ type: 'message', action: 'changed', channel, message });
  }

  remove(channel: Channel, message: Message): void {
    const index = channel.messages.indexOf(message);
    if (index < 0) return;
    channel.messages.splice(index, 1);
    this.changed({ type: 'message', action: 'removed', channel, message });
  }

  /** What people can find again: ephemeral messages are not among it. */
  findMessage(channel: Channel, ts: string): Message | undefined {
    return channel.messages.find((message) => message.ts === ts && message.ephemeralFor === undefined);
  }

  save(): Saved {
    const channels = [...this.channels.values()].map((channel) => ({
      ...channel,
      messages: channel.messages.filter((message) => message.ephemeralFor === undefined && message.files === undefined),
    }));
    return { format: 1, channels };
  }

  load(saved: Saved): void {
    for (const channel of saved.channels) this.channels.set(channel.id, channel);
  }
}

/** A message as Slack's API shows it. */
export function asApiMessage(state: State, channel: Channel, message: Message, withMetadata: boolean): Json {
  const replies = message.threadTs === undefined ? repliesTo(channel, message.ts) : [];
  const inThread = message.threadTs ?? (replies.length > 0 ? message.ts : undefined);
  return withoutUndefined({
    type: 'message',
    user: message.user,
    ts: message.ts,
    text: message.text,
    ...(message.fromApp
      ? {
          bot_id: botIdOf(state.bot),
          app_id: APP_ID,
          bot_profile: { id: botIdOf(state.bot), name: state.bot.realName },
        }
      : {}),
    team: TEAM_ID,
    blocks: message.blocks,
    attachments: message.attachments,
    files: message.files,
    metadata: withMetadata ? message.metadata : undefined,
    edited: message.edited,
    thread_ts: inThread,
    subtype: message.broadcast === true ? 'thread_broadcast' : undefined,
    pinned_to: message.pinned === true ? [channel.id] : undefined,
    reactions:
      message.reactions.length === 0
        ? undefined
        : message.reactions.map(({ name, users }) => ({ name, users, count: users.length })),
    ...(replies.length === 0
      ? {}
      : {
          reply_count: replies.length,
          reply_users_count: new Set(replies.map((reply) => reply.user)).size,
          reply_users: [...new Set(replies.map((reply) => reply.user))],
          latest_reply: replies.at(-1)?.ts,
        }),
  });
}

export function repliesTo(channel: Channel, ts: string): Message[] {
  return channel.messages.filter((message) => message.threadTs === ts && message.ephemeralFor === undefined);
}

export const TEAM_ID = 'T0LOCAL01';
export const APP_ID = 'A0KEYTURN1';

export function botIdOf(bot: User): string {
  return `B${bot.id.slice(1)}`;
}

export function withoutUndefined(value: Json): Json {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined));
}

/** A field as text; empty when it is none. */
export function textIn(value: Json, name: string): string {
  const found = value[name];
  return typeof found === 'string' ? found : typeof found === 'number' ? String(found) : '';
}

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
