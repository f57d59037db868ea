/** The workspace against the unchanged Bolt: what a bot can do here it can do in Slack, and what Slack refuses is refused. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, HTTPReceiver, LogLevel, SocketModeReceiver } from '@slack/bolt';
import { WebClient } from '@slack/web-api';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { startWorkspace, type Workspace, type WorkspaceOptions } from '../../../deploy/local/workspace/server.ts';
import { freePort } from '../../support/free-port.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function workspaceWith(options: WorkspaceOptions = {}): Promise<Workspace> {
  const workspace = await startWorkspace(options);
  cleanups.push(() => workspace.close());
  return workspace;
}

const clientOptions = (workspace: Workspace) => ({
  slackApiUrl: workspace.apiUrl,
  retryConfig: { retries: 0 },
  timeout: 5_000,
  rejectRateLimitedCalls: true,
  allowAbsoluteUrls: false,
  logger: silent,
});
const client = (workspace: Workspace, token = workspace.tokens.bot) => new WebClient(token, clientOptions(workspace));

/** A bot in Socket Mode; reconnects within 50 ms. */
async function socketBot(workspace: Workspace, prepare: (app: App) => void): Promise<App> {
  const receiver = new SocketModeReceiver({
    appToken: workspace.tokens.app,
    logger: silent,
    clientPingTimeout: 50,
    installerOptions: { clientOptions: clientOptions(workspace) },
  });
  const app = new App({
    token: workspace.tokens.bot,
    receiver,
    logger: silent,
    clientOptions: clientOptions(workspace),
  });
  prepare(app);
  await app.start();
  cleanups.push(() => app.stop());
  await workspace.waitForConnections(1);
  return app;
}

/** A bot in HTTP mode on a free port, and the workspace that posts to it. */
async function httpBot(prepare: (app: App) => void, secret = 'the-secret'): Promise<Workspace> {
  const port = await freePort();
  const workspace = await workspaceWith({
    mode: 'http',
    requestUrl: `http://127.0.0.1:${port}/slack/events`,
    tokens: { signingSecret: 'the-secret' },
  });
  const receiver = new HTTPReceiver({ signingSecret: secret, port, logger: silent });
  const app = new App({
    token: workspace.tokens.bot,
    receiver,
    logger: silent,
    clientOptions: clientOptions(workspace),
  });
  prepare(app);
  await app.start(port);
  cleanups.push(() => app.stop());
  return workspace;
}

const nothing = (): void => undefined;
const silent = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  setLevel: nothing,
  getLevel: () => LogLevel.ERROR,
  setName: nothing,
};

const plain = (text: string) => ({ type: 'plain_text' as const, text });
const retryButton = {
  type: 'actions' as const,
  block_id: 'buttons',
  elements: [{ type: 'button' as const, action_id: 'retry', value: 'prod-eu', text: plain('Retry') }],
};
const reasonModal = (submit = 'Deny') => ({
  type: 'modal' as const,
  callback_id: 'deny',
  private_metadata: 'request-7',
  title: plain('Deny'),
  submit: plain(submit),
  blocks: [
    {
      type: 'input' as const,
      block_id: 'reason',
      label: plain('Why'),
      element: { type: 'plain_text_input' as const, action_id: 'text', min_length: 3 },
    },
  ],
});
const refusal = (error: string) => ({ data: expect.objectContaining({ ok: false, error }) as unknown });

/** The handlers that both bots have. */
function prepareBot(app: App): void {
  app.command('/etcd', async ({ ack, command, respond, say, client: slack }) => {
    await ack(`on it: ${command.text}`);
    if (command.text === 'say') await say({ text: 'said', blocks: [retryButton] });
    if (command.text === 'respond') await respond({ text: 'a private word', response_type: 'ephemeral' });
    if (command.text === 'modal') await slack.views.open({ trigger_id: command.trigger_id, view: reasonModal() });
  });
  app.action({ type: 'block_actions', action_id: 'retry' }, async ({ ack, action, body, client: slack, respond }) => {
    await ack();
    const value = 'value' in action ? action.value : '';
    const { channel, message } = body as unknown as { channel: { id: string }; message: { ts: string } };
    await slack.chat.update({ channel: channel.id, ts: message.ts, text: `${value} retried by ${body.user.id}` });
    await respond({ text: 'thanks', replace_original: false, response_type: 'ephemeral' });
  });
  app.view('deny', async ({ ack, view, body, client: slack }) => {
    const reason = view.state.values['reason']?.['text']?.value ?? '';
    if (reason === 'because') return ack({ response_action: 'errors', errors: { reason: 'That is no reason.' } });
    if (reason === 'again') return ack({ response_action: 'update', view: reasonModal('Deny now') });
    await ack();
    await slack.chat.postMessage({
      channel: '#etcd-backups',
      text: `${view.private_metadata} denied by ${body.user.id}: ${reason}`,
    });
  });
  app.event('app_home_opened', async ({ event, client: slack }) => {
    const section = { type: 'section' as const, text: plain('Three clusters'), accessory: retryButton.elements[0] };
    await slack.views.publish({ user_id: event.user, view: { type: 'home', blocks: [section] } });
  });
}

describe.each(['socket', 'http'] as const)('a Bolt app in %s mode', (mode) => {
  async function start(): Promise<Workspace> {
    if (mode === 'http') return httpBot(prepareBot);
    const workspace = await workspaceWith();
    await socketBot(workspace, prepareBot);
    return workspace;
  }

  it('acknowledges a command with a text that only its user sees', async () => {
    const workspace = await start();
    const result = await workspace.runCommand('ada', 'etcd-backups', '/etcd help me');
    expect(result).toMatchObject({
      ok: true,
      ephemeral: [{ text: 'on it: help me', ephemeralFor: workspace.ids.users['ada'] }],
    });
    expect(result.ackMs).toBeLessThan(1_000);
    expect(workspace.acks).toMatchObject([{ type: 'slash_commands', what: '/etcd help me', inTime: true }]);
  });

  it('says something in the channel, answers in private, and edits its message on a click', async () => {
    const workspace = await start();
    await workspace.runCommand('ada', 'etcd-backups', '/etcd say');
    const said = await workspace.waitForMessage('etcd-backups', ({ text }) => text === 'said');
    expect(said).toMatchObject({ fromApp: true, user: workspace.ids.bot });
    expect(await workspace.click('grace', { channel: 'etcd-backups', ts: said.ts }, 'retry')).toMatchObject({
      ok: true,
    });
    const edited = await workspace.waitForMessage('etcd-backups', ({ text }) => text.startsWith('prod-eu retried'));
    expect(edited).toMatchObject({
      ts: said.ts,
      text: `prod-eu retried by ${workspace.ids.users['grace']}`,
      blocks: undefined,
    });
    await workspace.waitForMessage(
      'etcd-backups',
      (one) => one.text === 'thanks' && one.ephemeralFor === workspace.ids.users['grace'],
    );
    await workspace.runCommand('ada', 'etcd-backups', '/etcd respond');
    await workspace.waitForMessage(
      'etcd-backups',
      (one) => one.text === 'a private word' && one.ephemeralFor !== undefined,
    );
  });

  it('opens a modal, refuses a bad reason, updates the modal, and takes a good reason', async () => {
    const workspace = await start();
    await workspace.runCommand('ada', 'etcd-backups', '/etcd modal');
    await expect.poll(() => workspace.views('ada').length).toBe(1);
    const id = workspace.views('ada')[0]?.id ?? '';
    const fill = (value: string) => workspace.submit('ada', id, { reason: { text: { value } } });
    expect(await fill('')).toEqual({ ok: false, errors: { reason: 'Please complete this required field.' } });
    expect(await fill('no')).toEqual({ ok: false, errors: { reason: 'Please enter at least 3 characters.' } });
    expect(await fill('because')).toEqual({ ok: false, errors: { reason: 'That is no reason.' } });
    expect(await fill('again')).toMatchObject({ ok: true });
    expect(workspace.views('ada')[0]?.view['submit']).toEqual(plain('Deny now'));
    expect(await fill('wrong snapshot')).toMatchObject({ ok: true });
    expect(workspace.views('ada')).toEqual([]);
    await workspace.waitForMessage(
      'etcd-backups',
      ({ text }) => text.startsWith('request-7 denied by') && text.endsWith('wrong snapshot'),
    );
  });

  it('publishes its Home tab when somebody opens it, for that person only', async () => {
    const workspace = await start();
    workspace.openHome('noor');
    await expect
      .poll(() => workspace.home('noor'))
      .toMatchObject({ type: 'home', blocks: [{ text: plain('Three clusters') }] });
    expect(workspace.home('ada')).toBeUndefined();
  });
});

describe('what Slack does when the app is late or gone', () => {
  it('tells the user that the command failed when nobody is connected', async () => {
    const workspace = await workspaceWith();
    const result = await workspace.runCommand('ada', 'general', '/etcd help');
    expect(result).toMatchObject({ ok: false, error: '/etcd failed with the error "dispatch_failed"' });
    expect(result.ephemeral).toMatchObject([{ user: 'USLACKBOT', ephemeralFor: workspace.ids.users['ada'] }]);
  });

  it('gives up after three seconds, and still measures the late acknowledgement', async () => {
    const workspace = await workspaceWith();
    await socketBot(workspace, (app) => {
      app.command('/etcd', async ({ ack }) => {
        await new Promise((resolve) => setTimeout(resolve, 3_200));
        await ack('too late');
      });
    });
    const result = await workspace.runCommand('ada', 'general', '/etcd slow');
    expect(result).toMatchObject({ ok: false, error: '/etcd failed with the error "operation_timeout"' });
    await expect.poll(() => workspace.acks[0]?.ackMs).toBeGreaterThan(3_100);
    expect(workspace.acks[0]?.inTime).toBe(false);
    expect(workspace.messages('general').map(({ text }) => text)).not.toContain('too late');
  }, 10_000);

  it('does not reach an HTTP bot that has another signing secret', async () => {
    const workspace = await httpBot(prepareBot, 'another-secret');
    const result = await workspace.runCommand('ada', 'general', '/etcd help');
    expect(result.error).toBe('/etcd failed with the error "http_client_error"');
  });

  it('says so when a command is not known', async () => {
    const workspace = await workspaceWith();
    expect(await workspace.runCommand('ada', 'general', '/unknown')).toMatchObject({
      error: '/unknown is not a valid command.',
    });
  });

  it.each(['unavailable', 'refused'] as const)(
    'is away when %s, and the bot comes back by itself',
    async (kind) => {
      const workspace = await workspaceWith();
      await socketBot(workspace, prepareBot);
      const { end } = await workspace.outage(kind);
      await expect(client(workspace).auth.test()).rejects.toMatchObject({
        code: kind === 'refused' ? 'slack_webapi_request_error' : 'slack_webapi_http_error',
      });
      expect(await workspace.runCommand('ada', 'general', '/etcd help')).toMatchObject({ ok: false });
      await end();
      await workspace.waitForConnections(1);
      expect(await workspace.runCommand('ada', 'general', '/etcd help')).toMatchObject({ ok: true });
    },
    20_000,
  );

  it('asks the bot to connect anew, and the bot does', async () => {
    const workspace = await workspaceWith();
    await socketBot(workspace, prepareBot);
    workspace.disconnectSockets('refresh_requested');
    await expect.poll(() => workspace.connections()).toBe(0);
    await workspace.waitForConnections(1);
    expect(await workspace.runCommand('ada', 'general', '/etcd help')).toMatchObject({ ok: true });
  }, 20_000);
});

describe('what Slack refuses', () => {
  it('wants the right token for each method', async () => {
    const workspace = await workspaceWith();
    await expect(client(workspace, 'xoxb-wrong').auth.test()).rejects.toMatchObject(refusal('invalid_auth'));
    await expect(client(workspace, workspace.tokens.app).auth.test()).rejects.toMatchObject(
      refusal('not_allowed_token_type'),
    );
    await expect(client(workspace).apps.connections.open({})).rejects.toMatchObject(refusal('not_allowed_token_type'));
    await expect(new WebClient(undefined, clientOptions(workspace)).auth.test()).rejects.toMatchObject(
      refusal('not_authed'),
    );
    await expect(client(workspace).apiCall('chat.shout')).rejects.toMatchObject(refusal('unknown_method'));
    expect(await client(workspace).auth.test()).toMatchObject({
      user_id: workspace.ids.bot,
      bot_id: workspace.ids.botId,
    });
  });

  it('wants the scopes that the manifest grants', async () => {
    const workspace = await workspaceWith({ scopes: ['chat:write'] });
    await expect(client(workspace).users.info({ user: 'U0ADA00001' })).rejects.toMatchObject(refusal('missing_scope'));
    expect(await client(workspace).chat.postMessage({ channel: '#general', text: 'x' })).toMatchObject({ ok: true });
  });

  it('takes a Socket Mode ticket once', async () => {
    const workspace = await workspaceWith();
    const { url } = await client(workspace, workspace.tokens.app).apps.connections.open({});
    const first = await opens(String(url));
    expect(first).toBe('opened');
    expect(await opens(String(url))).toBe('Unexpected server response: 401');
    expect(await opens(`${workspace.url.replace('http', 'ws')}/link?ticket=made-up`)).toBe(
      'Unexpected server response: 401',
    );
  });

  it('takes a trigger_id once, within three seconds', async () => {
    const workspace = await workspaceWith();
    const triggers: string[] = [];
    await socketBot(workspace, (app) => {
      app.command('/etcd', async ({ ack, command }) => {
        triggers.push(command.trigger_id);
        await ack();
      });
    });
    await workspace.runCommand('ada', 'general', '/etcd a');
    await workspace.runCommand('ada', 'general', '/etcd b');
    const open = (trigger_id: string) => client(workspace).views.open({ trigger_id, view: reasonModal() });
    expect(await open(String(triggers[0]))).toMatchObject({ view: { callback_id: 'deny' } });
    await expect(open(String(triggers[0]))).rejects.toMatchObject(refusal('exchanged_trigger_id'));
    await expect(open('made-up')).rejects.toMatchObject(refusal('invalid_trigger_id'));
    await new Promise((resolve) => setTimeout(resolve, 3_050));
    await expect(open(String(triggers[1]))).rejects.toMatchObject(refusal('expired_trigger_id'));
  }, 10_000);

  it('takes five answers to a response_url', async () => {
    const workspace = await workspaceWith();
    const statuses: number[] = [];
    await socketBot(workspace, (app) => {
      app.command('/etcd', async ({ ack, command }) => {
        await ack();
        for (let index = 0; index < 6; index += 1) {
          const response = await fetch(command.response_url, {
            method: 'POST',
            body: JSON.stringify({ text: `${index}` }),
          });
          statuses.push(response.status);
        }
      });
    });
    await workspace.runCommand('ada', 'general', '/etcd a');
    await expect.poll(() => statuses).toEqual([200, 200, 200, 200, 200, 404]);
  });

  it('lets a small burst into a channel, then about one post a second, by channel', async () => {
    const workspace = await workspaceWith();
    const post = (channel: string) => client(workspace).chat.postMessage({ channel, text: 'x' });
    for (let index = 0; index < 5; index += 1) await post('#general');
    await expect(post(String(workspace.ids.channels['general']))).rejects.toMatchObject({ retryAfter: 1 });
    expect(await post('#etcd-alerts')).toMatchObject({ ok: true });
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    expect(await post('#general')).toMatchObject({ ok: true });
  });

  it('answers 429 with Retry-After to everything when told to', async () => {
    const workspace = await workspaceWith();
    workspace.rateLimit(7);
    await expect(client(workspace).auth.test()).rejects.toMatchObject({ retryAfter: 7 });
  });

  it('refuses blocks with the block and the reason', async () => {
    const workspace = await workspaceWith();
    const blocks = [{ type: 'section', text: { type: 'mrkdwn', text: 'x'.repeat(3001) } }];
    await expect(client(workspace).chat.postMessage({ channel: '#general', text: 'x', blocks })).rejects.toMatchObject({
      data: {
        error: 'invalid_blocks',
        response_metadata: {
          messages: ['[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]'],
        },
      },
    });
    await expect(client(workspace).chat.postMessage({ channel: '#general', text: '' })).rejects.toMatchObject(
      refusal('no_text'),
    );
    await expect(
      client(workspace).chat.postMessage({ channel: '#general', text: 'x'.repeat(40_001) }),
    ).rejects.toMatchObject(refusal('msg_too_long'));
  });

  it('keeps the bot to its own channels and its own messages', async () => {
    const workspace = await workspaceWith({
      channels: [
        { id: 'C0HERE', name: 'here' },
        { id: 'C0THERE', name: 'there', members: ['U0ADA00001'] },
        { id: 'C0SECRET', name: 'secret', kind: 'private', members: ['U0ADA00001'] },
      ],
    });
    const { chat } = client(workspace);
    await expect(chat.postMessage({ channel: 'C0THERE', text: 'x' })).rejects.toMatchObject(refusal('not_in_channel'));
    await expect(chat.postMessage({ channel: 'C0SECRET', text: 'x' })).rejects.toMatchObject(
      refusal('channel_not_found'),
    );
    await expect(chat.postMessage({ channel: '#nowhere', text: 'x' })).rejects.toMatchObject(
      refusal('channel_not_found'),
    );
    const { ts } = workspace.say('ada', 'here', 'mine');
    await expect(chat.update({ channel: 'C0HERE', ts, text: 'x' })).rejects.toMatchObject(
      refusal('cant_update_message'),
    );
    await expect(chat.delete({ channel: 'C0HERE', ts })).rejects.toMatchObject(refusal('cant_delete_message'));
    await expect(chat.update({ channel: 'C0HERE', ts: '1.000001', text: 'x' })).rejects.toMatchObject(
      refusal('message_not_found'),
    );
    await expect(chat.update({ channel: '#here', ts, text: 'x' })).rejects.toMatchObject(refusal('channel_not_found'));
  });

  it('cannot update a private word', async () => {
    const workspace = await workspaceWith();
    const { chat } = client(workspace);
    const { message_ts } = await chat.postEphemeral({ channel: '#general', user: 'U0ADA00001', text: 'psst' });
    const channel = String(workspace.ids.channels['general']);
    await expect(chat.update({ channel, ts: String(message_ts), text: 'x' })).rejects.toMatchObject(
      refusal('message_not_found'),
    );
    await expect(chat.postEphemeral({ channel, user: 'U0NOBODY', text: 'x' })).rejects.toMatchObject(
      refusal('user_not_found'),
    );
  });
});

describe('messages', () => {
  it('keeps metadata, and shows it when history is asked for it', async () => {
    const workspace = await workspaceWith();
    const slack = client(workspace);
    const metadata = { event_type: 'backup', event_payload: { key: 'backup-prod-eu-1' } };
    const { ts, channel = '' } = await slack.chat.postMessage({ channel: '#general', text: 'x', metadata });
    await slack.chat.update({ channel, ts: String(ts), text: 'y' });
    const shown = await slack.conversations.history({ channel, include_all_metadata: true });
    expect(shown.messages).toMatchObject([{ ts, text: 'y', metadata, bot_id: workspace.ids.botId }]);
    const plainHistory = await slack.conversations.history({ channel });
    expect(plainHistory.messages?.[0]).not.toHaveProperty('metadata');
  });

  it('keeps blocks on an update without text, drops them on an update with text alone', async () => {
    const workspace = await workspaceWith();
    const { chat } = client(workspace);
    const { ts = '', channel = '' } = await chat.postMessage({ channel: '#general', text: 'x', blocks: [retryButton] });
    await chat.update({ channel, ts, metadata: { event_type: 'e', event_payload: {} } } as never);
    expect(workspace.messages('general')[0]).toMatchObject({ text: 'x', blocks: [{ block_id: 'buttons' }] });
    await chat.update({ channel, ts, text: 'y' });
    expect(workspace.messages('general')[0]).toMatchObject({
      text: 'y',
      blocks: undefined,
      edited: { user: workspace.ids.bot },
    });
  });

  it('holds threads apart from the channel', async () => {
    const workspace = await workspaceWith();
    const slack = client(workspace);
    const { ts = '', channel = '' } = await slack.chat.postMessage({ channel: '#general', text: 'parent' });
    await slack.chat.postMessage({ channel, text: 'reply', thread_ts: ts });
    const history = await slack.conversations.history({ channel });
    expect(history.messages).toMatchObject([{ text: 'parent', reply_count: 1 }]);
    const replies = await slack.conversations.replies({ channel, ts });
    expect(replies.messages?.map(({ text }) => text)).toEqual(['parent', 'reply']);
    await expect(slack.chat.postMessage({ channel, text: 'x', thread_ts: '1.000001' })).rejects.toMatchObject(
      refusal('thread_not_found'),
    );
  });

  it('makes an incident channel: created, people invited, topic set, plan pinned, bookmarked, archived', async () => {
    const workspace = await workspaceWith();
    const slack = client(workspace);
    const { channel } = await slack.conversations.create({ name: 'inc-20261121-prod-eu-restore' });
    const id = String(channel?.id);
    await expect(slack.conversations.create({ name: 'inc-20261121-prod-eu-restore' })).rejects.toMatchObject(
      refusal('name_taken'),
    );
    await expect(slack.conversations.create({ name: 'No Such' })).rejects.toMatchObject(
      refusal('invalid_name_specials'),
    );
    await slack.conversations.invite({ channel: id, users: 'U0ADA00001,U0GRACE002' });
    await expect(slack.conversations.invite({ channel: id, users: 'U0ADA00001' })).rejects.toMatchObject(
      refusal('already_in_channel'),
    );
    await slack.conversations.setTopic({ channel: id, topic: 'Restore of prod-eu' });
    await expect(slack.conversations.setTopic({ channel: id, topic: 'x'.repeat(251) })).rejects.toMatchObject(
      refusal('too_long'),
    );
    const { ts = '' } = await slack.chat.postMessage({ channel: id, text: 'the plan' });
    await slack.pins.add({ channel: id, timestamp: ts });
    await expect(slack.pins.add({ channel: id, timestamp: ts })).rejects.toMatchObject(refusal('already_pinned'));
    await slack.bookmarks.add({ channel_id: id, title: 'Runbook', type: 'link', link: 'https://example.org/runbook' });
    const { members } = await slack.conversations.members({ channel: id });
    expect(members).toEqual([workspace.ids.bot, 'U0ADA00001', 'U0GRACE002']);
    await slack.conversations.archive({ channel: id });
    await expect(slack.chat.postMessage({ channel: id, text: 'x' })).rejects.toMatchObject(refusal('is_archived'));
  });

  it('tells who people are and who is in a group', async () => {
    const workspace = await workspaceWith();
    const slack = client(workspace);
    expect((await slack.users.info({ user: 'U0ADA00001' })).user).toMatchObject({
      name: 'ada',
      is_bot: false,
      deleted: false,
    });
    const group = String(workspace.ids.groups['etcd-admins']);
    expect((await slack.usergroups.users.list({ usergroup: group })).users).toHaveLength(3);
    await expect(slack.usergroups.users.list({ usergroup: 'S0NONE' })).rejects.toMatchObject(
      refusal('no_such_subteam'),
    );
    const first = await slack.users.list({ limit: 2 });
    const second = await slack.users.list({ limit: 2, cursor: String(first.response_metadata?.next_cursor) });
    expect([...(first.members ?? []), ...(second.members ?? [])].map(({ name }) => name)).toEqual([
      'ada',
      'grace',
      'linus',
      'noor',
    ]);
  });

  it('takes a file in three steps', async () => {
    const workspace = await workspaceWith();
    const slack = client(workspace);
    const channel_id = String(workspace.ids.channels['general']);
    await slack.filesUploadV2({
      channel_id,
      filename: 'runbook.sh',
      content: 'echo hello',
      initial_comment: 'the runbook',
    });
    const message = await workspace.waitForMessage('general', ({ text }) => text === 'the runbook');
    expect(message.files).toMatchObject([{ name: 'runbook.sh', size: 10 }]);
    const response = await fetch(`${workspace.url}/files/${message.files?.[0]?.id ?? ''}/runbook.sh`);
    expect(await response.text()).toBe('echo hello');
    expect(response.headers.get('content-disposition')).toContain('attachment');
  });

  it('keeps channels and messages in a file when asked to', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'workspace-test-'));
    cleanups.push(() => rm(folder, { recursive: true }));
    const file = join(folder, 'workspace.json');
    const first = await startWorkspace({ file });
    await client(first).chat.postMessage({ channel: '#general', text: 'remember me' });
    await first.close();
    const second = await workspaceWith({ file });
    expect(second.messages('general').map(({ text }) => text)).toEqual(['remember me']);
  });
});

describe('the page', () => {
  it('shows private words to nobody else', async () => {
    const workspace = await workspaceWith();
    await client(workspace).chat.postEphemeral({ channel: '#general', user: 'U0ADA00001', text: 'psst' });
    const textsFor = async (user: string) =>
      JSON.stringify(await (await fetch(`${workspace.url}/page/state?as=${user}&client=t`)).json());
    expect(await textsFor('U0ADA00001')).toContain('psst');
    expect(await textsFor('U0GRACE002')).not.toContain('psst');
  });

  it('lets no other site act for a person', async () => {
    const workspace = await workspaceWith();
    const ask = (headers: Record<string, string>) =>
      fetch(`${workspace.url}/page/do/say`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ as: 'U0ADA00001', channel: 'C0GENERAL3', text: 'hello' }),
      });
    expect((await ask({ origin: 'https://evil.example' })).status).toBe(403);
    expect(workspace.messages('general')).toEqual([]);
    expect((await ask({ origin: workspace.url })).status).toBe(200);
    expect(workspace.messages('general')).toMatchObject([{ text: 'hello', user: 'U0ADA00001' }]);
  });

  it('lets nothing run but its own scripts', async () => {
    const workspace = await workspaceWith();
    const policy = (await fetch(workspace.url)).headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
  });
});

function opens(url: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    cleanups.push(async () => socket.terminate());
    socket.on('open', () => resolve('opened'));
    socket.on('error', (error) => resolve(error.message));
  });
}
