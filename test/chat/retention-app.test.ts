/** Retention in the local workspace: the typed command, its pages, the question and its buttons; real chat, commands and run. */
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { appFromManifest } from '../../deploy/local/workspace/manifest.ts';
import { startWorkspace } from '../../deploy/local/workspace/server.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { announcer } from '../../src/chat/announcer.ts';
import { slackClient, startChat } from '../../src/chat/app.ts';
import { peopleDirectory } from '../../src/chat/people.ts';
import { buildCommands } from '../../src/commands/index.ts';
import type { Job, RetentionJob } from '../../src/domain/job.ts';
import { runRetention } from '../../src/jobs/run-retention.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { fakeOutbox } from '../fakes/outbox.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { CLUSTER, JOB, idsOf, retentionWorld, whole } from '../jobs/retention-world.ts';
import { jobContext } from '../jobs/world.ts';
import { restoreWorld } from '../support/restore-world.ts';
import { silentLog } from './samples.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const manifest = appFromManifest(parse(readFileSync('deploy/slack-manifest.yaml', 'utf8')));
const [ADA, NOOR] = ['U0ADA00001', 'U0NOOR0004'] as const;
const NEWEST_5 = idsOf(0, 1, 2, 3, 4);

async function world() {
  const workspace = await startWorkspace({ ...manifest });
  cleanups.push(() => workspace.close());
  const clock = systemClock;
  const stored = await retentionWorld({ count: 40, clock });
  const sentMessages = fakeSentMessages();
  const outbox = fakeOutbox(clock);
  const queue = fakeJobQueue(clock);
  const publish = announcer({ sentMessages, outbox, clock });
  const people = { request: [], approve: [], operate: [ADA] as string[] };
  const secrets = { botToken: workspace.tokens.bot, apiUrl: workspace.apiUrl };
  const slack = slackClient({ ...secrets, log: silentLog }, 1);
  const jobDeps = { ...stored.deps, publish };
  const base = restoreWorld().deps;
  const commands = buildCommands({
    ...base,
    ...jobDeps,
    catalogue: { ...base.catalogue, ...stored.deps.catalogue },
    requests: { ...base.requests, ...stored.deps.requests },
    directory: peopleDirectory({ slack, clock, log: silentLog }),
    clusters: [stored.spec],
    people,
    queue,
    lease: stored.lease,
  });
  const chat = await startChat({
    ...secrets,
    transport: { mode: 'socket', appToken: workspace.tokens.app },
    command: '/etcd',
    channels: { results: 'C0BACKUPS1', alerts: 'C0ALERTS02' },
    oncall: undefined,
    people,
    commands,
    sentMessages,
    outbox,
    clock,
    log: silentLog,
    onDead: () => undefined,
  });
  cleanups.push(() => chat.stop());
  const alert = (text: string) => workspace.waitForMessage('etcd-alerts', (m) => m.text.includes(text));
  return {
    ...stored,
    workspace,
    people,
    alert,
    jobs: (): readonly Job[] => queue.jobs.map(({ job }) => job),
    run: (job: RetentionJob) => runRetention(job, jobContext(), jobDeps),
    /** What this person alone is told next. */
    async told(user: string, channel: string, text: string) {
      return workspace.waitForMessage(
        channel,
        (m) => m.ephemeralFor === user && JSON.stringify([m.text, m.blocks]).includes(text),
      );
    },
  };
}

test('a question is asked once, answered once, and its message says what came of it', async () => {
  const w = await world();
  await w.run(JOB);
  const question = await w.alert('may 35 of 40 snapshots go from `ceph`?');
  const at = { channel: 'C0ALERTS02', ts: question.ts };

  await w.workspace.click('noor', at, 'retention.remove');
  await w.told(NOOR, 'etcd-alerts', 'it is for operators only');
  expect(w.jobs()).toEqual([]);

  await w.workspace.click('ada', at, 'retention.decline');
  await w.told(ADA, 'etcd-alerts', 'Nothing is removed');
  await w.alert('said “not now”');

  await Promise.all([
    w.workspace.click('ada', at, 'retention.remove'),
    w.workspace.click('ada', at, 'retention.remove'),
  ]);
  await w.told(ADA, 'etcd-alerts', 'nothing more is started');
  await w.alert('confirmed');
  const [job, ...more] = w.jobs();
  expect(more).toEqual([]);
  await w.run(job as RetentionJob);
  const ended = await w.alert('35 snapshots (3.5 kB) removed from `ceph`');
  expect(ended.ts).toBe(question.ts);
  expect([whole(w.ceph), whole(w.nas).length]).toEqual([NEWEST_5, 40]);
  // One question for each store, each one message.
  expect(w.workspace.messages('etcd-alerts').filter((m) => m.ephemeralFor === undefined)).toHaveLength(2);
}, 30_000);

test('an old message removes nothing that it did not show, and who lost the right is told so', async () => {
  const w = await world();
  await w.run(JOB);
  const question = await w.alert('go from `ceph`?');
  const at = { channel: 'C0ALERTS02', ts: question.ts };
  // Meanwhile another one was removed by hand.
  const gone = whole(w.ceph).at(-1) ?? '';
  for (const key of [...w.ceph.objects.keys()].filter((each) => each.includes(gone))) w.ceph.objects.delete(key);
  await w.workspace.click('ada', at, 'retention.remove');
  await w.told(ADA, 'etcd-alerts', 'is not what you saw');
  w.people.operate.pop();
  await w.workspace.click('ada', at, 'retention.remove');
  await w.told(ADA, 'etcd-alerts', 'it is for operators only');
  expect(w.jobs()).toEqual([]);
}, 30_000);

test('anyone may look at the dry run and turn its pages; only operators see a button', async () => {
  const w = await world();
  await w.workspace.runCommand('noor', 'general', `/etcd retention ${CLUSTER}`);
  const shown = await w.told(NOOR, 'general', 'retention of 40 snapshots');
  expect(JSON.stringify(shown.blocks)).not.toContain('retention.remove');
  const at = { channel: 'C0GENERAL3', ts: shown.ts };
  await w.workspace.click('noor', at, 'retention.next');
  await w.told(NOOR, 'general', 'Page 2 of 3');
  await w.workspace.runCommand('ada', 'general', `/etcd retention ${CLUSTER}`);
  const mine = await w.told(ADA, 'general', 'retention.remove');
  await w.workspace.click('ada', { channel: 'C0GENERAL3', ts: mine.ts }, 'retention.remove');
  await w.told(ADA, 'general', 'as soon as the cluster is free');
  expect(w.jobs()).toMatchObject([{ kind: 'retention', confirmed: { by: ADA } }]);
  expect(whole(w.ceph)).toHaveLength(40);
}, 30_000);
