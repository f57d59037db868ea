/**
 * The process that carries a restore out is killed before and after every step, one restore each, and another goes on:
 * all end restored or rolled back, nothing ran twice, journal and nodes agree.
 */
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import type { LayoutName } from '../../deploy/local/nodes/layouts.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { eventually } from '../support/bot.ts';
import { momentsOf, wordsOf, type Moment } from './restore-moments.ts';
import { startStage, type RestoreBot, type RestoreStage } from './restore-stage.ts';
import { breachesOf, changeKeys, tidy } from './restore-verdict.ts';

const LAYOUT = (process.env['KEYTURN_CHAOS_LAYOUT'] ?? 'kubeadm') as LayoutName;
/** The way forward and the way back have so long each; what is not tried by then is told. */
const MINUTES = Number(process.env['KEYTURN_CHAOS_KILL_MINUTES'] ?? 14);
const END_MS = 120_000;

let stage: RestoreStage;
let workers: RestoreBot[] = [];
let runs = 0;
let plan: Plan;

beforeAll(async () => {
  stage = await startStage({ layout: LAYOUT });
  workers = [await stage.startWorker()];
});
afterAll(async () => stage.stop());

/** One restore, killed at `moment` when there is one; the breaches. */
async function tryOne(moment: Moment | undefined, fails?: string): Promise<readonly string[]> {
  const n = (runs += 1);
  const before = await changeKeys(stage, n);
  // By turns another replica is there already, or a new process comes after the kill.
  const isReplica = n % 2 === 0;
  if (isReplica) workers.push(await stage.startWorker());
  const request = await stage.ask({ dies: moment, fails });
  plan = request.plan;
  let died = moment === undefined;
  if (moment !== undefined) {
    died = await eventually('the kill', () => workers.some(({ isAlive }) => !isAlive) || undefined, END_MS).catch(
      () => false,
    );
    workers = workers.filter(({ isAlive }) => isAlive);
    if (workers.length === 0) workers.push(await stage.startWorker());
  }
  const ended = await stage.settled(request.id, END_MS);
  const breaches = await breachesOf(stage, ended, before);
  await tidy(stage);
  const state = fails === undefined ? 'succeeded' : 'rolled-back';
  return [
    ...(died ? [] : ['nobody was killed']),
    ...(ended.state === state ? [] : [`it is ${ended.state}: ${ended.ended?.reason ?? ''}`]),
    ...breaches,
  ];
}

async function tryAll(moments: readonly Moment[], fails?: string): Promise<void> {
  const startedAt = Date.now();
  const found: string[] = [];
  let tried = 0;
  for (const moment of moments) {
    if (Date.now() - startedAt > MINUTES * 60_000) break;
    tried += 1;
    const at = Date.now();
    const breaches = await tryOne(moment, fails);
    console.log(`${wordsOf(moment)}: ${((Date.now() - at) / 1000).toFixed(1)} s ${breaches.join('; ')}`);
    found.push(...breaches.map((breach) => `killed ${wordsOf(moment)}: ${breach}`));
  }
  console.log(`${tried} of ${moments.length} moments in ${Math.round((Date.now() - startedAt) / 1000)} s`);
  expect(found).toEqual([]);
  expect(tried).toBe(moments.length);
}

describe(`a restore of layout ${LAYOUT}`, () => {
  test('that nobody disturbs', async () => {
    onTestFailed(async () => console.log((await workers[0]?.log())?.slice(-5_000)));
    expect(await tryOne(undefined)).toEqual([]);
  });

  test('whose worker is killed before and after each step is restored by the next', async () => {
    await tryAll(momentsOf(plan, 'do'));
  });

  test('that fails, and whose worker is killed before and after each step of the way back, is rolled back', async () => {
    await tryAll(momentsOf(plan, 'undo'), lastScriptOf(plan));
  });
});

/** The later it fails, the more there is to be taken back. */
function lastScriptOf({ phases }: Plan): string {
  const scripts = phases.flatMap(({ steps }) => steps.filter(({ action }) => action.kind === 'script'));
  return scripts.at(-1)?.id ?? '';
}
