/** Owns what a person can do in the workspace, and what the app is told of it. */
import { randomBytes } from 'node:crypto';
import type { Core } from './core.ts';
import type { Delivered } from './delivery.ts';
import { interactiveElements, validateSuggestions, validateView } from './limits.ts';
import { answer } from './responses.ts';
import {
  APP_ID,
  asApiMessage,
  botIdOf,
  isJson,
  TEAM_ID,
  textIn,
  withoutUndefined,
  type Channel,
  type Json,
  type Message,
  type User,
} from './state.ts';
import { asApiView, blocksOf, choiceOf, inputErrors, stateOf, withIds, type OpenView, type Values } from './views.ts';

/** The one who tells a person what went wrong with their command. */
export const SLACKBOT: User = { id: 'USLACKBOT', name: 'slackbot', realName: 'Slackbot', isBot: true };

/** Who acts, and in which browser tab. */
export interface Actor {
  readonly user: string;
  readonly client?: string | undefined;
}

/** `error` is what the person is told. */
export type Outcome = { readonly ok: true; readonly ackMs: number } | { readonly ok: false; readonly error: string };

/** Where an element is: in a message, in a modal or in the Home tab. */
export type Place =
  { readonly channel: string; readonly ts: string } | { readonly viewId: string } | { readonly home: true };

/** Sends a slash command to the app. Errors are told to the person in the channel, as Slack does. */
export async function runCommand(core: Core, actor: Actor, channel: Channel, text: string): Promise<Outcome> {
  const [command = '', ...words] = text.trim().split(/ +/);
  const isInstalled = core.scopes?.includes('commands') ?? true;
  if (!isInstalled || !core.commands.some((one) => one.command === command))
    return fail(`${command} is not a valid command.`);
  const target = { channel, user: actor.user, source: undefined };
  const payload = {
    token: 'local-verification-token',
    team_id: TEAM_ID,
    team_domain: 'local',
    channel_id: channel.id,
    channel_name: channel.kind === 'im' ? 'directmessage' : channel.name,
    user_id: actor.user,
    user_name: userOf(core, actor.user).name,
    command,
    text: words.join(' '),
    api_app_id: APP_ID,
    is_enterprise_install: 'false',
    response_url: responseUrl(core, target),
    trigger_id: trigger(core, actor),
  };
  const result = await core.delivery.deliver('slash_commands', text.trim(), payload);
  const error = result.ok ? answerError(core, target, result.answer) : result.error;
  if (error === undefined) return { ok: true, ackMs: result.ok ? result.ackMs : 0 };
  const sentence = `${command} failed with the error "${error}"`;
  core.state.post(channel, { text: sentence, user: SLACKBOT.id, fromApp: false, ephemeralFor: actor.user });
  return fail(sentence);
}

function answerError(core: Core, target: Parameters<typeof answer>[1], body: Json): string | undefined {
  return Object.keys(body).length === 0 ? undefined : answer(core, target, body);
}

/** A message that a person writes. `@handle` and `#channel` become mentions. */
export function sendMessage(core: Core, actor: Actor, channel: Channel, text: string, threadTs?: string): Message {
  const message = core.state.post(channel, {
    text: withMentions(core, text),
    user: actor.user,
    fromApp: false,
    threadTs,
  });
  const event = asApiMessage(core.state, channel, message, false);
  const channelType = { public: 'channel', private: 'group', im: 'im' }[channel.kind];
  const plural = { public: 'channels', private: 'groups', im: 'im' }[channel.kind];
  emit(core, `message.${plural}`, { ...event, channel: channel.id, event_ts: message.ts, channel_type: channelType });
  if (channel.kind !== 'im' && message.text.includes(`<@${core.state.bot.id}>`)) {
    emit(core, 'app_mention', { ...event, type: 'app_mention', channel: channel.id, event_ts: message.ts });
  }
  return message;
}

/** Puts a reaction on a message, or takes it away. */
export function toggleReaction(core: Core, actor: Actor, channel: Channel, message: Message, name: string): void {
  const found = message.reactions.find((reaction) => reaction.name === name);
  if (found === undefined) message.reactions.push({ name, users: [actor.user] });
  else if (!found.users.includes(actor.user)) found.users.push(actor.user);
  else found.users.splice(found.users.indexOf(actor.user), 1);
  const gone = message.reactions.findIndex((reaction) => reaction.users.length === 0);
  if (gone >= 0) message.reactions.splice(gone, 1);
  core.state.touch(channel, message);
}

/** A click on a button, a choice in a menu. `choice` has Slack's field, e.g. `{selected_option: {value}}`. */
export async function act(
  core: Core,
  actor: Actor,
  place: Place,
  element: { readonly blockId?: string | undefined; readonly actionId: string },
  choice: Json = {},
  values: Values = {},
): Promise<Outcome> {
  const where = locate(core, actor, place);
  if (typeof where === 'string') return fail(where);
  const found = findElement(where.blocks, element);
  if (found === undefined) return fail('That button is not there any more.');
  const action = withoutUndefined({
    type: found.element['type'],
    action_id: found.element['action_id'],
    block_id: found.block['block_id'],
    action_ts: core.state.nextTs(),
    text: found.element['text'],
    value: found.element['value'],
    style: found.element['style'],
    ...choiceOf(found.element, choice),
  });
  const payload = {
    ...envelopeOf(core, actor, 'block_actions'),
    ...where.context(values),
    trigger_id: trigger(core, actor, where.open?.id),
    actions: [action],
  };
  return outcome(await core.delivery.deliver('interactive', String(action['action_id']), payload));
}

/** Asks the app for the options of an external select. */
export async function suggest(
  core: Core,
  actor: Actor,
  place: Place,
  element: { readonly blockId: string; readonly actionId: string },
  value: string,
): Promise<{ readonly ok: true; readonly answer: Json } | { readonly ok: false; readonly error: string }> {
  const where = locate(core, actor, place);
  if (typeof where === 'string') return { ok: false, error: where };
  const payload = {
    ...envelopeOf(core, actor, 'block_suggestion'),
    ...where.context({}),
    response_url: undefined,
    action_id: element.actionId,
    block_id: element.blockId,
    value,
  };
  const result = await core.delivery.deliver('interactive', element.actionId, payload);
  if (!result.ok) return { ok: false, error: 'No results: the app did not answer.' };
  if (validateSuggestions(result.answer).length > 0) return { ok: false, error: 'The app gave options Slack refuses.' };
  return { ok: true, answer: result.answer };
}

export type Submitted =
  | { readonly ok: true; readonly ackMs: number }
  | { readonly ok: false; readonly errors: Record<string, string> }
  | { readonly ok: false; readonly error: string };

const TROUBLE = 'We had some trouble connecting. Try again?';

/** Submits a modal: the form's own checks first, then the app's, whose answer decides what becomes of the modal. */
export async function submitView(core: Core, actor: Actor, viewId: string, values: Values): Promise<Submitted> {
  const open = core.views.find(viewId);
  if (open?.user !== actor.user) return { ok: false, error: 'That dialog is closed.' };
  const errors = inputErrors(blocksOf(open.view), values);
  if (Object.keys(errors).length > 0) return { ok: false, errors };
  const payload = {
    ...envelopeOf(core, actor, 'view_submission'),
    trigger_id: trigger(core, actor, viewId),
    view: asApiView(open, botIdOf(core.state.bot), values),
    response_urls: [],
  };
  const result = await core.delivery.deliver('interactive', textIn(open.view, 'callback_id'), payload);
  if (!result.ok) return { ok: false, error: TROUBLE };
  return applyResponseAction(core, open, result.answer, result.ackMs);
}

function applyResponseAction(core: Core, open: OpenView, response: Json, ackMs: number): Submitted {
  const action = response['response_action'];
  if (action === undefined) {
    if (Object.keys(response).length > 0) return { ok: false, error: TROUBLE };
    core.views.close(open, false);
    return { ok: true, ackMs };
  }
  if (action === 'clear') {
    core.views.close(open, true);
    return { ok: true, ackMs };
  }
  if (action === 'errors') return appErrors(open, response['errors']);
  const view = response['view'];
  if ((action !== 'update' && action !== 'push') || !isJson(view) || validateView(view, core.rules).length > 0) {
    return { ok: false, error: TROUBLE };
  }
  const ready = { ...view, blocks: withIds(blocksOf(view)) };
  if (action === 'update') core.views.update(open, ready);
  else if (core.views.push(open, ready) === undefined) return { ok: false, error: TROUBLE };
  return { ok: true, ackMs };
}

/** Errors of the app must name input blocks of the modal; else Slack shows that something went wrong. */
function appErrors(open: OpenView, errors: unknown): Submitted {
  const inputs = blocksOf(open.view).filter((block) => block['type'] === 'input');
  const entries = isJson(errors) ? Object.entries(errors) : [];
  const fits = entries.every(
    ([id, text]) => typeof text === 'string' && inputs.some((block) => block['block_id'] === id),
  );
  if (entries.length === 0 || !fits) return { ok: false, error: TROUBLE };
  return { ok: false, errors: Object.fromEntries(entries.map(([id, text]) => [id, String(text)])) };
}

/** Closes a modal with its cross or its button; the app is told when it asked for that. */
export function closeView(core: Core, actor: Actor, viewId: string, cleared: boolean): void {
  const open = core.views.find(viewId);
  if (open?.user !== actor.user) return;
  const all = cleared || open.view['clear_on_close'] === true;
  for (const view of core.views.close(open, all)) {
    if (view.view['notify_on_close'] !== true) continue;
    const payload = {
      ...envelopeOf(core, actor, 'view_closed'),
      view: asApiView(view, botIdOf(core.state.bot)),
      is_cleared: all,
    };
    void core.delivery.deliver('interactive', textIn(view.view, 'callback_id'), payload);
  }
}

/** Opens one of the app's two tabs; the app is told. */
export function openHome(core: Core, actor: Actor, tab: 'home' | 'messages'): void {
  const home = core.state.homes.get(actor.user);
  emit(core, 'app_home_opened', {
    type: 'app_home_opened',
    user: actor.user,
    channel: core.state.directMessages(actor.user).id,
    tab,
    event_ts: core.state.nextTs(),
    ...(tab === 'home' && home !== undefined ? { view: { id: home.id, hash: home.hash, ...home.view } } : {}),
  });
}

interface Located {
  readonly blocks: readonly Json[];
  readonly open: OpenView | undefined;
  readonly context: (values: Values) => Json;
}

/** Finds the message or view; a sentence for the person when it is gone. */
function locate(core: Core, actor: Actor, place: Place): Located | string {
  if ('home' in place) return locateHome(core, actor);
  if ('viewId' in place) {
    const open = core.views.find(place.viewId);
    if (open?.user !== actor.user) return 'That dialog is closed.';
    return {
      blocks: blocksOf(open.view),
      open,
      context: (values) => ({
        container: { type: 'view', view_id: open.id },
        view: asApiView(open, botIdOf(core.state.bot), values),
      }),
    };
  }
  const channel = core.state.channels.get(place.channel);
  const message = channel?.messages.find(({ ts }) => ts === place.ts);
  if (channel === undefined || message === undefined) return 'That message is gone.';
  return locateMessage(core, actor, channel, message);
}

function locateMessage(core: Core, actor: Actor, channel: Channel, message: Message): Located {
  const isEphemeral = message.ephemeralFor !== undefined;
  const attached = (message.attachments ?? []).flatMap((attachment) => blocksOf(attachment));
  const blocks = [...(message.blocks ?? []), ...attached];
  return {
    blocks,
    open: undefined,
    context: (values) => ({
      container: {
        type: 'message',
        message_ts: message.ts,
        channel_id: channel.id,
        is_ephemeral: isEphemeral,
        ...(message.threadTs === undefined ? {} : { thread_ts: message.threadTs }),
      },
      channel: { id: channel.id, name: channel.kind === 'im' ? 'directmessage' : channel.name },
      ...(isEphemeral ? {} : { message: asApiMessage(core.state, channel, message, true) }),
      state: { values: stateOf(blocks, values) },
      response_url: responseUrl(core, { channel, user: actor.user, source: message }),
    }),
  };
}

function locateHome(core: Core, actor: Actor): Located | string {
  const home = core.state.homes.get(actor.user);
  if (home === undefined) return 'The app has no Home yet.';
  return {
    blocks: blocksOf(home.view),
    open: undefined,
    context: (values) => ({
      container: { type: 'view', view_id: home.id },
      view: {
        id: home.id,
        team_id: TEAM_ID,
        app_id: APP_ID,
        bot_id: botIdOf(core.state.bot),
        hash: home.hash,
        ...home.view,
        state: { values: stateOf(blocksOf(home.view), values) },
      },
    }),
  };
}

function findElement(
  blocks: readonly Json[],
  wanted: { readonly blockId?: string | undefined; readonly actionId: string },
): { readonly block: Json; readonly element: Json } | undefined {
  for (const block of blocks) {
    if (wanted.blockId !== undefined && block['block_id'] !== wanted.blockId) continue;
    const element = interactiveElements(block).find((one) => one['action_id'] === wanted.actionId);
    if (element !== undefined) return { block, element };
  }
  return undefined;
}

function envelopeOf(core: Core, actor: Actor, type: string): Json {
  const user = userOf(core, actor.user);
  return {
    type,
    team: { id: TEAM_ID, domain: 'local' },
    user: { id: user.id, username: user.name, name: user.name, team_id: TEAM_ID },
    api_app_id: APP_ID,
    token: 'local-verification-token',
    is_enterprise_install: false,
    enterprise: null,
  };
}

/** Tells the app of an event, if it subscribed to it; nobody waits for that. */
function emit(core: Core, subscription: string, event: Json): void {
  if (!core.events.includes(subscription)) return;
  const payload = {
    token: 'local-verification-token',
    team_id: TEAM_ID,
    api_app_id: APP_ID,
    event,
    type: 'event_callback',
    event_id: `Ev${randomBytes(5).toString('hex').toUpperCase()}`,
    event_time: Math.floor(Date.now() / 1000),
    authorizations: [
      { enterprise_id: null, team_id: TEAM_ID, user_id: core.state.bot.id, is_bot: true, is_enterprise_install: false },
    ],
    is_ext_shared_channel: false,
  };
  void core.delivery.deliver('events_api', subscription, payload);
}

function trigger(core: Core, actor: Actor, viewId?: string): string {
  return core.triggers.add({ user: actor.user, client: actor.client, viewId });
}

function responseUrl(core: Core, target: Parameters<typeof answer>[1]): string {
  return `${core.baseUrl()}/response/${core.responseUrls.add(target)}`;
}

function userOf(core: Core, id: string): User {
  const user = core.state.users.get(id);
  if (user === undefined) throw new Error(`no user ${id} in this workspace`);
  return user;
}

function outcome(result: Delivered): Outcome {
  if (result.ok) return { ok: true, ackMs: result.ackMs };
  return fail(
    result.error === 'operation_timeout'
      ? 'The app did not answer within three seconds (operation_timeout).'
      : `The app could not be reached (${result.error}).`,
  );
}

function fail(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error };
}

/** Escapes what a person typed and turns handles and channel names into Slack's mentions. */
function withMentions(core: Core, text: string): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return escaped
    .replace(/(^|\s)@([\w.-]+)/g, (whole, before: string, handle: string) => {
      const user = [...core.state.users.values()].find(({ name }) => name === handle);
      if (user !== undefined) return `${before}<@${user.id}>`;
      const group = [...core.state.groups.values()].find((one) => one.handle === handle);
      return group === undefined ? whole : `${before}<!subteam^${group.id}>`;
    })
    .replace(/(^|\s)#([\w-]+)/g, (whole, before: string, name: string) => {
      const channel = core.state.channelNamed(name);
      return channel === undefined ? whole : `${before}<#${channel.id}|${name}>`;
    });
}
