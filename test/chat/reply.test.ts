/** Answers by response URL. */
import { expect, test } from 'vitest';
import { mrk, section } from '../../src/chat/blocks.ts';
import { reply } from '../../src/chat/reply.ts';
import type { ReplyBody } from '../../src/chat/reply.ts';
import { fakeClock } from '../fakes/clock.ts';
import { silentLog } from './samples.ts';

const VIEW = { text: mrk`hello`, blocks: [section(mrk`hello`)] };
const status = (statusCode: number): Error => Object.assign(new Error('no'), { statusCode });

async function answered(failures: readonly Error[]): Promise<{ ok: boolean; bodies: ReplyBody[] }> {
  const clock = fakeClock();
  const bodies: ReplyBody[] = [];
  const left = [...failures];
  const respond = (body: ReplyBody): Promise<void> => {
    bodies.push(body);
    const failure = left.shift();
    return failure === undefined ? Promise.resolve() : Promise.reject(failure);
  };
  const { signal } = new AbortController();
  const done = reply(respond, VIEW, { replace: false, clock, log: silentLog, signal });
  for (let s = 0; s < 40; s += 1) {
    await clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { ok: await done, bodies };
}

test('an answer is only for the one who asked', async () => {
  const { ok, bodies } = await answered([]);
  expect(ok).toBe(true);
  expect(bodies).toEqual([
    { response_type: 'ephemeral', replace_original: false, text: 'hello', blocks: [...VIEW.blocks] },
  ]);
});

test('while Slack is away it is tried for half a minute, as it is', async () => {
  const { ok, bodies } = await answered([new Error('ECONNREFUSED'), status(503), status(429), new Error('timeout')]);
  expect(ok).toBe(true);
  expect(bodies).toHaveLength(5);
  expect(bodies.every((b) => b.blocks !== undefined)).toBe(true);
});

test('blocks that are refused are left out', async () => {
  const { ok, bodies } = await answered([status(400)]);
  expect(ok).toBe(true);
  expect(bodies.map((b) => b.blocks === undefined)).toEqual([false, true]);
});

test('a URL that is used up or too old is not tried again', async () => {
  expect(await answered([status(404)])).toMatchObject({ ok: false, bodies: { length: 1 } });
});

test('at most three of the five uses are spent on refusals', async () => {
  const { ok, bodies } = await answered(Array.from({ length: 9 }, () => status(400)));
  expect(ok).toBe(false);
  expect(bodies).toHaveLength(3);
});

test('it is given up in the end', async () => {
  const { ok, bodies } = await answered(Array.from({ length: 99 }, () => new Error('away')));
  expect(ok).toBe(false);
  expect(bodies).toHaveLength(7);
});
