/** Owns the local Slack workspace as a whole: starts it, serves it, and gives tests a hand on it. */
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { AppCommand, Core, ResponseTarget, Tokens, Trigger } from './core.ts';
import { Delivery, type AckRecord, type DisconnectReason } from './delivery.ts';
import { isFromPage, multipart, parseObject, readBody, readCall, sendJson, sendText } from './http.ts';
import { PageServer } from './page-server.ts';
import {
  act,
  closeView,
  openHome,
  runCommand,
  sendMessage,
  SLACKBOT,
  submitView,
  suggest,
  type Outcome,
  type Submitted,
} from './people.ts';
import { RateLimits } from './rate-limits.ts';
import { respond } from './responses.ts';
import { ShortLived } from './short-lived.ts';
import {
  APP_ID,
  botIdOf,
  State,
  TEAM_ID,
  type Channel,
  type Json,
  type Message,
  type Saved,
  type User,
  type UserGroup,
} from './state.ts';
import { callMethod } from './web-api.ts';
import { Views, type OpenView, type Values } from './views.ts';

export interface ChannelOption {
  readonly id: string;
  readonly name: string;
  readonly topic?: string;
  readonly purpose?: string;
  readonly kind?: 'public' | 'private';
  /** Default: everybody and the bot. */
  readonly members?: readonly string[];
}

export interface WorkspaceOptions {
  /** Default `Local workspace`. */
  readonly name?: string;
  readonly users?: readonly User[];
  readonly groups?: readonly UserGroup[];
  readonly channels?: readonly ChannelOption[];
  readonly bot?: User;
  readonly commands?: readonly AppCommand[];
  /** Scopes of the bot token; calls that need another are refused. Default: all. */
  readonly scopes?: readonly string[];
  /** Bot events the app gets. Default: app_home_opened, app_mention, message.im. */
  readonly events?: readonly string[];
  readonly tokens?: Partial<Tokens>;
  /** Default `socket`. With `http`, `requestUrl` says where commands, interactions and events are POSTed. */
  readonly mode?: 'socket' | 'http';
  readonly requestUrl?: string;
  /** Port on 127.0.0.1; 0, the default, takes a free one. */
  readonly port?: number;
  /** Listens there as well; an old socket file is replaced. */
  readonly socketPath?: string;
  /** The address people use, if not the port's own: permalinks lead there. A function when it is known only later. */
  readonly publicUrl?: string | (() => string);
  /** Take `plan`, `task_card` and `card` blocks. Default false, as in an older workspace. */
  readonly newestBlocks?: boolean;
  /** Three things to try, shown while a channel is empty. May hold `code`. */
  readonly tips?: readonly string[];
  /** Channels and messages are loaded from this JSON file, and saved to it by `close`. */
  readonly file?: string;
}

/** `refused`: nothing listens any more. `unavailable`: the API answers 503 and sockets are dropped; the page stays. */
export type OutageKind = 'refused' | 'unavailable';

export interface CommandResult {
  readonly ok: boolean;
  /** From sending the command to its acknowledgement; undefined when none came in time. */
  readonly ackMs: number | undefined;
  /** What the person is told went wrong. */
  readonly error: string | undefined;
  /** What only they saw until the acknowledgement was worked in; later ones come by `waitForMessage`. */
  readonly ephemeral: readonly Message[];
}

export interface Workspace {
  /** The page: `http://127.0.0.1:PORT`, or the public address. */
  readonly url: string;
  /** `http://127.0.0.1:PORT/api/`: what `clientOptions.slackApiUrl` wants. */
  readonly apiUrl: string;
  readonly tokens: Tokens;
  readonly ids: {
    readonly team: string;
    readonly app: string;
    readonly bot: string;
    readonly botId: string;
    /** By name: `channels['etcd-backups']`. */
    readonly channels: Readonly<Record<string, string>>;
    /** By handle: `users['ada']`. */
    readonly users: Readonly<Record<string, string>>;
    /** By handle: `groups['etcd-admins']`. */
    readonly groups: Readonly<Record<string, string>>;
  };
  /** Every delivery to the app, oldest first. */
  readonly acks: readonly AckRecord[];
  /** Open Socket Mode connections. */
  connections(): number;
  /** Resolves when so many are open; rejects after `timeoutMs`. */
  waitForConnections(count: number, timeoutMs?: number): Promise<void>;
  /** Messages of a channel (id or name), oldest first, ephemeral ones included. */
  messages(channel: string): readonly Message[];
  /** The first message, old or new, that fits; rejects after `timeoutMs` (default 5,000) and says what is there. */
  waitForMessage(channel: string, fits: (message: Message) => boolean, timeoutMs?: number): Promise<Message>;
  /** People's acts. `user` is an id or handle, `channel` an id or name. */
  runCommand(user: string, channel: string, text: string): Promise<CommandResult>;
  say(user: string, channel: string, text: string, threadTs?: string): Message;
  click(
    user: string,
    message: { readonly channel: string; readonly ts: string },
    actionId: string,
    choice?: Json,
  ): Promise<Outcome>;
  clickInView(user: string, viewId: string, actionId: string, choice?: Json, values?: Values): Promise<Outcome>;
  clickInHome(user: string, actionId: string, choice?: Json): Promise<Outcome>;
  /** Types into an external select of a modal; the options that the app offers. */
  suggest(
    user: string,
    viewId: string,
    element: { readonly blockId: string; readonly actionId: string },
    query: string,
  ): ReturnType<typeof suggest>;
  /** Modals that a person has open, bottom first. */
  views(user: string): readonly OpenView[];
  submit(user: string, viewId: string, values?: Values): Promise<Submitted>;
  closeView(user: string, viewId: string): void;
  openHome(user: string): void;
  /** The Home tab as last published. */
  home(user: string): Json | undefined;
  /** Slack away, until `ms` passed or `end` is called. */
  outage(kind: OutageKind, ms?: number): Promise<{ readonly end: () => Promise<void> }>;
  /** Every API call is answered 429 for so long. */
  rateLimit(seconds: number): void;
  disconnectSockets(reason: DisconnectReason, closeAfterMs?: number): void;
  close(): Promise<void>;
}

const DEFAULT_USERS: readonly User[] = [
  { id: 'U0ADA00001', name: 'ada', realName: 'Ada Lovelace', title: 'Platform engineer', isAdmin: true },
  { id: 'U0GRACE002', name: 'grace', realName: 'Grace Hopper', title: 'Platform engineer' },
  { id: 'U0LINUS003', name: 'linus', realName: 'Linus Berg', title: 'Team lead' },
  { id: 'U0NOOR0004', name: 'noor', realName: 'Noor Haddad', title: 'Application developer' },
];
const DEFAULT_GROUPS: readonly UserGroup[] = [
  { id: 'S0ADMINS01', handle: 'etcd-admins', name: 'etcd admins', users: ['U0ADA00001', 'U0GRACE002', 'U0LINUS003'] },
  { id: 'S0ONCALL02', handle: 'oncall', name: 'On call', users: ['U0GRACE002'] },
];
const DEFAULT_CHANNELS: readonly ChannelOption[] = [
  { id: 'C0BACKUPS1', name: 'etcd-backups', topic: 'What was backed up, and how it went' },
  { id: 'C0ALERTS02', name: 'etcd-alerts', topic: 'What needs somebody now' },
  { id: 'C0GENERAL3', name: 'general', topic: 'Everything else' },
];
const DEFAULT_BOT: User = { id: 'U0KEYTURN5', name: 'keyturn', realName: 'Keyturn', isBot: true };
const DEFAULT_TOKENS: Tokens = {
  bot: 'xoxb-local-keyturn-0000000000',
  app: 'xapp-1-local-keyturn-0000000000',
  signingSecret: 'local-signing-secret-0000000000',
};
const DEFAULT_COMMANDS: readonly AppCommand[] = [
  {
    command: '/etcd',
    description: 'Back up etcd and see what there is',
    usageHint: 'help | clusters | status CLUSTER | backup CLUSTER | snapshots CLUSTER',
  },
];

/** Starts the workspace; rejects when the port or socket can't be had. */
export async function startWorkspace(options: WorkspaceOptions = {}): Promise<Workspace> {
  const state = new State(
    options.bot ?? DEFAULT_BOT,
    [...(options.users ?? DEFAULT_USERS), SLACKBOT],
    options.groups ?? DEFAULT_GROUPS,
  );
  addChannels(state, options.channels ?? DEFAULT_CHANNELS);
  if (options.file !== undefined && existsSync(options.file)) {
    state.load(JSON.parse(await readFile(options.file, 'utf8')) as Saved);
  }
  let baseUrl = '';
  const { publicUrl = () => baseUrl } = options;
  const core = buildCore(options, state, {
    baseUrl: () => baseUrl,
    publicUrl: typeof publicUrl === 'string' ? () => publicUrl : publicUrl,
  });
  const door = new Door(core);
  const port = await door.listen(options.port ?? 0, options.socketPath);
  baseUrl = `http://127.0.0.1:${port}`;
  return {
    ...controls(core, door, options.file),
    apiUrl: `${baseUrl}/api/`,
    get url() {
      return core.publicUrl();
    },
  };
}

function addChannels(state: State, channels: readonly ChannelOption[]): void {
  const everybody = [...state.users.values()].filter(({ id }) => id !== SLACKBOT.id).map(({ id }) => id);
  for (const { members = everybody, kind = 'public', ...rest } of channels)
    state.addChannel({ ...rest, kind, members });
}

function buildCore(options: WorkspaceOptions, state: State, urls: Pick<Core, 'baseUrl' | 'publicUrl'>): Core {
  const tokens = { ...DEFAULT_TOKENS, ...options.tokens };
  const mode = options.mode ?? 'socket';
  if (mode === 'http' && options.requestUrl === undefined) throw new Error('mode http needs a requestUrl');
  const { requestUrl = '' } = options;
  return {
    name: options.name ?? 'Local workspace',
    state,
    mode,
    tokens,
    ...urls,
    delivery: new Delivery(mode === 'http' ? { requestUrl, signingSecret: tokens.signingSecret } : undefined),
    views: new Views(),
    rates: new RateLimits(),
    rules: { newestBlocks: options.newestBlocks ?? false },
    commands: options.commands ?? DEFAULT_COMMANDS,
    scopes: options.scopes,
    events: options.events ?? ['app_home_opened', 'app_mention', 'message.im'],
    tips: options.tips ?? [],
    triggers: new ShortLived<Trigger>({ ms: 3_000, uses: 1 }),
    tickets: new ShortLived<true>({ ms: 30_000, uses: 1 }),
    responseUrls: new ShortLived<ResponseTarget>({ ms: 30 * 60_000, uses: 5 }),
    files: new Map(),
  };
}

/** The servers and their routes; can be shut and opened again on the same port. */
class Door {
  readonly page: PageServer;
  unavailable = false;
  private readonly core: Core;
  private readonly webSockets = new WebSocketServer({ noServer: true });
  private servers: Server[] = [];
  private port = 0;
  private socketPath: string | undefined;

  constructor(core: Core) {
    this.core = core;
    this.page = new PageServer(core);
  }

  async listen(port: number, socketPath: string | undefined): Promise<number> {
    this.socketPath = socketPath;
    const tcp = this.newServer();
    await opened(tcp, { host: '127.0.0.1', port });
    this.port = (tcp.address() as AddressInfo).port;
    if (socketPath !== undefined) {
      await rm(socketPath, { force: true });
      await opened(this.newServer(), { path: socketPath });
    }
    return this.port;
  }

  async reopen(): Promise<void> {
    if (this.servers.length === 0) await this.listen(this.port, this.socketPath);
  }

  async shut(): Promise<void> {
    const servers = this.servers;
    this.servers = [];
    for (const client of this.webSockets.clients) client.terminate();
    await Promise.all(servers.map(shutServer));
  }

  private newServer(): Server {
    const server = createServer((request, response) => {
      this.handle(request, response).catch((error: unknown) => {
        if (!response.headersSent) sendText(response, 500, `internal error: ${String(error)}`);
        else response.destroy();
      });
    });
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.upgrade(request, socket, head),
    );
    this.servers.push(server);
    return server;
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const [, area = '', id = ''] = url.pathname.split('/');
    if (['api', 'response', 'upload'].includes(area)) return this.handleApp(request, response, url, area, id);
    if (area === 'files') {
      this.sendFile(response, id);
      return;
    }
    if (!isFromPage(request)) {
      sendText(response, 403, 'only the page itself may ask this');
      return;
    }
    if (!(await this.page.handle(request, response, url))) sendText(response, 404, 'not found');
  }

  private async handleApp(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    area: string,
    id: string,
  ): Promise<void> {
    if (this.unavailable) {
      sendText(response, 503, 'service unavailable');
      return;
    }
    if (area === 'upload') return this.takeUpload(request, response, id);
    if (area === 'response') {
      const answered = respond(this.core, id, parseObject((await readBody(request)).toString('utf8')));
      sendText(response, answered.status, answered.body);
      return;
    }
    const { args, token } = await readCall(request, url);
    const answered = callMethod(this.core, id, token, args);
    sendJson(response, answered.status, answered.body, answered.headers);
  }

  /** The bytes of a file, raw or as a form; they must be as many as were announced. */
  private async takeUpload(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const file = this.core.files.get(id);
    const body = await readBody(request);
    if (file === undefined) {
      sendText(response, 404, 'no such upload');
      return;
    }
    const content = await fileContent(body, request.headers['content-type'] ?? '');
    if (content.length !== file.length) {
      sendText(response, 400, 'not as long as announced');
      return;
    }
    file.content = content;
    sendText(response, 200, `OK - ${content.length}`);
  }

  /** Always as a download: a file could hold markup. */
  private sendFile(response: ServerResponse, id: string): void {
    const file = this.core.files.get(id);
    if (file?.content === undefined) {
      sendText(response, 404, 'not found');
      return;
    }
    sendText(response, 200, file.content, {
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`,
      'x-content-type-options': 'nosniff',
    });
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const take = this.upgradeHandler(request, url);
    if (typeof take === 'string') {
      socket.end(`HTTP/1.1 ${take}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.webSockets.handleUpgrade(request, socket, head, take);
  }

  /** What to do with a web socket; a status line when it is refused. */
  private upgradeHandler(request: IncomingMessage, url: URL): ((socket: WebSocket) => void) | string {
    const { core } = this;
    if (url.pathname === '/page/live') {
      if (!isFromPage(request)) return '403 Forbidden';
      const [user, client] = [url.searchParams.get('as') ?? '', url.searchParams.get('client') ?? ''];
      return (socket) => this.page.accept(socket, user, client);
    }
    if (url.pathname !== '/link') return '404 Not Found';
    if (this.unavailable) return '503 Service Unavailable';
    if (!core.tickets.use(url.searchParams.get('ticket') ?? '').ok) return '401 Unauthorized';
    return (socket) => core.delivery.accept(socket);
  }
}

async function fileContent(body: Buffer, type: string): Promise<Buffer> {
  if (!type.startsWith('multipart/form-data')) return body;
  for (const [, value] of await multipart(body, type)) {
    if (typeof value !== 'string') return Buffer.from(await value.arrayBuffer());
  }
  return Buffer.alloc(0);
}

function opened(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function shutServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function controls(core: Core, door: Door, file: string | undefined): Omit<Workspace, 'url' | 'apiUrl'> {
  const { state, delivery, views } = core;
  const userId = (user: string): string => {
    const found = state.users.get(user) ?? [...state.users.values()].find(({ name }) => name === user);
    if (found === undefined) throw new Error(`no user ${user} in this workspace`);
    return found.id;
  };
  const channelOf = (channel: string): Channel => {
    const found = state.findChannel(channel);
    if (found === undefined) throw new Error(`no channel ${channel} in this workspace`);
    return found;
  };
  const actor = (user: string): { user: string } => ({ user: userId(user) });
  return {
    tokens: core.tokens,
    ids: {
      team: TEAM_ID,
      app: APP_ID,
      bot: state.bot.id,
      botId: botIdOf(state.bot),
      channels: byName([...state.channels.values()], ({ name }) => name),
      users: byName([...state.users.values()], ({ name }) => name),
      groups: byName([...state.groups.values()], ({ handle }) => handle),
    },
    acks: delivery.acks,
    connections: () => delivery.connections,
    waitForConnections: (count, timeoutMs = 10_000) =>
      until(
        () => delivery.connections >= count,
        timeoutMs,
        () => `${count} connections, have ${delivery.connections}`,
      ),
    messages: (channel) => channelOf(channel).messages,
    waitForMessage: (channel, fits, timeoutMs = 5_000) => waitForMessage(state, channelOf(channel), fits, timeoutMs),
    runCommand: async (user, channel, text) => {
      const where = channelOf(channel);
      const seen = collectEphemeral(state, where, userId(user));
      const result = await runCommand(core, actor(user), where, text);
      return {
        ok: result.ok,
        ackMs: result.ok ? result.ackMs : undefined,
        error: result.ok ? undefined : result.error,
        ephemeral: seen.stop(),
      };
    },
    say: (user, channel, text, threadTs) => sendMessage(core, actor(user), channelOf(channel), text, threadTs),
    click: (user, { channel, ts }, actionId, choice) =>
      act(core, actor(user), { channel: channelOf(channel).id, ts }, { actionId }, choice),
    clickInView: (user, viewId, actionId, choice, values) =>
      act(core, actor(user), { viewId }, { actionId }, choice, values),
    clickInHome: (user, actionId, choice) => act(core, actor(user), { home: true }, { actionId }, choice),
    suggest: (user, viewId, element, query) => suggest(core, actor(user), { viewId }, element, query),
    views: (user) => views.stack(userId(user)),
    submit: (user, viewId, values = {}) => submitView(core, actor(user), viewId, values),
    closeView: (user, viewId) => closeView(core, actor(user), viewId, false),
    openHome: (user) => openHome(core, actor(user), 'home'),
    home: (user) => state.homes.get(userId(user))?.view,
    outage: (kind, ms) => outage(core, door, kind, ms),
    rateLimit: (seconds) => core.rates.blockAll(seconds * 1000),
    disconnectSockets: (reason, closeAfterMs) => delivery.disconnect(reason, closeAfterMs),
    close: async () => {
      delivery.close();
      door.page.close();
      await door.shut();
      if (file !== undefined) await writeFile(file, JSON.stringify(state.save()));
    },
  };
}

function byName<T extends { readonly id: string }>(
  items: readonly T[],
  name: (item: T) => string,
): Record<string, string> {
  return Object.fromEntries(items.map((item) => [name(item), item.id]));
}

async function outage(
  core: Core,
  door: Door,
  kind: OutageKind,
  ms: number | undefined,
): Promise<{ readonly end: () => Promise<void> }> {
  core.delivery.setCutOff(true);
  if (kind === 'refused') await door.shut();
  else door.unavailable = true;
  const end = async (): Promise<void> => {
    clearTimeout(timer);
    door.unavailable = false;
    core.delivery.setCutOff(false);
    await door.reopen();
  };
  const timer = ms === undefined ? undefined : setTimeout(() => void end(), ms);
  return { end };
}

function collectEphemeral(state: State, channel: Channel, user: string): { stop(): Message[] } {
  const seen: Message[] = [];
  const stop = state.onChange((change) => {
    if (change.type !== 'message' || change.channel !== channel) return;
    if (change.action === 'posted' && change.message.ephemeralFor === user) seen.push(change.message);
  });
  return {
    stop: () => {
      stop();
      return seen;
    },
  };
}

async function waitForMessage(
  state: State,
  channel: Channel,
  fits: (message: Message) => boolean,
  timeoutMs: number,
): Promise<Message> {
  let found = channel.messages.find(fits);
  const stop = state.onChange((change) => {
    if (
      change.type === 'message' &&
      change.action !== 'removed' &&
      change.channel === channel &&
      fits(change.message)
    ) {
      found ??= change.message;
    }
  });
  try {
    await until(
      () => found !== undefined,
      timeoutMs,
      () => {
        const texts = channel.messages.slice(-10).map(({ text }) => `  ${text}`);
        return `such a message in #${channel.name}; the last ones are\n${texts.join('\n')}`;
      },
    );
  } finally {
    stop();
  }
  return found as Message;
}

/** Looks every 10 ms. */
async function until(holds: () => boolean, timeoutMs: number, what: () => string): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export type {
  AckRecord,
  AppCommand,
  Channel,
  DisconnectReason,
  Json,
  Message,
  OpenView,
  Tokens,
  User,
  UserGroup,
  Values,
};
