/** A restore in the local workspace, from the typed command to the buttons and messages: real chat and commands, fake nodes. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { appFromManifest } from '../../deploy/local/workspace/manifest.ts';
import { startWorkspace } from '../../deploy/local/workspace/server.ts';
import type { Workspace } from '../../deploy/local/workspace/server.ts';
import type { Message } from '../../deploy/local/workspace/state.ts';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { snapshotOption } from '../../src/chat/views/restore-form.ts';
import { announcer } from '../../src/chat/announcer.ts';
import { slackClient, startChat } from '../../src/chat/app.ts';
import { peopleDirectory } from '../../src/chat/people.ts';
import type { RestoreCommandDeps } from '../../src/commands/deps.ts';
import { buildCommands } from '../../src/commands/index.ts';
import type { RetentionCommandDeps } from '../../src/commands/show-retention.ts';
import type { RestoreEvent } from '../../src/domain/event.ts';
import type { ApprovalPolicy } from '../../src/domain/restore-policy.ts';
import { progress, start } from '../../src/domain/restore-execution.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { manifestKey, serialiseManifest } from '../../src/domain/snapshot.ts';
import { announceRequest } from '../../src/restore/announce.ts';
import { nodeFacts } from '../domain/restore-facts.ts';
import { fakeEtcd } from '../fakes/etcd-client.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { memoryStore } from '../fakes/memory-store.ts';
import { fakeOutbox } from '../fakes/outbox.ts';
import { fakeRestoreRequests } from '../fakes/restore-requests.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { fakeCodes, fakeStepUpRecords } from '../fakes/step-up.ts';
import { done, policy, somebody } from '../support/requests.ts';
import { restoreParts, restoreWorld } from '../support/restore-world.ts';
import { nodeSpec, restorePolicy } from '../support/specs.ts';
import { begun, ended, fetched, report } from './restore-samples.ts';
import { catalogueOf, record, silentLog, spec, stored } from './samples.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const manifest = appFromManifest(parse(readFileSync('deploy/slack-manifest.yaml', 'utf8')));
const [ADA, GRACE, LINUS, NOOR] = ['U0ADA00001', 'U0GRACE002', 'U0LINUS003', 'U0NOOR0004'] as const;
const APPROVERS = 'S0ADMINS01';
const NODES = ['cp1', 'cp2', 'cp3'];

async function world(approvals: Partial<ApprovalPolicy> = {}, change: Partial<RestoreCommandDeps> = {}) {
  const workspace = await startWorkspace({ ...manifest });
  cleanups.push(() => workspace.close());
  const clock = systemClock;
  const sentMessages = fakeSentMessages();
  const outbox = fakeOutbox(clock);
  const queue = fakeJobQueue(clock);
  const requests = fakeRestoreRequests();
  const codes = fakeCodes();
  const publish = announcer({ sentMessages, outbox, clock, progressEveryMs: 300 });
  const announce = (request: RestoreRequest) => announceRequest({ publish, queue }, request);
  const people = { request: [APPROVERS], approve: [APPROVERS], operate: [NOOR] };
  const secrets = { botToken: workspace.tokens.bot, apiUrl: workspace.apiUrl };
  const slack = slackClient({ ...secrets, log: silentLog }, 1);
  const restore = restorePolicy({ approvals: { ...policy({ groups: [APPROVERS] }), ...approvals } });
  const deps: RestoreCommandDeps & RetentionCommandDeps = {
    ...restoreWorld().deps,
    ...restoreParts(),
    clusters: ['prod-eu', 'staging'].map((name) => ({ ...spec(name), nodes: NODES.map((n) => nodeSpec(n)), restore })),
    people,
    etcd: fakeEtcd({
      members: NODES.map((node, i) => ({ name: node, node, isLeader: i === 1 })),
      facts: { nodes: NODES.map((_, i) => nodeFacts(i + 1)), missing: [] },
      revision: 89_447n,
    }),
    catalogue: catalogueOf([
      stored(),
      stored({ id: '20261121T000000Z-16', takenAt: '2026-11-21T00:00:00.000Z' }),
      stored({ id: '20261120T000000Z-3', cluster: 'staging', takenAt: '2026-11-20T00:00:00.000Z' }),
    ]),
    directory: peopleDirectory({ slack, clock, log: silentLog }),
    stepUp: { records: fakeStepUpRecords(), codes },
    queue,
    requests,
    clock,
    publish,
    announce,
    ...change,
  };
  const chat = await startChat({
    ...secrets,
    transport: { mode: 'socket', appToken: workspace.tokens.app },
    command: '/etcd',
    channels: { results: 'C0BACKUPS1', alerts: 'C0ALERTS02' },
    oncall: 'S0ONCALL02',
    people,
    commands: buildCommands(deps),
    sentMessages,
    outbox,
    clock,
    log: silentLog,
    onDead: () => undefined,
  });
  cleanups.push(() => chat.stop());
  await workspace.waitForConnections(2);
  return { workspace, requests, queue, publish, announce, codes, deps };
}

type World = Awaited<ReturnType<typeof world>>;

function dialogText(workspace: Workspace, user: string): string {
  return JSON.stringify(workspace.views(user).map(({ view }) => view));
}

async function dialog({ workspace }: World, user: string, text: string | RegExp): Promise<string> {
  await expect.poll(() => dialogText(workspace, user), { timeout: 5000 }).toMatch(text);
  return workspace.views(user).at(-1)?.id ?? '';
}

/** Any text with this in it. */
const said = (part: string): unknown => expect.stringContaining(part);
const typed = (name: string, value: string) => ({ [name]: { [name]: { value } } });

/** Asks as ada in #general, and gives back the request's own message. */
async function ask(w: World, values: object = {}): Promise<Message> {
  await w.workspace.runCommand('ada', 'general', '/etcd restore prod-eu');
  const id = await dialog(w, 'ada', 'Make the plan');
  const all = { ...typed('reason', 'The namespace shop was deleted'), ...values };
  expect(await w.workspace.submit('ada', id, all)).toMatchObject({ ok: true });
  const message = await w.workspace.waitForMessage('general', (m) => m.text.includes('asks to put *prod-eu* back'));
  await dialog(w, 'ada', 'Asked: the restore of');
  return message;
}

async function click(w: World, user: string, message: Message, action: string): Promise<void> {
  expect(await w.workspace.click(user, { channel: 'C0GENERAL3', ts: message.ts }, action)).toMatchObject({ ok: true });
}

function ephemeral(w: World, user: string, text: string | RegExp): Promise<Message> {
  return w.workspace.waitForMessage('general', (m) => m.ephemeralFor === user && new RegExp(text).test(m.text));
}

async function only(w: World): Promise<RestoreRequest> {
  const [request] = await w.requests.byCluster('prod-eu', 1);
  if (request === undefined) throw new Error('no request');
  return request;
}

describe('asked for, approved, carried out', () => {
  test('the whole way: form, two approvals, progress in message and thread, the end to all who had a part', async () => {
    const w = await world();
    const message = await ask(w);
    expect(message.text).toContain(`<!subteam^${APPROVERS}>`);
    const own = { channel: 'C0GENERAL3', ts: message.ts };

    await click(w, 'ada', message, 'restore.approve');
    await ephemeral(w, ADA, 'does not count: you asked for this restore yourself');
    await click(w, 'grace', message, 'restore.approve');
    await ephemeral(w, GRACE, 'Your approval counts: 1 of 2');
    await w.workspace.waitForMessage('general', (m) => m.ts === own.ts && m.text.includes('Approvals, 1 of 2'));
    await click(w, 'grace', message, 'restore.approve');
    await ephemeral(w, GRACE, 'people are counted, not clicks');
    await click(w, 'linus', message, 'restore.approve');
    await ephemeral(w, LINUS, 'starts in a moment');
    await w.workspace.waitForMessage('general', (m) => m.ts === own.ts && m.text.includes('approved, about to start'));
    expect(w.queue.jobs).toMatchObject([{ job: { kind: 'restore', cluster: 'prod-eu' } }]);

    const approved = await only(w);
    const grace = somebody(GRACE, { groups: [APPROVERS] });
    const linus = somebody(LINUS, { groups: [APPROVERS] });
    const began = start(approved, { plan: approved.plan, people: [grace, linus], now: new Date() });
    if (began.kind !== 'ok') throw new Error(began.kind);
    const keep = async (next: RestoreRequest): Promise<void> => {
      expect(await w.requests.compareAndSet(next)).toBe(true);
      await w.announce(next);
    };
    const tell = (event: RestoreEvent): Promise<void> => w.publish({ ...event, operation: approved.id });
    await keep(began.request);
    for (const node of NODES) await tell(begun(`fetch.${node}`, 1));
    await tell(fetched('cp1', 2, 198_000_000));
    await tell(ended('fetch.cp2', 3));
    await w.workspace.waitForMessage(
      'general',
      (m) => m.ts === own.ts && JSON.stringify(m.blocks).includes('done: cp2'),
    );
    const steps = await w.workspace.waitForMessage(
      'general',
      (m) => m.threadTs === own.ts && m.text.includes('every step'),
    );
    await w.workspace.waitForMessage('general', (m) => m.ts === steps.ts && m.text.includes('cp2 · done'));

    await w.publish({
      type: 'restore.ended',
      at: new Date().toISOString(),
      operation: approved.id,
      cluster: 'prod-eu',
      report: report(),
    });
    await keep(done(progress(began.request, 'succeed', new Date())));
    await w.workspace.waitForMessage('general', (m) => m.ts === own.ts && m.text.includes('downtime *42 s*'));
    await w.workspace.waitForMessage('general', (m) => m.threadTs === own.ts && m.text.includes('restored'));
    for (const id of [ADA, GRACE, LINUS]) {
      await w.workspace.waitForMessage(id, (m) => m.text.includes('restored'), 10_000);
      expect(w.workspace.messages(id)).toHaveLength(1);
    }
    expect(w.workspace.messages('general').filter((m) => m.ephemeralFor === undefined)).toHaveLength(3);
    await click(w, 'linus', message, 'restore.plan');
    await dialog(w, 'linus', approved.digest);
  }, 40_000);

  test('an old button answers with how it stands', async () => {
    const w = await world();
    const message = await ask(w);
    const before = structuredClone(message);
    await click(w, 'grace', message, 'restore.deny');
    const form = await dialog(w, 'grace', 'One deny ends the request');
    expect(await w.workspace.submit('grace', form, typed('reason', ''))).toMatchObject({ ok: false });
    expect(await w.workspace.submit('grace', form, typed('reason', 'Not now'))).toMatchObject({ ok: true });
    expect(w.workspace.views('grace')).toEqual([]);
    const denied = await w.workspace.waitForMessage(
      'general',
      (m) => m.ts === before.ts && m.text.includes('denied by'),
    );
    expect(JSON.stringify(denied.blocks)).not.toContain('restore.approve');
    denied.blocks = before.blocks; // as somebody sees it who has not heard of the change yet
    await click(w, 'linus', before, 'restore.approve');
    await ephemeral(w, LINUS, 'This request was denied[^]*denied by <@U0GRACE002>');
    expect((await only(w)).state).toBe('denied');
  });

  test('who may not ask is told so in the dialog, with whom to ask', async () => {
    const w = await world();
    await w.workspace.runCommand('noor', 'general', '/etcd restore prod-eu');
    await dialog(w, 'noor', /You may not use .*restore.*Who may: <!subteam\^S0ADMINS01>/);
  });

  test('a second request for the cluster is not made, and the open one is shown', async () => {
    const w = await world();
    await ask(w);
    await w.workspace.runCommand('linus', 'general', '/etcd restore prod-eu');
    await dialog(w, 'linus', /open restore request.*waits for approvals/);
  });

  test('asked for in private it stands in the results channel, where approvers see it', async () => {
    const w = await world();
    await w.workspace.runCommand('ada', ADA, '/etcd restore prod-eu');
    const id = await dialog(w, 'ada', 'Make the plan');
    await w.workspace.submit('ada', id, typed('reason', 'why'));
    await w.workspace.waitForMessage('etcd-backups', (m) => m.text.includes('asks to put *prod-eu* back'));
    await dialog(w, 'ada', '<#C0BACKUPS1>');
  });

  test('a plan that can not be made is told in the dialog; who closed it is told in private', async () => {
    const w = await world();
    for (const close of [false, true]) {
      await w.workspace.runCommand('ada', 'general', '/etcd restore staging');
      const id = await dialog(w, 'ada', 'Make the plan');
      // The snapshot chosen is gone when it is looked for.
      const gone = {
        snapshot: { snapshot: { selected_option: { text: { type: 'plain_text', text: 'x' }, value: 'gone|' } } },
      };
      const sent = w.workspace.submit('ada', id, { ...typed('reason', 'why'), ...gone });
      if (close) w.workspace.closeView('ada', id);
      await sent;
      if (!close) await dialog(w, 'ada', 'There is no snapshot gone of staging');
    }
    await w.workspace.waitForMessage(ADA, (m) => m.text.includes('There is no snapshot gone of staging'));
  });
});

describe('the form', () => {
  test('begins with the newest snapshot, and its search finds those of other clusters too', async () => {
    const w = await world();
    await w.workspace.runCommand('ada', 'general', '/etcd restore prod-eu');
    const id = await dialog(w, 'ada', /"initial_option":\{[^}]*\{[^}]*2026-11-21 06:00Z/);
    const offered = async (query: string): Promise<string[]> => {
      const found = await w.workspace.suggest('ada', id, { blockId: 'snapshot', actionId: 'snapshot' }, query);
      const options = found.ok ? (found.answer['options'] as { description: { text: string } }[]) : [];
      return options.map(({ description }) => description.text);
    };
    expect(await offered('')).toEqual([
      '20261121T060000Z-17 · 10,233 keys · verified',
      '20261121T000000Z-16 · 10,233 keys · verified',
      '⚠️ of cluster staging',
    ]);
    expect(await offered('staging')).toEqual(['⚠️ of cluster staging']);
    expect(await offered('nothing like it')).toEqual([]);
  });

  test('a snapshot of another cluster has to be confirmed by its name', async () => {
    const w = await world();
    await w.workspace.runCommand('ada', 'general', '/etcd restore prod-eu');
    const id = await dialog(w, 'ada', 'Make the plan');
    const foreign = stored({ id: '20261120T000000Z-3', cluster: 'staging' }).record;
    const option = snapshotOption(foreign, 'prod-eu', new Date());
    const chosen = { snapshot: { snapshot: { selected_option: option as unknown as Record<string, unknown> } } };
    await w.workspace.clickInView('ada', id, 'snapshot', { selected_option: option });
    await dialog(w, 'ada', /Type its name to confirm.*of cluster staging/);
    const send = (name: string) =>
      w.workspace.submit('ada', id, { ...chosen, ...typed('confirm', name), ...typed('reason', 'why') });
    expect(await send('prod-eu')).toMatchObject({ ok: false, errors: { confirm: said('Type the name') } });
    expect(await send('staging')).toMatchObject({ ok: true });
    await w.workspace.waitForMessage('general', (m) => m.text.includes('asks to put *prod-eu* back'));
    expect((await only(w)).plan.snapshot.cluster).toBe('staging');
  });

  test('has break-glass only where it is configured, and then everyone is told', async () => {
    const plain = await world();
    await plain.workspace.runCommand('ada', 'general', '/etcd restore prod-eu');
    await dialog(plain, 'ada', 'Make the plan');
    expect(dialogText(plain.workspace, 'ada')).not.toContain('Break the glass');

    const w = await world({ breakGlass: { threshold: 1 } });
    const yes = {
      'break-glass': {
        'break-glass': { selected_options: [{ text: { type: 'plain_text', text: 'x' }, value: 'yes' }] },
      },
    };
    const message = await ask(w, yes);
    expect(JSON.stringify(message.blocks)).toContain('BREAK-GLASS');
    const alarm = await w.workspace.waitForMessage('etcd-alerts', (m) => m.text.includes('BREAK-GLASS'));
    expect(alarm.text).toContain('<!subteam^S0ONCALL02>');
    expect((await only(w)).threshold).toBe(1);
  });
});

describe('one-time codes', () => {
  async function enrol(w: World, user: string): Promise<string> {
    await w.workspace.runCommand(user, 'general', '/etcd enrol');
    const id = await dialog(w, user, 'First code');
    const secret = /secret=(SECRET\d+)/.exec(dialogText(w.workspace, user))?.[1] ?? '';
    const first = typed('code', w.codes.codeAt(secret, new Date()));
    expect(await w.workspace.submit(user, id, typed('code', '12'))).toMatchObject({
      ok: false,
      errors: { code: said('wrong') },
    });
    expect(await w.workspace.submit(user, id, first)).toMatchObject({ ok: true });
    await dialog(w, user, 'From now on');
    return secret;
  }

  test('an approval wants one, wrong ones are told in the field, right ones count', async () => {
    const w = await world({ stepUp: 'totp', threshold: 1 });
    const secret = await enrol(w, 'grace');
    const message = await ask(w);
    await click(w, 'grace', message, 'restore.approve');
    const id = await dialog(w, 'grace', 'You approve plan');
    expect(await w.workspace.submit('grace', id, typed('code', '000000'))).toMatchObject({
      ok: false,
      errors: { code: said('wrong') },
    });
    // The code of enrolling is used up; the next one counts already.
    const next = w.codes.codeAt(secret, new Date(Date.now() + 30_000));
    expect(await w.workspace.submit('grace', id, typed('code', next))).toMatchObject({ ok: true });
    await dialog(w, 'grace', 'Your approval counts');
    expect((await only(w)).state).toBe('approved');
  });

  test('who has none yet is told to enrol', async () => {
    const w = await world({ stepUp: 'totp' });
    const message = await ask(w);
    await click(w, 'linus', message, 'restore.approve');
    const id = await dialog(w, 'linus', 'You approve plan');
    expect(await w.workspace.submit('linus', id, typed('code', '123456'))).toMatchObject({
      ok: false,
      errors: { code: said('Enrol first') },
    });
  });

  test('to enrol anew another approver has to agree with a code', async () => {
    const w = await world({ stepUp: 'totp' });
    const secret = await enrol(w, 'linus');
    await enrol(w, 'grace');
    await w.workspace.runCommand('grace', 'general', '/etcd enrol');
    const id = await dialog(w, 'grace', 'Ask to enrol anew');
    await w.workspace.clickInView('grace', id, 'enrol.anew');
    await dialog(w, 'grace', 'another approver has agreed');
    const call = await w.workspace.waitForMessage('etcd-backups', (m) => m.text.includes('asks to enrol anew'));
    const at = { channel: 'C0BACKUPS1', ts: call.ts };
    await w.workspace.click('linus', at, 'enrol.agree');
    const form = await dialog(w, 'linus', 'Your own one-time code');
    const code = w.codes.codeAt(secret, new Date(Date.now() + 30_000));
    expect(await w.workspace.submit('linus', form, typed('code', code))).toMatchObject({ ok: true });
    await w.workspace.waitForMessage('etcd-backups', (m) => m.text.includes('<@U0LINUS003> agreed'));
    await w.workspace.runCommand('grace', 'general', '/etcd enrol');
    await dialog(w, 'grace', 'First code');
  });
});

describe('lists and files', () => {
  test('approvals: what waits for whom, with buttons that work there', async () => {
    const w = await world();
    await ask(w);
    await w.workspace.runCommand('grace', 'general', '/etcd approvals');
    const list = await ephemeral(w, GRACE, '1 restore is open');
    expect(JSON.stringify(list.blocks)).toContain('it waits for your review');
    await click(w, 'grace', list, 'restore.approve');
    await ephemeral(w, GRACE, 'Your approval counts: 1 of 2');
  });

  test('a runbook comes as a file in private', async () => {
    const w = await world();
    await w.workspace.runCommand('noor', 'general', '/etcd runbook prod-eu');
    await ephemeral(w, NOOR, 'is in our private conversation');
    const given = await w.workspace.waitForMessage(NOOR, (m) => (m.files ?? []).length === 1);
    expect(given.files?.[0]?.name).toBe('restore-prod-eu-20261121T060000Z-17.md');
  });

  test('an audit of nothing says so in its dialog', async () => {
    const w = await world();
    await w.workspace.runCommand('noor', 'general', '/etcd audit r1');
    await dialog(w, 'noor', 'There is no restore');
  });

  test('the plan has every command, page by page', async () => {
    const w = await world();
    const message = await ask(w);
    await click(w, 'grace', message, 'restore.plan');
    const id = await dialog(w, 'grace', 'Page 1 of');
    await w.workspace.clickInView('grace', id, 'pages.next');
    await dialog(w, 'grace', 'Page 2 of');
    expect(dialogText(w.workspace, 'grace')).toContain('Check every node');
    await w.workspace.clickInView('grace', id, 'pages.previous');
    await dialog(w, 'grace', 'Page 1 of');
  });
});

describe('stored snapshots', () => {
  const id = '20261121T060000Z-17';
  const hold = `prod-eu/${id}.hold.json`;
  async function storedWorld() {
    const stores = [memoryStore('ceph'), memoryStore('offsite')];
    const made = record({ object: { ...record().object, size: 3 } });
    for (const store of stores) {
      await store.put(made.object.key, Buffer.from('abc'));
      await store.put(manifestKey('prod-eu', id), Buffer.from(serialiseManifest(made)));
    }
    const byName = new Map(stores.map((store) => [store.name, store]));
    const w = await world({}, { stores: byName, catalogue: catalogue(stores, () => ['ceph', 'offsite']) });
    const held = (): number => stores.filter(({ objects }) => objects.has(hold)).length;
    return { ...w, held };
  }

  test('from the list to the details, held there with a reason and an end, told in the results channel, and released', async () => {
    const w = await storedWorld();
    await w.workspace.runCommand('noor', 'general', '/etcd snapshots prod-eu 2026-11');
    const list = await ephemeral(w, NOOR, '1 of 1 snapshot');
    await click(w, 'noor', list, 'snapshot.details');
    const details = await dialog(w, 'noor', 'sha256');
    await w.workspace.clickInView('noor', details, 'snapshot.hold');
    const form = await dialog(w, 'noor', 'Retention leaves');
    const bad = { ...typed('reason', 'before the upgrade'), ...typed('end', 'soon') };
    expect(JSON.stringify(await w.workspace.submit('noor', form, bad))).toContain('no end of a hold');
    const good = { ...typed('reason', 'before the upgrade'), ...typed('end', '30d') };
    expect(await w.workspace.submit('noor', form, good)).toMatchObject({ ok: true });
    await dialog(w, 'noor', 'is held until');
    expect(w.held()).toBe(2);
    await w.workspace.waitForMessage('etcd-backups', (m) => m.text.includes('before the upgrade'));

    await w.workspace.runCommand('noor', 'general', `/etcd snapshots prod-eu ${id}`);
    const again = await dialog(w, 'noor', 'Change the hold');
    await w.workspace.clickInView('noor', again, 'snapshot.release');
    await dialog(w, 'noor', 'is released');
    expect(w.held()).toBe(0);
    await w.workspace.waitForMessage('etcd-backups', (m) => m.text.includes('was released by'));
  });

  test('held and released by typed words; without a reason a dialog asks for it', async () => {
    const w = await storedWorld();
    await w.workspace.runCommand('noor', 'general', `/etcd hold ${id} until 2099-12-31 the auditors ask`);
    await ephemeral(w, NOOR, 'is held until');
    expect(w.held()).toBe(2);
    await w.workspace.runCommand('noor', 'general', `/etcd release prod-eu ${id}`);
    await ephemeral(w, NOOR, 'is released');
    expect(w.held()).toBe(0);
    await w.workspace.runCommand('noor', 'general', `/etcd hold prod-eu ${id}`);
    await dialog(w, 'noor', 'Retention leaves');
  });

  test('verified from the details: one job, of which the dialog tells, and the message where it was asked', async () => {
    const w = await storedWorld();
    const verifications = () => w.queue.jobs.filter(({ job }) => job.kind === 'verify');
    await w.workspace.runCommand('noor', 'general', `/etcd snapshots prod-eu ${id}`);
    const details = await dialog(w, 'noor', 'sha256');
    await w.workspace.clickInView('noor', details, 'snapshot.verify');
    await dialog(w, 'noor', 'will be read');
    expect(verifications()).toMatchObject([{ job: { cluster: 'prod-eu', snapshot: id, origin: { user: NOOR } } }]);
    await w.workspace.waitForMessage('general', (m) => m.text.includes(id));
  });

  test('others may look, and ask for a restore from there, but not hold', async () => {
    const w = await storedWorld();
    await w.workspace.runCommand('ada', 'general', `/etcd hold prod-eu ${id} because`);
    await ephemeral(w, ADA, 'You may not use');
    expect(w.held()).toBe(0);
    await w.workspace.runCommand('ada', 'general', `/etcd snapshots prod-eu ${id}`);
    const details = await dialog(w, 'ada', 'sha256');
    expect(dialogText(w.workspace, 'ada')).not.toContain('Hold…');
    expect(dialogText(w.workspace, 'ada')).not.toContain('Verify');
    await w.workspace.clickInView('ada', details, 'snapshot.restore');
    await dialog(w, 'ada', 'Make the plan');
    expect(dialogText(w.workspace, 'ada')).toContain(id);
  });

  test('a snapshot that is not there says so in its dialog', async () => {
    const w = await storedWorld();
    await w.workspace.runCommand('noor', 'general', '/etcd snapshots prod-eu 20200101T000000Z-1');
    await dialog(w, 'noor', 'There is no snapshot');
  });
});
