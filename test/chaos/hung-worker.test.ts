/** A worker that hangs in the middle of a backup and wakes up when another has taken it over: one snapshot, told once, and soon. */
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { seedKeys } from '../../deploy/local/seed.ts';
import { clusterSection, eventually, startWorld, type World } from '../support/bot.ts';
import { control } from '../support/control.ts';
import { stillThere } from '../support/leftovers.ts';
import { amount, SEED } from './amount.ts';
import { randomFrom } from './plan.ts';
import { breaches, endOf, readRuns } from './verdict.ts';

const ROUNDS = amount({ whole: 6, sample: 2 });
const SLOW = { rateLimit: '2MB', timeout: '1m', stallTimeout: '5s' };
/** From the waking of a worker: what is left of its lock and lease, the waits between attempts, and a backup. */
const SOON_MS = 90_000;

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await seedKeys(control(world.env.controlSocket).cluster('newer'), 10_000, 1_200);
});
afterAll(async () => world.close());

test(`a worker of two that hangs, ${ROUNDS} times at random moments of a backup`, async () => {
  console.log(`KEYTURN_CHAOS_SEED=${SEED}`);
  const random = randomFrom(SEED);
  const clusters = [clusterSection(world.env, 'newer', SLOW)];
  const bots = [await world.startBot({ clusters }), await world.startBot({ clusters })];
  onTestFailed(async () => {
    for (const bot of bots) console.log(await bot.log());
  });
  const workers = await Promise.all(bots.map((bot) => bot.workerPid()));
  const took: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    await world.workspace.runCommand('ada', 'etcd-backups', '/etcd backup newer');
    // Which of the two has it is not known: one hangs, or the other, or both.
    const hung = [[0], [1], [0, 1]][random(0, 2)]?.flatMap((n) => workers[n] ?? []) ?? [];
    await pause(random(500, 9_000));
    for (const pid of hung) process.kill(pid, 'SIGSTOP');
    await pause(random(8_000, 30_000));
    for (const pid of hung) process.kill(pid, 'SIGCONT');
    const wokenAt = Date.now();
    await eventually(
      'the end of the backup',
      async () => {
        const runs = [...(await readRuns(world)).values()];
        return runs.length === round && runs.every((run) => endOf(run) === 'stored') ? true : undefined;
      },
      SOON_MS,
    );
    took.push(Date.now() - wokenAt);
    // The job's own end comes after the message's.
    await pause(3_000);
  }
  console.log(`ended so many ms after the waking: ${took.join(', ')}`);
  expect([...(await readRuns(world)).values()].flatMap(breaches)).toEqual([]);
  expect(await stillThere(world.store, 'newer')).toEqual([]);
  expect(await Promise.all(bots.map((bot) => bot.workerPid()))).toEqual(workers);
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
