/** Owns the server's side of the page: its files, what it shows to whom, and what people do with it. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { dirname, join } from 'node:path';
import { nameToEmoji } from 'gemoji';
import type { WebSocket } from 'ws';
import { avatarSvg } from './avatars.ts';
import type { Core } from './core.ts';
import { parseObject, readBody, sendJson, sendText } from './http.ts';
import {
  act,
  closeView,
  openHome,
  runCommand,
  sendMessage,
  SLACKBOT,
  submitView,
  suggest,
  toggleReaction,
  type Actor,
  type Place,
} from './people.ts';
import { isJson, textIn, withoutUndefined, type Change, type Channel, type Json, type Message } from './state.ts';
import type { Values } from './views.ts';

const MESSAGES_SHOWN = 400;
const require = createRequire(import.meta.url);
const packageFile = (name: string, file: string): string =>
  join(dirname(require.resolve(`${name}/package.json`)), file);

/** Libraries of the page, served from their packages: the page works without a network. */
const VENDOR: Readonly<Record<string, string>> = {
  '/vendor/preact.js': packageFile('preact', 'dist/preact.mjs'),
  '/vendor/preact-hooks.js': packageFile('preact', 'hooks/dist/hooks.mjs'),
  '/vendor/htm.js': join(dirname(require.resolve('htm')), 'htm.module.js'),
};
const IMPORT_MAP = JSON.stringify({
  imports: { preact: '/vendor/preact.js', 'preact/hooks': '/vendor/preact-hooks.js', htm: '/vendor/htm.js' },
});
/** Nothing runs in the page but its own files; pictures in messages may come from elsewhere. */
const CONTENT_POLICY = [
  "default-src 'none'",
  `script-src 'self' 'sha256-${createHash('sha256').update(IMPORT_MAP).digest('base64')}'`,
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data: http: https:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/** Slack's own names for signs that GitHub, whose names the package has, calls otherwise. */
const SLACK_EMOJI: Readonly<Record<string, string>> = {
  large_green_circle: '🟢',
  large_yellow_circle: '🟡',
  large_orange_circle: '🟠',
  large_purple_circle: '🟣',
  large_brown_circle: '🟤',
  large_green_square: '🟩',
  large_yellow_square: '🟨',
  large_red_square: '🟥',
  large_blue_circle: '🔵',
  simple_smile: '🙂',
  double_vertical_bar: '⏸️',
  black_square_for_stop: '⏹️',
};

interface Tab {
  readonly socket: WebSocket;
  readonly user: string;
  readonly client: string;
}

export class PageServer {
  private readonly core: Core;
  private readonly tabs = new Set<Tab>();

  constructor(core: Core) {
    this.core = core;
    core.state.onChange((change) => this.onChange(change));
    core.views.onChange(({ user, client }) => {
      for (const tab of this.tabs) {
        if (tab.user === user && (client === undefined || client === tab.client)) this.sendViews(tab);
      }
    });
  }

  /** A tab wants to be told of changes. */
  accept(socket: WebSocket, user: string, client: string): void {
    const tab = { socket, user, client };
    this.tabs.add(tab);
    socket.on('close', () => this.tabs.delete(tab));
    socket.on('error', () => socket.terminate());
  }

  close(): void {
    for (const { socket } of this.tabs) socket.terminate();
  }

  /** Answers the page's own routes; false when the path is none of them. */
  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<boolean> {
    const { pathname } = url;
    if (pathname === '/') return this.sendIndex(response);
    if (pathname.startsWith('/archives/')) return redirectToMessage(response, pathname);
    if (pathname.startsWith('/avatars/')) return this.sendAvatar(response, pathname);
    if (pathname === '/emoji.json') {
      sendJson(response, 200, { ...nameToEmoji, ...SLACK_EMOJI }, { 'cache-control': 'max-age=3600' });
      return true;
    }
    if (pathname === '/page/state') return this.sendState(response, url);
    if (pathname.startsWith('/page/do/') && request.method === 'POST') return this.act(request, response, pathname);
    return sendFile(response, pathname);
  }

  private async sendIndex(response: ServerResponse): Promise<true> {
    const html = await readFile(join(import.meta.dirname, 'page/index.html'), 'utf8');
    sendText(response, 200, html.replace(/(<script type="importmap">)[^<]*/, `$1${IMPORT_MAP}`), {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': CONTENT_POLICY,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    });
    return true;
  }

  private sendAvatar(response: ServerResponse, pathname: string): boolean {
    const user = this.core.state.users.get(pathname.slice('/avatars/'.length).replace(/\.svg$/, ''));
    if (user === undefined) return false;
    const place = user.id === this.core.state.bot.id ? 'app' : [...this.core.state.users.keys()].indexOf(user.id);
    sendText(response, 200, avatarSvg(user, place), {
      'content-type': 'image/svg+xml',
      'cache-control': 'max-age=3600',
    });
    return true;
  }

  private sendState(response: ServerResponse, url: URL): true {
    const { core } = this;
    const user = url.searchParams.get('as') ?? '';
    const client = url.searchParams.get('client') ?? '';
    if (!this.isPerson(user)) {
      const first = [...core.state.users.values()].find((one) => one.isBot !== true);
      sendJson(response, 200, { redirectTo: first?.id ?? '' });
      return true;
    }
    core.state.directMessages(user);
    sendJson(response, 200, {
      workspace: core.name,
      me: user,
      app: { id: core.state.bot.id, name: core.state.bot.realName, commands: core.commands },
      users: [...core.state.users.values()],
      groups: [...core.state.groups.values()],
      channels: [...core.state.channels.values()]
        .filter((channel) => isVisible(channel, user))
        .map((channel) => ({ ...describeChannel(channel), messages: shownMessages(channel, user) })),
      home: core.state.homes.get(user)?.view ?? null,
      views: this.stackOf(user, client),
      tips: core.tips,
    });
    return true;
  }

  private isPerson(id: string): boolean {
    const user = this.core.state.users.get(id);
    return user !== undefined && user.isBot !== true && user.id !== SLACKBOT.id && user.deactivated !== true;
  }

  private stackOf(user: string, client: string): Json[] {
    return this.core.views.stack(user, client).map(({ id, view, hash }) => ({ id, hash, ...view }));
  }

  private sendViews(tab: Tab): void {
    tell(tab, { type: 'views', views: this.stackOf(tab.user, tab.client) });
  }

  private onChange(change: Change): void {
    for (const tab of this.tabs) {
      if (change.type === 'home') {
        if (change.user === tab.user)
          tell(tab, { type: 'home', view: this.core.state.homes.get(tab.user)?.view ?? null });
        continue;
      }
      if (!isVisible(change.channel, tab.user)) continue;
      if (change.type === 'channel') tell(tab, { type: 'channel', channel: describeChannel(change.channel) });
      else if (isFor(change.message, tab.user)) {
        const { action, channel, message } = change;
        tell(tab, { type: 'message', action, channel: channel.id, message });
      }
    }
  }

  private async act(request: IncomingMessage, response: ServerResponse, pathname: string): Promise<true> {
    const body = parseObject((await readBody(request)).toString('utf8'));
    const user = String(body['as']);
    const verb = pathname.slice('/page/do/'.length);
    const run = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
    if (run === undefined || !this.isPerson(user)) {
      sendJson(response, 400, { ok: false, error: 'no such person or action' });
      return true;
    }
    const client = typeof body['client'] === 'string' ? body['client'] : undefined;
    sendJson(response, 200, await run(this.core, { user, client }, body));
    return true;
  }
}

type Verb = (core: Core, actor: Actor, body: Json) => Json | Promise<Json>;

/** What the page can ask for. */
const VERBS: Readonly<Record<string, Verb>> = {
  async say(core, actor, body) {
    const channel = visibleChannel(core, actor, body);
    const text = textIn(body, 'text').trim();
    if (channel === undefined || text === '') return { ok: false, error: 'Nothing to send.' };
    if (channel.archived) return { ok: false, error: 'This channel is archived.' };
    const threadTs = typeof body['threadTs'] === 'string' ? body['threadTs'] : undefined;
    if (text.startsWith('/')) {
      if (threadTs !== undefined) return { ok: false, error: 'Slash commands do not work in threads.' };
      return { ...(await runCommand(core, actor, channel, text)) };
    }
    sendMessage(core, actor, channel, text, threadTs);
    return { ok: true };
  },
  async act(core, actor, body) {
    const element = { blockId: String(body['blockId']), actionId: String(body['actionId']) };
    const choice = isJson(body['choice']) ? body['choice'] : {};
    return { ...(await act(core, actor, placeOf(body), element, choice, valuesOf(body))) };
  },
  async suggest(core, actor, body) {
    const element = { blockId: String(body['blockId']), actionId: String(body['actionId']) };
    return { ...(await suggest(core, actor, placeOf(body), element, textIn(body, 'value'))) };
  },
  async submit(core, actor, body) {
    return { ...(await submitView(core, actor, String(body['viewId']), valuesOf(body))) };
  },
  close(core, actor, body) {
    closeView(core, actor, String(body['viewId']), body['all'] === true);
    return { ok: true };
  },
  home(core, actor, body) {
    openHome(core, actor, body['tab'] === 'messages' ? 'messages' : 'home');
    return { ok: true };
  },
  /** Takes away a private word. */
  dismiss(core, actor, body) {
    const channel = visibleChannel(core, actor, body);
    const message = channel?.messages.find(({ ts }) => ts === body['ts']);
    if (channel !== undefined && message?.ephemeralFor === actor.user) core.state.remove(channel, message);
    return { ok: true };
  },
  react(core, actor, body) {
    const channel = visibleChannel(core, actor, body);
    const message = channel && core.state.findMessage(channel, String(body['ts']));
    if (channel === undefined || message === undefined) return { ok: false, error: 'That message is gone.' };
    toggleReaction(core, actor, channel, message, String(body['name']));
    return { ok: true };
  },
};

function placeOf(body: Json): Place {
  if (typeof body['viewId'] === 'string') return { viewId: body['viewId'] };
  if (body['home'] === true) return { home: true };
  return { channel: String(body['channel']), ts: String(body['ts']) };
}

/** Only objects of objects are let through. */
function valuesOf(body: Json): Values {
  const values: Record<string, Record<string, Json>> = {};
  for (const [blockId, block] of Object.entries(isJson(body['values']) ? body['values'] : {})) {
    if (!isJson(block)) continue;
    const entries = Object.entries(block).filter((entry): entry is [string, Json] => isJson(entry[1]));
    values[blockId] = Object.fromEntries(entries);
  }
  return values;
}

function visibleChannel(core: Core, actor: Actor, body: Json): Channel | undefined {
  const channel = core.state.channels.get(String(body['channel']));
  return channel !== undefined && isVisible(channel, actor.user) ? channel : undefined;
}

function isVisible(channel: Channel, user: string): boolean {
  return channel.kind === 'public' || channel.members.includes(user);
}

function isFor(message: Message, user: string): boolean {
  return message.ephemeralFor === undefined || message.ephemeralFor === user;
}

function shownMessages(channel: Channel, user: string): Message[] {
  return channel.messages.filter((message) => isFor(message, user)).slice(-MESSAGES_SHOWN);
}

function describeChannel(channel: Channel): Json {
  return withoutUndefined({ ...channel, messages: undefined });
}

function tell(tab: Tab, message: Json): void {
  if (tab.socket.readyState === tab.socket.OPEN) tab.socket.send(JSON.stringify(message));
}

/** A permalink, `/archives/C…/p<ts without dot>`, opens the page at the message. */
function redirectToMessage(response: ServerResponse, pathname: string): boolean {
  const found = /^\/archives\/(\w+)\/p(\d{10})(\d{6})$/.exec(pathname);
  if (found === null) return false;
  const [, channel = '', seconds = '', micros = ''] = found;
  response.writeHead(302, { location: `/?channel=${channel}&message=${seconds}.${micros}` });
  response.end();
  return true;
}

async function sendFile(response: ServerResponse, pathname: string): Promise<boolean> {
  const own = /^\/page\/([a-z-]+\.(?:js|css|svg))$/.exec(pathname)?.[1];
  const file = own === undefined ? VENDOR[pathname] : join(import.meta.dirname, 'page', own);
  if (file === undefined) return false;
  const content = await readFile(file).catch(() => undefined);
  if (content === undefined) return false;
  sendText(response, 200, content, {
    'content-type': TYPES[pathname.split('.').at(-1) ?? ''] ?? 'text/plain',
    'cache-control': 'no-cache',
    'x-content-type-options': 'nosniff',
  });
  return true;
}
