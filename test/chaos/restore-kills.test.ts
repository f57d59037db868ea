/**
 * The process that carries a restore out is killed before and after every step, and another goes on: each restore ends
 * restored, or rolled back where it was made to fail; no script ran twice; journal and nodes agree.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LayoutName } from '../../deploy/local/nodes/layouts.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { beforeAndAfter, dealt, whileRunning, wordsOf, type Moment } from './restore-moments.ts';
import { startStage, type RestoreBot, type RestoreStage } from './restore-stage.ts';
import { breachesOf, changeKeys, tidy } from './restore-verdict.ts';

const LAYOUT = (process.env['KEYTURN_CHAOS_LAYOUT'] ?? 'kubeadm') as LayoutName;
const MINUTE_MS = 60_000;
/** So long are single kills tried, the steps of one node before those of the others; what was left out is told. 40 is enough for all. */
const MINUTES = Number(process.env['KEYTURN_CHAOS_KILL_MINUTES'] ?? 12);
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

/** Not more than fits into `minutes`; how many restores were tried. */
async function tryAll(hands: readonly (readonly Moment[])[], { minutes = Infinity, fails = '' } = {}): Promise<number> {
  const startedAt = Date.now();
  const found: string[] = [];
  let tried = 0;
  for (const moments of hands) {
    if (Date.now() - startedAt > minutes * MINUTE_MS) break;
    found.push(...(await tryOne(moments, fails)));
    tried += 1;
  }
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  console.log(`${hands.slice(0, tried).flat().length} of ${hands.flat().length} moments in ${seconds} s`);
  expect(found).toEqual([]);
  return tried;
}

describe(`a restore of layout ${LAYOUT}`, () => {
  test('that nobody disturbs is restored', async () => {
    expect(await tryOne([])).toEqual([]);
  });

  test(
    'whose worker is killed before and after each step, one restore each, is restored by the next',
    async () => {
      const moments = stage.cluster.nodes.map(({ name }) =>
        beforeAndAfter(plan, 'do').filter(({ step }) => step.endsWith(`.${name}`)),
      );
      const hands = moments.flat().map((moment) => [moment]);
      // Every step of one node is the least.
      expect(await tryAll(hands, { minutes: MINUTES })).toBeGreaterThanOrEqual(moments[0]?.length ?? Infinity);
    },
    60 * MINUTE_MS,
  );

  test(
    'whose workers are killed while the scripts of each phase run is restored by the last',
    async () => {
      await tryAll(dealt(whileRunning(plan)));
    },
    20 * MINUTE_MS,
  );

  test(
    'that fails, and whose workers are killed before and after each step of the way back, is rolled back',
    async () => {
      await tryAll(dealt(beforeAndAfter(plan, 'undo')), { fails: lastScriptOf(plan) });
    },
    30 * MINUTE_MS,
  );
});

/** The later it fails, the more there is to be taken back. */
function lastScriptOf({ phases }: Plan): string {
  const scripts = phases.flatMap(({ steps }) => steps.filter(({ action }) => action.kind === 'script'));
  return scripts.at(-1)?.id ?? '';
}
