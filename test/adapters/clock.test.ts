import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { repeat } from '../../src/adapters/clock.ts';
import { silentLog } from '../jobs/world.ts';

test('what is repeated is done at once, again after a pause, and never twice at a time', async () => {
  let running = 0;
  let most = 0;
  let times = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, (running += 1));
    times += 1;
    await wait(5);
    running -= 1;
  };
  const repeated = repeat(work, 1, silentLog);
  expect(times).toBe(1);
  while (times < 4) await wait(1);
  await repeated.stop();
  const done = times;
  expect(running).toBe(0);
  await wait(20);
  expect({ most, times }).toEqual({ most: 1, times: done });
});

test('failures do not end it, and are logged once for all in a row', async () => {
  const logged: unknown[] = [];
  let times = 0;
  const work = async (): Promise<void> => {
    times += 1;
    if (times !== 3) throw new Error(`failure ${times}`);
  };
  const repeated = repeat(work, 1, { ...silentLog, error: (fields) => void logged.push(fields) });
  while (times < 6) await wait(1);
  await repeated.stop();
  expect(logged).toMatchObject([{ err: { message: 'failure 1' } }, { err: { message: 'failure 4' } }]);
});
