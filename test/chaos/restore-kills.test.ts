/**
 * The process that carries a restore out is killed before and after every step, and another goes on: each restore ends
 * restored, or rolled back where it was made to fail; no script ran twice; journal and nodes agree.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LayoutName } from '../../deploy/local/nodes/layouts.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { someOf } from './amount.ts';
import { beforeAndAfter, dealt, whileRunning, wordsOf, type Moment } from './restore-moments.ts';
import { startStage, type RestoreBot, type RestoreStage } from './restore-stage.ts';
import { breachesOf, changeKeys, tidy } from './restore-verdict.ts';

const LAYOUT = (process.env['KEYTURN_CHAOS_LAYOUT'] ?? 'kubeadm') as LayoutName;
const MINUTE_MS = 60_000;
/** Of one restore, with a machine that does much else. */
const END_MS = 4 * MINUTE_MS;

let stage: RestoreStage;
let workers: RestoreBot[] = [];
let runs = 0;
let plan: Plan;

beforeAll(async () => {
  stage = await startStage(LAYOUT);
});
afterAll(async () => stage.stop());

/** One restore whose workers die at each of `moments`; the breaches. */
async function tryOne(moments: readonly Moment[], fails = ''): Promise<readonly string[]> {
  const startedAt = Date.now();
  const n = (runs += 1);
  const before = await changeKeys(stage, n);
  // Another replica is there already, or a process is started after the kill; not in step with the turns of the moments.
  const wanted = n % 5 < 2 ? 2 : 1;
  const hire = async (): Promise<void> => {
    workers = workers.filter(({ isAlive }) => isAlive);
    while (workers.length < wanted) workers.push(await stage.startWorker());
  };
  await hire();
  const request = await stage.ask({ dies: moments, fails });
  plan = request.plan;
  const ended = await stage.settled(request.id, END_MS, moments.length > 0 ? hire : undefined);
  const deaths = await stage.deaths(request.id);
  const state = fails === '' ? 'succeeded' : 'rolled-back';
  const breaches = [
    ...(deaths === moments.length ? [] : [`${deaths} of ${moments.length} were killed`]),
    ...(ended.state === state ? [] : [`it is ${ended.state}: ${ended.ended?.reason ?? ended.waiting?.reason ?? ''}`]),
    ...(await breachesOf(stage, ended, before)),
  ].map((breach) => `killed ${moments.map(wordsOf).join(', ')}: ${breach}`);
  await tidy(stage);
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(`${seconds} s, killed ${moments.map(wordsOf).join(', ')} ${breaches.join('; ')}`);
  return breaches;
}

async function tryAll(hands: readonly (readonly Moment[])[], fails = ''): Promise<void> {
  const startedAt = Date.now();
  const found: string[] = [];
  for (const moments of hands) found.push(...(await tryOne(moments, fails)));
  console.log(`${hands.flat().length} moments in ${Math.round((Date.now() - startedAt) / 1000)} s`);
  expect(hands.length).toBeGreaterThan(0);
  expect(found).toEqual([]);
}

describe(`a restore of layout ${LAYOUT}`, () => {
  test('that nobody disturbs is restored', async () => {
    expect(await tryOne([])).toEqual([]);
  });

  test(
    'whose worker is killed before and after each step, one restore each, is restored by the next',
    async () => {
      const hands = beforeAndAfter(plan, 'do').map((moment) => [moment]);
      await tryAll(someOf('single kills', hands, 12));
    },
    60 * MINUTE_MS,
  );

  test(
    'whose workers are killed while the scripts of each phase run is restored by the last',
    async () => {
      await tryAll(someOf('restores killed while scripts run', dealt(whileRunning(plan)), 1));
    },
    20 * MINUTE_MS,
  );

  test(
    'that fails, and whose workers are killed before and after each step of the way back, is rolled back',
    async () => {
      const hands = dealt(beforeAndAfter(plan, 'undo'));
      await tryAll(someOf('restores killed on the way back', hands, 2), lastScriptOf(plan));
    },
    30 * MINUTE_MS,
  );
});

/** The later it fails, the more there is to be taken back. */
function lastScriptOf({ phases }: Plan): string {
  const scripts = phases.flatMap(({ steps }) => steps.filter(({ action }) => action.kind === 'script'));
  return scripts.at(-1)?.id ?? '';
}
