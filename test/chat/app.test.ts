/** The whole of chat against the local workspace: typed, clicked, opened, refused, cut off. Fakes behind the ports. */
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { appFromManifest } from '../../deploy/local/workspace/manifest.ts';
import { startWorkspace } from '../../deploy/local/workspace/server.ts';
import type { Workspace, WorkspaceOptions } from '../../deploy/local/workspace/server.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { announcer } from '../../src/chat/announcer.ts';
import { startChat } from '../../src/chat/app.ts';
import type { Chat, ChatOptions } from '../../src/chat/app.ts';
import { buildCommands } from '../../src/commands/index.ts';
import type { CommandDeps } from '../../src/commands/deps.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { retriedBackupId } from '../../src/domain/job.ts';
import { fakeCatalogue } from '../fakes/catalogue.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { fakeEtcd } from '../fakes/etcd-client.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { fakeOutbox } from '../fakes/outbox.ts';
import { fakeScrubMemory } from '../fakes/scrub-memory.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { catalogueOf, events, member, record, silentLog, sixHourly, spec, stored } from './samples.ts';
import { freePort } from '../support/free-port.ts';
import { restoreParts } from '../support/restore-world.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const manifest = appFromManifest(parse(readFileSync('deploy/slack-manifest.yaml', 'utf8')));
const USERS: NonNullable<WorkspaceOptions['users']> = [
  { id: 'U0ADA00001', name: 'ada', realName: 'Ada Lovelace' },
  { id: 'U0NOOR0004', name: 'noor', realName: 'Noor Haddad' },
  { id: 'U0GUEST006', name: 'gus', realName: 'Gus Guest', guest: true },
];
const GROUPS: NonNullable<WorkspaceOptions['groups']> = [
  { id: 'S0ADMINS01', handle: 'etcd-admins', name: 'etcd admins', users: ['U0ADA00001', 'U0GUEST006'] },
  { id: 'S0ONCALL02', handle: 'oncall', name: 'On call', users: ['U0NOOR0004'] },
];

interface World {
  readonly workspace: Workspace;
  readonly chat: Chat;
  readonly queue: ReturnType<typeof fakeJobQueue>;
  readonly publish: (event: KeyturnEvent) => Promise<void>;
  readonly dead: string[];
}

/** A workspace with the manifest's scopes and commands, and Keyturn's chat in it. */
async function world(
  options: { workspace?: WorkspaceOptions; deps?: Partial<CommandDeps>; chat?: Partial<ChatOptions> } = {},
): Promise<World> {
  const workspace = await startWorkspace({
    users: USERS,
    groups: GROUPS,
    channels: [
      { id: 'C0BACKUPS1', name: 'etcd-backups' },
      { id: 'C0ALERTS02', name: 'etcd-alerts' },
      { id: 'C0GENERAL3', name: 'general' },
      { id: 'C0SECRET04', name: 'secret', kind: 'private', members: ['U0ADA00001'] },
    ],
    ...manifest,
    ...options.workspace,
  });
  cleanups.push(() => workspace.close());
  const clock = systemClock;
  const sentMessages = fakeSentMessages();
  const outbox = fakeOutbox(clock);
  const queue = fakeJobQueue(clock);
  const publish = announcer({ sentMessages, outbox, clock });
  const people = { request: [], approve: [], operate: ['S0ADMINS01'] };
  const dead: string[] = [];
  const commands = buildCommands({
    ...restoreParts(),
    clusters: [spec('prod-eu'), spec('staging')],
    people,
    command: '/etcd',
    etcd: fakeEtcd({ members: [member({ isLeader: true }), member({ id: 2n }), member({ id: 3n })] }),
    catalogue: catalogueOf([stored()]),
    stores: new Map(),
    queue,
    lease: fakeClusterLease(),
    scrubMemory: fakeScrubMemory(),
    calendar: sixHourly,
    publish,
    clock,
    log: silentLog,
    nonce: () => Math.random().toString(16).slice(2, 8),
    ...options.deps,
  });
  const chat = await startChat({
    transport: { mode: 'socket', appToken: workspace.tokens.app },
    botToken: workspace.tokens.bot,
    apiUrl: workspace.apiUrl,
    command: '/etcd',
    channels: { results: 'C0BACKUPS1', alerts: 'C0ALERTS02' },
    oncall: 'S0ONCALL02',
    people,
    commands,
    sentMessages,
    outbox,
    clock,
    log: silentLog,
    onDead: (why) => dead.push(why),
    ...options.chat,
  });
  cleanups.push(() => chat.stop());
  return { workspace, chat, queue, publish, dead };
}

/** Types a command and gives back the answer that only this person sees. */
async function ask({ workspace }: World, user: string, text: string, channel = 'general'): Promise<string> {
  const before = new Set(workspace.messages(channel).map((m) => m.ts));
  const result = await workspace.runCommand(user, channel, text);
  expect(result.error).toBeUndefined();
  const id = workspace.ids.users[user];
  const message = await workspace.waitForMessage(channel, (m) => !before.has(m.ts) && m.ephemeralFor === id);
  return message.text;
}

describe('every command typed gets its answer', () => {
  test('help, clusters, status, snapshots, backup', async () => {
    const w = await world();
    expect(await ask(w, 'noor', '/etcd')).toContain('`/etcd backup &lt;cluster&gt;`');
    expect(await ask(w, 'noor', '/etcd help')).toContain('🔒 operators only');
    expect(await ask(w, 'ada', '/etcd help')).not.toContain('operators only');
    expect(await ask(w, 'noor', '/etcd clusters')).toContain('*staging* · never backed up');
    expect(await ask(w, 'noor', '/etcd status prod-eu')).toContain('*prod-eu* · healthy · 3 members');
    expect(await ask(w, 'noor', '/etcd status')).toContain('*2 clusters*');
    expect(await ask(w, 'noor', '/etcd snapshots prod-eu')).toContain('*prod-eu* · 1 snapshot');
    expect(await ask(w, 'ada', '/etcd backup prod-eu')).toContain('is queued');
    expect(w.queue.jobs).toMatchObject([
      { job: { cluster: 'prod-eu', origin: { channel: 'C0GENERAL3', user: 'U0ADA00001' } } },
    ]);
    const shown = await w.workspace.waitForMessage('general', (m) => m.ephemeralFor === undefined);
    expect(shown.text).toContain('*prod-eu* · backup · queued');
  });

  test('a typo, a wrong person, a guest, a second request', async () => {
    const w = await world();
    expect(await ask(w, 'ada', '/etcd bakcup prod-eu')).toContain('Did you mean: /etcd backup prod-eu');
    expect(await ask(w, 'ada', '/etcd backup prod-ue')).toContain('/etcd backup prod-eu');
    expect(await ask(w, 'ada', '/etcd backup')).toContain('Type: /etcd backup &lt;cluster&gt;');
    expect(await ask(w, 'noor', '/etcd backup prod-eu')).toContain('You may not use');
    expect(await ask(w, 'gus', '/etcd backup prod-eu')).toContain('guests');
    expect(await ask(w, 'gus', '/etcd clusters')).toContain('guests');
    expect(w.queue.jobs).toEqual([]);
    await ask(w, 'ada', '/etcd backup prod-eu');
    expect(await ask(w, 'ada', '/etcd backup prod-eu')).toMatch(/is busy.*queued since.*asked by <@U0ADA00001>/);
    expect(w.queue.jobs).toHaveLength(1);
  });

  test('who has left the group a moment ago may no more', async () => {
    const users = ['U0ADA00001'];
    const w = await world({ workspace: { groups: [{ id: 'S0ADMINS01', handle: 'a', name: 'a', users }] } });
    await ask(w, 'ada', '/etcd backup prod-eu');
    users.pop();
    expect(await ask(w, 'ada', '/etcd backup staging')).toContain('You may not use');
  });

  test('an error nobody foresaw shows a log id, and its text only in the log', async () => {
    const logged: object[] = [];
    const log = { ...silentLog, error: (fields: object) => logged.push(fields) };
    const calendar = {
      ...sixHourly,
      next: () => {
        throw new TypeError('the secret detail');
      },
    };
    const answer = await ask(await world({ deps: { calendar }, chat: { log } }), 'noor', '/etcd clusters');
    expect(answer).toMatch(/Internal error.*\n.*Look for "[0-9a-f]{8}"/);
    expect(answer).not.toContain('secret detail');
    expect(logged).toHaveLength(1);
  });
});

describe('one message a backup', () => {
  test('is edited from queued to stored where it was asked for', async () => {
    const w = await world();
    await w.publish(events.queued);
    await w.workspace.waitForMessage('general', (m) => m.text.includes('queued'));
    await w.publish(events.started);
    await w.workspace.waitForMessage('general', (m) => m.text.includes('running'));
    await w.publish(events.stored);
    await w.workspace.waitForMessage('general', (m) => m.text.includes('✅'));
    expect(w.workspace.messages('general')).toHaveLength(1);
  });

  test('asked for where the bot is not: stands in the results channel and tells who asked', async () => {
    const w = await world();
    await ask(w, 'ada', '/etcd backup prod-eu', 'secret');
    const message = await w.workspace.waitForMessage('etcd-backups', () => true);
    expect(message.text).toContain("<@U0ADA00001>: I can't post in");
  });

  test('that failed calls the people on call, and its button starts one new backup', async () => {
    const w = await world();
    await w.publish(events.failed);
    const alarm = await w.workspace.waitForMessage('etcd-alerts', () => true);
    expect(alarm.text).toContain('<!subteam^S0ONCALL02>');
    const failed = await w.workspace.waitForMessage('general', (m) => m.text.includes('failed'));
    const at = { channel: 'C0GENERAL3', ts: failed.ts };

    expect(await w.workspace.click('noor', at, 'backup.retry')).toMatchObject({ ok: true });
    const refusal = await w.workspace.waitForMessage('general', (m) => m.ephemeralFor === 'U0NOOR0004');
    expect(refusal.text).toContain('You may not use');
    expect(w.queue.jobs).toEqual([]);

    await Promise.all([w.workspace.click('ada', at, 'backup.retry'), w.workspace.click('ada', at, 'backup.retry')]);
    await w.workspace.waitForMessage('general', (m) => m.text.includes('nothing more is started'));
    expect(w.queue.jobs.map((j) => j.job.id)).toEqual([retriedBackupId(events.failed.operation)]);
    const edited = await w.workspace.waitForMessage('general', (m) =>
      JSON.stringify(m.blocks).includes('Asked for again by'),
    );
    expect(edited.ts).toBe(failed.ts);
    expect(JSON.stringify(edited.blocks)).not.toContain('backup.retry');
  });
});

describe('pages', () => {
  test('of many clusters are turned in place', async () => {
    const clusters = Array.from({ length: 45 }, (_, i) => spec(`c${String(i).padStart(2, '0')}`));
    const w = await world({ deps: { clusters } });
    await ask(w, 'noor', '/etcd clusters');
    const list = w.workspace.messages('general').at(-1);
    const at = { channel: 'C0GENERAL3', ts: list?.ts ?? '' };
    await w.workspace.click('noor', at, 'clusters.next');
    await w.workspace.waitForMessage('general', (m) => JSON.stringify(m.blocks).includes('Page 2 of 3'));
    await w.workspace.click('noor', at, 'clusters.next');
    await w.workspace.waitForMessage('general', (m) => JSON.stringify(m.blocks).includes('Page 3 of 3'));
    await w.workspace.click('noor', at, 'clusters.previous');
    await w.workspace.waitForMessage('general', (m) => JSON.stringify(m.blocks).includes('Page 2 of 3'));
    expect(w.workspace.messages('general')).toHaveLength(1);
  });

  test('of many snapshots too', async () => {
    const many = Array.from({ length: 25 }, (_, i) => stored({ id: `20261121T060000Z-${i}` }));
    const w = await world({ deps: { catalogue: catalogueOf(many) } });
    await ask(w, 'noor', '/etcd snapshots prod-eu');
    const at = { channel: 'C0GENERAL3', ts: w.workspace.messages('general').at(-1)?.ts ?? '' };
    await w.workspace.click('noor', at, 'snapshots.next');
    await w.workspace.waitForMessage('general', (m) => JSON.stringify(m.blocks).includes('20261121T060000Z-19'));
  });
});

test('Home shows the clusters to members, and to guests that it is not for them', async () => {
  const { workspace } = await world();
  const home = async (user: string): Promise<string> => {
    workspace.openHome(user);
    for (let i = 0; i < 100 && workspace.home(user) === undefined; i += 1) await wait(20);
    return JSON.stringify(workspace.home(user));
  };
  expect(await home('noor')).toContain('*staging* · never backed up');
  expect(await home('gus')).toContain('guests');
});

describe('Slack away', () => {
  test.each(['refused', 'unavailable'] as const)(
    '%s for five seconds: everything is delivered afterwards, once and in order',
    async (kind) => {
      const w = await world();
      await w.publish(events.queued);
      await w.workspace.waitForMessage('general', (m) => m.text.includes('queued'));
      const outage = await w.workspace.outage(kind);
      const scheduled = (n: number): KeyturnEvent => ({
        ...events.stored,
        operation: `backup-prod-eu-${n}`,
        record: record({ id: `20261121T06000${n}Z-1` }),
      });
      await w.publish(events.started);
      for (let n = 1; n <= 4; n += 1) await w.publish(scheduled(n));
      await w.publish(events.stored);
      await wait(5000);
      await outage.end();
      await w.workspace.waitForMessage(
        'etcd-backups',
        (m) => JSON.stringify(m.blocks).includes('20261121T060004Z-1'),
        30_000,
      );
      await w.workspace.waitForMessage('general', (m) => m.text.includes('✅'), 30_000);
      expect(w.workspace.messages('general')).toHaveLength(1);
      const ids = w.workspace
        .messages('etcd-backups')
        .map((m) => /20261121T06000\dZ-1/.exec(JSON.stringify(m.blocks))?.[0]);
      expect(ids).toEqual([1, 2, 3, 4].map((n) => `20261121T06000${n}Z-1`));
      await w.workspace.waitForConnections(2, 30_000);
      expect(await ask(w, 'noor', '/etcd help')).toContain('/etcd status');
      expect(w.dead).toEqual([]);
    },
    60_000,
  );

  test('a command typed just before is answered just after', async () => {
    const slow = fakeCatalogue(() => wait(300).then(() => ({ snapshots: [stored()], problems: [] })));
    const w = await world({ deps: { catalogue: slow } });
    await w.workspace.runCommand('noor', 'general', '/etcd snapshots prod-eu');
    const outage = await w.workspace.outage('unavailable');
    await wait(2000);
    await outage.end();
    await w.workspace.waitForMessage('general', (m) => m.text.includes('1 snapshot'), 10_000);
  }, 30_000);

  test('a 429 is waited out as long as Slack says', async () => {
    const w = await world();
    w.workspace.rateLimit(1);
    await w.publish(events.queued);
    await w.workspace.waitForMessage('general', (m) => m.text.includes('queued'), 10_000);
    expect(w.workspace.messages('general')).toHaveLength(1);
  }, 30_000);

  test('for too long: the watchdog calls', async () => {
    const w = await world({ chat: { deadAfterMs: 1000 } });
    const outage = await w.workspace.outage('refused');
    for (let i = 0; i < 100 && w.dead.length === 0; i += 1) await wait(50);
    await outage.end();
    expect(w.dead).toEqual(['no connection to Slack for 1 s']);
  }, 30_000);

  test('at the start: it comes up by itself when Slack is back', async () => {
    const w = await world();
    await w.chat.stop();
    const outage = await w.workspace.outage('unavailable');
    const second = world({ workspace: {}, chat: { apiUrl: w.workspace.apiUrl } });
    await wait(1500);
    await outage.end();
    await second;
    await w.workspace.waitForConnections(2, 30_000);
  }, 60_000);
});

test('a refresh of the connections loses no command', async () => {
  const w = await world();
  await w.workspace.waitForConnections(2);
  w.workspace.disconnectSockets('warning');
  await w.workspace.waitForConnections(2);
  await wait(300);
  await w.workspace.waitForConnections(2);
  expect(await ask(w, 'noor', '/etcd help')).toContain('/etcd status');
});

test('200 commands are all acked before they are answered, and each is answered once', async () => {
  const slow = fakeCatalogue(() => wait(500).then(() => ({ snapshots: [], problems: [] })));
  const w = await world({ deps: { catalogue: slow } });
  await w.workspace.waitForConnections(2);
  const ms: number[] = [];
  for (let wave = 0; wave < 20; wave += 1) {
    const texts = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? '/etcd snapshots prod-eu' : '/etcd help'));
    const results = await Promise.all(texts.map((text) => w.workspace.runCommand('noor', 'general', text)));
    ms.push(...results.map((r) => r.ackMs ?? Infinity));
  }
  // In time by Slack's own rule; how fast it is, is for the benchmark `acks`.
  expect(ms.filter((each) => each === Infinity)).toEqual([]);
  for (let i = 0; i < 200 && w.workspace.messages('general').length < 200; i += 1) await wait(50);
  expect(w.workspace.messages('general')).toHaveLength(200);
}, 30_000);

describe('tokens that Slack refuses', () => {
  test.each([
    ['the bot token', { botToken: 'xoxb-wrong' }],
    ['the app token', { transport: { mode: 'socket', appToken: 'xapp-wrong' } }],
  ] as const)('%s: the start fails with what to do', async (_, chat) => {
    await expect(world({ chat })).rejects.toMatchObject({ code: 'slack.refused' });
  });
});

describe('HTTP mode', () => {
  test('commands and clicks come as signed posts', async () => {
    const port = await freePort();
    const w = await world({
      workspace: {
        mode: 'http',
        requestUrl: `http://127.0.0.1:${port}/slack/events`,
        tokens: { signingSecret: 's3cret' },
      },
      chat: { transport: { mode: 'http', signingSecret: 's3cret', port } },
    });
    expect(w.chat.port).toBe(port);
    expect(await ask(w, 'ada', '/etcd backup prod-eu')).toContain('is queued');
  });

  test('what is not signed by Slack is refused', async () => {
    const port = await freePort();
    const w = await world({
      workspace: {
        mode: 'http',
        requestUrl: `http://127.0.0.1:${port}/slack/events`,
        tokens: { signingSecret: 'other' },
      },
      chat: { transport: { mode: 'http', signingSecret: 's3cret', port } },
    });
    expect(await w.workspace.runCommand('ada', 'general', '/etcd backup prod-eu')).toMatchObject({ ok: false });
    expect(w.queue.jobs).toEqual([]);
  });
});

test('a stop ends the connections', async () => {
  const w = await world();
  await w.workspace.waitForConnections(2);
  await w.chat.stop();
  for (let i = 0; i < 50 && w.workspace.connections() > 0; i += 1) await wait(20);
  expect(w.workspace.connections()).toBe(0);
});
