/** Slack goes away, or wants to be left alone, while backups run: afterwards every message is there, once, in order, at its end. */
import { afterEach, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest';
import { seedKeys } from '../../deploy/local/seed.ts';
import { scheduledBackupId } from '../../src/domain/job.ts';
import { clusterSection, eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { control } from '../support/control.ts';
import { localEnv } from '../support/local-env.ts';
import { stillThere } from '../support/leftovers.ts';
import { someOf } from './amount.ts';
import { breaches, endOf, readRuns } from './verdict.ts';

const MINUTE_MS = 60_000;
const CLUSTERS = ['newer', 'older'];
const SLOW = { schedule: '* * * * *', rateLimit: '1MB', timeout: '1m' };

let world: World;
let bot: Bot;

beforeAll(async () => {
  const parts = control(localEnv().controlSocket);
  for (const cluster of CLUSTERS) await seedKeys(parts.cluster(cluster), 10_000, 1_200);
});

beforeEach(async () => {
  world = await startWorld();
  bot = await world.startBot({ clusters: CLUSTERS.map((cluster) => clusterSection(world.env, cluster, SLOW)) });
  const started = bot;
  onTestFailed(async () => console.log((await started.log()).split('\n').slice(-60).join('\n')));
});
afterEach(async () => world.close());

/** The first backups, which are due at once, tell of bytes: they are in the middle. */
async function untilRunning(): Promise<number> {
  const startedAt = Date.now();
  for (const cluster of CLUSTERS)
    await world.workspace.waitForMessage(
      'etcd-backups',
      ({ text }) => text.includes(cluster) && /[1-9]\d? %/.test(text),
      30_000,
    );
  return startedAt;
}

/** Every run from that of `from`'s minute to now is told: once, as stored, the runs of each cluster in their order. */
async function expectAllTold(from: number): Promise<void> {
  const due: string[] = [];
  for (let minute = Math.floor(from / MINUTE_MS) * MINUTE_MS; minute <= Date.now(); minute += MINUTE_MS)
    due.push(...CLUSTERS.map((cluster) => scheduledBackupId(cluster, new Date(minute))));
  // What ran when it began, and what became due meanwhile.
  expect(due.length).toBeGreaterThanOrEqual(2 * CLUSTERS.length);
  const runs = await eventually(
    'the end of every run',
    async () => {
      const now = await readRuns(world);
      const ended = due.every((operation) => {
        const run = now.get(operation);
        return run !== undefined && endOf(run) === 'stored';
      });
      return ended ? now : undefined;
    },
    120_000,
  );
  // The run of the newest minute may be under way by now.
  const ended = [...runs.values()].filter(({ operation }) => due.includes(operation));
  expect(ended.flatMap(breaches)).toEqual([]);
  for (const cluster of CLUSTERS) {
    const told = ended.filter(({ operation }) => operation.startsWith(`backup-${cluster}-`));
    const inOrder = [...told].sort((a, b) => Number(a.messages[0]?.ts) - Number(b.messages[0]?.ts));
    // Operations sort by their time.
    expect(inOrder.map(({ operation }) => operation)).toEqual(told.map(({ operation }) => operation));
  }
  expect([...runs.values()].filter(({ messages }) => messages.length > 1)).toEqual([]);
  await bot.stop();
  for (const cluster of CLUSTERS) expect(await stillThere(world.store, cluster)).toEqual([]);
}

const KINDS = ['refused', 'unavailable'] as const;

test.each(someOf('ways to be away', KINDS, 1))('Slack is away for a minute (%s)', async (kind) => {
  const startedAt = await untilRunning();
  const outage = await world.workspace.outage(kind);
  await new Promise((resolve) => setTimeout(resolve, MINUTE_MS));
  await outage.end();
  await expectAllTold(startedAt);
});

test('Slack answers 429 to everything for half a minute', async () => {
  const startedAt = await untilRunning();
  world.workspace.rateLimit(30);
  await new Promise((resolve) => setTimeout(resolve, MINUTE_MS));
  await expectAllTold(startedAt);
});
