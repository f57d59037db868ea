/** Owns Bolt: the only file with its runtime. Acks first, always; what is answered is conversation.ts's to say. */
import { randomBytes } from 'node:crypto';
import { App, HTTPReceiver, LogLevel, SocketModeReceiver } from '@slack/bolt';
import type {
  AllMiddlewareArgs,
  BlockAction,
  Receiver,
  RespondFn,
  SlackActionMiddlewareArgs,
  ViewResponseAction,
} from '@slack/bolt';
import { WebClient } from '@slack/web-api';
import type { WebClientOptions } from '@slack/web-api';
import type { Commands } from '../commands/index.ts';
import { KeyturnError } from '../domain/error.ts';
import type { RoleHolders } from '../domain/permission.ts';
import type { Clock, Log, Outbox, SentMessages } from '../ports.ts';
import type { MessageView } from './blocks.ts';
import { keepConnected } from './connections.ts';
import type { Connections } from './connections.ts';
import { conversation } from './conversation.ts';
import type { Conversation } from './conversation.ts';
import { deliverer } from './deliver.ts';
import type { DialogAnswer, SubmissionAnswer } from './form-answer.ts';
import { peopleDirectory } from './people.ts';
import { reply } from './reply.ts';
import type { Respond } from './reply.ts';
import { slackScreen } from './screen.ts';
import type { Screen } from './screen.ts';
import { refusalOf } from './slack-error.ts';
import { FORM_FIELDS } from './views/restore-form.ts';

/** Secrets come as values; nothing here keeps them anywhere else or logs them. */
export interface ChatOptions {
  readonly transport:
    | { readonly mode: 'socket'; readonly appToken: string }
    /** Slack posts to `http://host:port/slack/events`; port 0 takes a free one. */
    | { readonly mode: 'http'; readonly signingSecret: string; readonly port: number };
  readonly botToken: string;
  /** Another Web API than Slack's own, with its path, e.g. `http://127.0.0.1:8080/api/`. */
  readonly apiUrl: string | undefined;
  /** The slash command, e.g. `/etcd`. */
  readonly command: string;
  readonly channels: { readonly results: string; readonly alerts: string };
  /** User group (`S…`) or user that is called when a backup fails. */
  readonly oncall: string | undefined;
  readonly people: RoleHolders;
  readonly commands: Commands;
  readonly sentMessages: SentMessages;
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once when there was no connection to Slack for `deadAfterMs` (default ten minutes): time to start anew. */
  readonly onDead: (reason: string) => void;
  readonly deadAfterMs?: number;
}

export interface Chat {
  /** Open Socket Mode connections; 1 in HTTP mode while it listens. */
  readonly connections: number;
  /** The port of HTTP mode. */
  readonly port: number | undefined;
  /** Takes nothing new, lets running answers and the running delivery end (for some seconds), then disconnects. */
  stop(): Promise<void>;
}

const CONNECT_PATIENCE_MS = 10_000;
const DEAD_AFTER_MS = 10 * 60_000;
const STOP_GRACE_MS = 5000;
/** Some nine seconds in all: who asked still waits for an answer. */
const QUESTION_RETRIES = 5;
const CALL_TIMEOUT_MS = 10_000;

/**
 * Starts listening and delivering. Throws slack.refused when Slack refuses a token; when Slack is only away it comes back
 * all the same, keeps trying, and calls `onDead` in the end.
 */
export async function startChat(options: ChatOptions): Promise<Chat> {
  const { clock, log, outbox } = options;
  await checkToken(options);
  const slack = slackClient(options, QUESTION_RETRIES);
  const screen = slackScreen(slack, slackClient(options, 0), log);
  const talk = conversation({
    ...options,
    screen,
    directory: peopleDirectory({ slack, clock, log }),
    logId: () => randomBytes(4).toString('hex'),
  });
  const running = new RunningWork();
  const link =
    options.transport.mode === 'socket' ? socketLink(options, options.transport.appToken) : httpLink(options);
  listen(options, { receiver: link.receiver, talk, slack, screen, running });
  await link.open();
  const delivery = await outbox.deliver(deliverer({ ...options, slack: slackClient(options, 0) }));
  return {
    get connections() {
      return link.connections();
    },
    get port() {
      return link.port();
    },
    async stop() {
      await Promise.all([delivery.stop(STOP_GRACE_MS), running.finish(clock, STOP_GRACE_MS)]);
      await link.close();
    },
  };
}

/** A client that never waits out a 429 by itself; with 0 retries a call is made once, so nothing is posted twice. */
export function slackClient(options: Pick<ChatOptions, 'botToken' | 'apiUrl' | 'log'>, retries: number): WebClient {
  return new WebClient(options.botToken, clientOptions(options, retries));
}

/** No `headers`: in Socket Mode they would send the wrong token. `logger` and all else are copies: Bolt writes into them. */
function clientOptions(options: Pick<ChatOptions, 'apiUrl' | 'log'>, retries: number): WebClientOptions {
  return {
    retryConfig: { retries, minTimeout: 300, maxTimeout: 4000 },
    timeout: CALL_TIMEOUT_MS,
    rejectRateLimitedCalls: true,
    allowAbsoluteUrls: false,
    logger: boltLogger(options.log),
    // Response URLs are called without a time limit otherwise.
    fetch: (url, init) => fetch(url, { ...init, signal: init?.signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS) }),
    ...(options.apiUrl === undefined ? {} : { slackApiUrl: options.apiUrl }),
  };
}

async function checkToken(options: ChatOptions): Promise<void> {
  try {
    await slackClient(options, 1).auth.test();
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    if (refusal.kind === 'away' || refusal.kind === 'rate-limited') {
      options.log.warn({ err: error }, 'Slack is away; the bot token could not be tested yet');
      return;
    }
    throw new KeyturnError('slack.refused', `Slack refused the bot token: ${refusal.reason}.`, {
      hint: 'Install the app into the workspace and copy its bot token (xoxb-…) anew.',
      cause: error,
    });
  }
}

// ── What Slack tells us ──────────────────────────────────────────────────────────────────────────────────────────────

type BlockActionArgs = SlackActionMiddlewareArgs<BlockAction> & AllMiddlewareArgs;

interface Ears {
  readonly receiver: Receiver;
  readonly talk: Conversation;
  readonly slack: WebClient;
  readonly screen: Screen;
  readonly running: RunningWork;
}

function listen(options: ChatOptions, ears: Ears): void {
  const { receiver, talk, slack, running } = ears;
  const app = new App({
    receiver,
    // Known beforehand, so nothing has to be asked of Slack before the ack.
    authorize: () => Promise.resolve({ botToken: options.botToken }),
    clientOptions: clientOptions(options, 0),
    logger: boltLogger(options.log),
    ignoreSelf: false,
    convoStore: false,
  });
  const answer = (respond: RespondFn, view: MessageView | undefined, replace: boolean): Promise<unknown> | undefined =>
    view && reply(sendBy(respond), view, { ...options, replace, signal: running.signal });
  app.command(options.command, async ({ ack, command, respond }) => {
    await ack();
    const speaker = { user: command.user_id, channel: command.channel_id, trigger: command.trigger_id };
    running.add(talk.command(command.text, speaker).then((view) => answer(respond, view, false)));
  });
  app.action({ type: 'block_actions' }, async ({ ack, body, action, respond }: BlockActionArgs) => {
    await ack();
    const value = action.type === 'button' ? (action.value ?? '') : '';
    const click = { actionId: action.action_id, value, user: body.user.id };
    if (body.view?.type === 'modal') {
      const chosen = action.type === 'external_select' ? (action.selected_option ?? undefined) : undefined;
      const { id, private_metadata: metadata } = body.view;
      running.add(
        talk.clickInDialog({ ...click, chosen, metadata }).then((view) => view && ears.screen.dialog(id).show(view)),
      );
      return;
    }
    const channel = body.channel?.id ?? body.user.id;
    running.add(
      talk
        .click({ ...click, channel, trigger: body.trigger_id })
        .then((answered) => answered && answer(respond, answered.view, answered.replace)),
    );
  });
  listenToForms(app, ears);
  app.event('app_home_opened', async ({ event }) => {
    if (event.tab !== 'home') return;
    running.add(talk.home(event.user).then((view) => slack.views.publish({ user_id: event.user, view })));
  });
  app.error((error) => {
    options.log.error({ err: error }, 'Bolt could not handle what Slack sent');
    return Promise.resolve();
  });
  running.onError = (error) => options.log.warn({ err: error }, 'An answer to Slack failed');
}

/** Here the ack carries the answer: both come within two seconds, and what takes longer is shown later. */
function listenToForms(app: App, { talk, screen, running }: Ears): void {
  app.view({ type: 'view_submission', callback_id: /.*/ }, async ({ ack, body, view }) => {
    const { callback_id: callback, private_metadata: metadata, state } = view;
    const user = body.user.id;
    const answer = await talk.submit({ callback, metadata, user, values: state.values });
    const now = responseOf(answer.now);
    await (now === undefined ? ack() : ack(now));
    if (answer.later !== undefined) running.add(showLater(screen, { id: view.id, user }, answer.later));
  });
  app.options(FORM_FIELDS.snapshot, async ({ ack, body, payload }) => {
    const metadata = body.view?.private_metadata ?? '';
    const options = await talk.search({ query: payload.value, metadata, user: body.user.id });
    await ack({ options });
  });
}

function responseOf(answer: DialogAnswer): ViewResponseAction | undefined {
  if (answer.kind === 'close') return undefined;
  if (answer.kind === 'errors') return { response_action: 'errors', errors: answer.errors };
  return { response_action: 'update', view: answer.view };
}

/** Who has closed the dialog meanwhile is told in private. */
async function showLater(
  screen: Screen,
  { id, user }: { readonly id: string; readonly user: string },
  later: NonNullable<SubmissionAnswer['later']>,
): Promise<void> {
  const { view, words } = await later;
  if (!(await screen.dialog(id).show(view))) await screen.say(user, words);
}

function sendBy(respond: RespondFn): Respond {
  return (body) => respond(body);
}

/** Answers that are being worked on: they outlive their ack, and a stop waits for them. */
class RunningWork {
  onError: (error: unknown) => void = () => undefined;
  readonly #all = new Set<Promise<unknown>>();
  readonly #stop = new AbortController();

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  add(work: Promise<unknown>): void {
    const ended = work.catch((error: unknown) => this.onError(error)).finally(() => this.#all.delete(ended));
    this.#all.add(ended);
  }

  async finish(clock: Clock, graceMs: number): Promise<void> {
    this.#stop.abort();
    const waited = new AbortController();
    await Promise.race([Promise.all(this.#all), clock.sleep(graceMs, waited.signal).catch(() => undefined)]);
    waited.abort();
  }
}

// ── How Slack reaches us ─────────────────────────────────────────────────────────────────────────────────────────────

interface Link {
  readonly receiver: Receiver;
  open(): Promise<void>;
  connections(): number;
  port(): number | undefined;
  close(): Promise<void>;
}

/** Two connections: while Slack refreshes one, the other hears. Slack gives each envelope to one of them only. */
function socketLink(options: ChatOptions, appToken: string): Link {
  const receivers = [1, 2].map(
    () =>
      new SocketModeReceiver({
        appToken,
        autoReconnectEnabled: false,
        logger: boltLogger(options.log),
        installerOptions: { clientOptions: clientOptions(options, 0) },
      }),
  );
  let connections: Connections | undefined;
  const open = async (): Promise<void> => {
    connections = keepConnected({
      connections: receivers.map((r) => r.client),
      clock: options.clock,
      log: options.log,
      deadAfterMs: options.deadAfterMs ?? DEAD_AFTER_MS,
      onDead: options.onDead,
    });
    try {
      await connections.ready(CONNECT_PATIENCE_MS);
    } catch (error) {
      await connections.stop();
      throw error;
    }
    if (connections.open === 0) options.log.warn({}, 'Slack is away; connecting goes on');
  };
  const close = async (): Promise<void> => connections?.stop();
  return {
    receiver: {
      init: (app) => {
        for (const receiver of receivers) receiver.init(app);
      },
      start: open,
      stop: close,
    },
    open,
    close,
    connections: () => connections?.open ?? 0,
    port: () => undefined,
  };
}

function httpLink(options: ChatOptions): Link {
  if (options.transport.mode !== 'http') throw new TypeError('not in HTTP mode');
  const { signingSecret, port } = options.transport;
  const receiver = new HTTPReceiver({ signingSecret, port, logger: boltLogger(options.log) });
  let address: number | undefined;
  return {
    receiver,
    async open() {
      const server = await receiver.start(port);
      const bound = server.address();
      address = typeof bound === 'object' ? bound?.port : undefined;
    },
    async close() {
      address = undefined;
      await receiver.stop();
    },
    connections: () => (address === undefined ? 0 : 1),
    port: () => address,
  };
}

/** Bolt's own words go to our log. Its debug level holds payloads, tokens of requests among them, so it stays shut. */
function boltLogger(log: Log): NonNullable<WebClientOptions['logger']> {
  const text = (parts: unknown[]): string => parts.map((p) => (p instanceof Error ? p.message : String(p))).join(' ');
  return {
    debug: () => undefined,
    info: (...parts: unknown[]) => log.debug({ from: 'bolt' }, text(parts)),
    warn: (...parts: unknown[]) => log.warn({ from: 'bolt' }, text(parts)),
    error: (...parts: unknown[]) => log.warn({ from: 'bolt' }, text(parts)),
    setLevel: () => undefined,
    getLevel: () => LogLevel.INFO,
    setName: () => undefined,
  };
}
