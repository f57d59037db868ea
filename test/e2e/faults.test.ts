/** What goes wrong in the middle of a backup: each ends in one good snapshot or one clear failure, and nothing is left over. */
import { afterAll, afterEach, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { seedKeys } from '../../deploy/local/seed.ts';
import type { Message } from '../../deploy/local/workspace/state.ts';
import { control, type Control } from '../support/control.ts';
import { clusterSection, eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { stillThere } from '../support/leftovers.ts';

/** With about 12 MB in etcd and 3 MB a second there are seconds to break things in. */
const SLOW = { rateLimit: '3MB', timeout: '5m', stallTimeout: '5s' };
const KEYS = 10_000;

let parts: Control;
let world: World;
let bot: Bot;

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  await seedKeys(parts.cluster('newer'), KEYS, 1_200);
});

afterEach(async () => {
  await bot.stop();
  await parts.s3.restart();
  await parts.node('newer', 'cp1').linkUp();
  await parts.node('newer', 'cp2').linkUp();
  await parts.node('newer', 'cp3').linkUp();
});

afterAll(async () => world.close());

async function startSlowBot(backup: object = {}): Promise<void> {
  bot = await world.startBot({ clusters: [clusterSection(world.env, 'newer', { ...SLOW, ...backup })] });
  const started = bot;
  onTestFailed(async () => {
    console.log((await started.log()).split('\n').slice(-30).join('\n'));
    console.log(world.workspace.messages('etcd-backups').map((message) => message.text));
  });
}

/** Asks for a backup, and waits until its message tells of bytes. */
async function startBackup(): Promise<Message> {
  const before = world.workspace.messages('etcd-backups').length;
  await world.workspace.runCommand('ada', 'etcd-backups', '/etcd backup newer');
  return eventually('a message with progress', () =>
    world.workspace
      .messages('etcd-backups')
      .slice(before)
      .find((message) => message.ephemeralFor === undefined && /[1-9]\d? %/.test(message.text)),
  );
}

/** The message in its last state. */
async function ending(message: Message, timeoutMs = 90_000): Promise<string> {
  return eventually(
    'the end of the backup',
    () =>
      world.workspace
        .messages('etcd-backups')
        .filter((each) => each.ts === message.ts)
        .map((each) => each.text)
        .find((text) => text.includes('verified') || text.includes('failed after') || text.includes('· failed')),
    timeoutMs,
  );
}

async function snapshots(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of world.store.list('newer/')) if (key.endsWith('.manifest.json')) keys.push(key);
  return keys;
}

/** One more good snapshot than `before`, one message for it, and nothing left over. */
async function expectOneGoodSnapshot(message: Message, before: readonly string[]): Promise<void> {
  expect(await ending(message)).toContain('verified');
  expect(await snapshots()).toHaveLength(before.length + 1);
  expect(await stillThere(world.store, 'newer')).toEqual([]);
  const told = world.workspace.messages('etcd-backups').filter((each) => each.text.includes('running'));
  expect(told).toEqual([]);
}

describe('one good snapshot, and nothing left over, when', () => {
  test('the worker is killed with -9 in the middle of the upload', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    const pid = await bot.workerPid();
    process.kill(pid, 'SIGKILL');
    expect(await bot.workerPid(pid)).not.toBe(pid);
    await expectOneGoodSnapshot(message, before);
  });

  test('the whole bot is killed with -9 and started again', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    await bot.kill9();
    await startSlowBot();
    await expectOneGoodSnapshot(message, before);
  });

  test('the bot is told to stop, and started again', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    await bot.stop();
    expect(await stillThere(world.store, 'newer')).toEqual([]);
    await startSlowBot();
    await expectOneGoodSnapshot(message, before);
  });

  test('the S3 server is gone for some seconds', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    await parts.s3.kill9();
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    await parts.s3.restart();
    await expectOneGoodSnapshot(message, before);
  });

  test('the network of the node that is read is cut', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    const node = /cp\d/.exec(JSON.stringify(message.blocks))?.[0] ?? '';
    await parts.node('newer', node).linkDown();
    await expectOneGoodSnapshot(message, before);
  });

  test('Redis is restarted', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    await parts.redis.kill9();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await parts.redis.restart();
    await expectOneGoodSnapshot(message, before);
  });

  test('Slack is away until the backup is over', async () => {
    await startSlowBot();
    const before = await snapshots();
    const message = await startBackup();
    const outage = await world.workspace.outage('refused');
    await eventually('the snapshot', async () => ((await snapshots()).length > before.length ? true : undefined));
    await outage.end();
    await expectOneGoodSnapshot(message, before);
  });
});

test('with the S3 server gone for good there is one clear failure, and what it left goes when the server is back', async () => {
  await startSlowBot({ attempts: 1 });
  const before = await snapshots();
  const message = await startBackup();
  await parts.s3.kill9();
  const text = await ending(message, 110_000);
  expect(text).toContain('failed');
  expect(text).toContain('s3');
  await parts.s3.restart();
  await eventually(
    'nothing left in the store',
    async () => ((await stillThere(world.store, 'newer')).length === 0 ? true : undefined),
    60_000,
  );
  expect(await snapshots()).toEqual(before);
});
