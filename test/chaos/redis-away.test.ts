/** Redis is killed and started again and again while backups run: each of them ends once, and is told once. */
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { seedKeys } from '../../deploy/local/seed.ts';
import { clusterSection, eventually, startWorld, type World } from '../support/bot.ts';
import { control, type Control } from '../support/control.ts';
import { stillThere } from '../support/leftovers.ts';
import { amount, SEED } from './amount.ts';
import { randomFrom } from './plan.ts';
import { breaches, endOf, readRuns } from './verdict.ts';

const CLUSTERS = ['newer', 'older'];
const SLOW = { rateLimit: '1MB', timeout: '2m' };
const ROUNDS = amount({ whole: 3, sample: 1 });
const KILLS_A_ROUND = 4;

let world: World;
let parts: Control;

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  for (const cluster of CLUSTERS) await seedKeys(parts.cluster(cluster), 10_000, 1_200);
});
afterAll(async () => {
  await parts.redis.restart();
  await world.close();
});

test('two replicas work through every death of Redis: each backup that was taken on has one end', async () => {
  console.log(`KEYTURN_CHAOS_SEED=${SEED}`);
  const random = randomFrom(SEED);
  const clusters = CLUSTERS.map((cluster) => clusterSection(world.env, cluster, SLOW));
  const bots = [await world.startBot({ clusters }), await world.startBot({ clusters })];
  onTestFailed(async () => {
    for (const bot of bots) console.log((await bot.log()).split('\n').slice(-60).join('\n'));
  });
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const cluster of CLUSTERS) await askForBackup(cluster);
    for (let kill = 1; kill <= KILLS_A_ROUND; kill += 1) {
      await pause(random(500, 5_000));
      await parts.redis.kill9();
      await pause(random(200, 6_000));
      await parts.redis.restart();
    }
    await eventually(
      'the end of every backup',
      async () => {
        const runs = [...(await readRuns(world)).values()];
        const ended = runs.filter((run) => ['stored', 'failed'].includes(endOf(run)));
        return ended.length === round * CLUSTERS.length ? true : undefined;
      },
      180_000,
    );
  }
  const runs = [...(await readRuns(world)).values()];
  console.log(`${runs.filter((run) => endOf(run) === 'stored').length} of ${runs.length} backups are stored`);
  expect(runs.flatMap(breaches)).toEqual([]);
  for (const cluster of CLUSTERS)
    await eventually(
      'nothing left in the store',
      async () => ((await stillThere(world.store, cluster)).length === 0 ? true : undefined),
      60_000,
    );
});

/** Asks until it is taken on: the last backup's job may still be held by what died with Redis. */
async function askForBackup(cluster: string): Promise<void> {
  const ofCluster = async (): Promise<number> =>
    [...(await readRuns(world)).keys()].filter((operation) => operation.startsWith(`backup-${cluster}-`)).length;
  const before = await ofCluster();
  for (let tries = 1; (await ofCluster()) === before; tries += 1) {
    expect(tries).toBeLessThan(20);
    await world.workspace.runCommand('ada', 'etcd-backups', `/etcd backup ${cluster}`);
    await pause(3_000);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
