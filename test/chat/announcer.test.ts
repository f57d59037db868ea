/** From events to the state of messages. */
import { expect, test } from 'vitest';
import { announcer } from '../../src/chat/announcer.ts';
import { alertKey } from '../../src/chat/message-state.ts';
import type { AlertMessage } from '../../src/chat/message-state.ts';
import type { BackupMessage } from '../../src/domain/backup-message.ts';
import { retriedBackupId } from '../../src/domain/job.ts';
import type { SentMessages } from '../../src/ports.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { events } from './samples.ts';

const KEY = events.queued.operation;

function world(sentMessages: SentMessages = fakeSentMessages()) {
  const clock = fakeClock(events.started.at);
  const enqueued: string[] = [];
  const outbox = {
    enqueue: (key: string) => {
      enqueued.push(key);
      return Promise.resolve();
    },
  };
  const publish = announcer({ sentMessages, outbox, clock });
  const backup = async (key: string = KEY): Promise<BackupMessage | undefined> =>
    (await sentMessages.read(key))?.state as BackupMessage | undefined;
  return { clock, enqueued, sentMessages, publish, backup };
}

test('every step of a backup is kept and asked to be delivered', async () => {
  const { publish, enqueued, backup, clock } = world();
  for (const event of [events.queued, events.started, events.progress, events.stored]) {
    await publish(event);
    await clock.advance(2000);
  }
  expect(enqueued).toEqual([KEY, KEY, KEY, KEY]);
  expect((await backup())?.phase.kind).toBe('stored');
});

test('progress is told at most every two seconds', async () => {
  const { publish, clock, sentMessages } = world();
  await publish(events.started);
  const told = new Set<number>();
  for (let tenth = 1; tenth <= 100; tenth += 1) {
    await clock.advance(100);
    await publish({ ...events.progress, at: clock.now().toISOString(), bytes: tenth * 1_000_000 });
    told.add((await sentMessages.read(KEY))?.version ?? 0);
  }
  // Ten seconds: the start, and five more at most.
  expect(told.size).toBeLessThanOrEqual(6);
  expect(told.size).toBeGreaterThanOrEqual(5);
});

test('the end is told at once, however fresh the last progress', async () => {
  const { publish, backup } = world();
  await publish(events.started);
  await publish(events.progress);
  await publish(events.stored);
  expect((await backup())?.phase.kind).toBe('stored');
});

test('an event that comes twice is delivered once', async () => {
  const { publish, enqueued, sentMessages } = world();
  await publish(events.queued);
  const record = await sentMessages.read(KEY);
  await sentMessages.markSent(KEY, { channel: 'C1', ts: '1.1', version: record?.version ?? 0 });
  await publish(events.queued);
  expect(enqueued).toEqual([KEY]);
});

test('an event that comes again because the first delivery was never asked for is asked for now', async () => {
  const { publish, enqueued } = world();
  await publish(events.queued);
  await publish(events.queued);
  expect(enqueued).toEqual([KEY, KEY]);
});

test('two processes that write at once lose nothing', async () => {
  const memory = fakeSentMessages();
  let meddle = true;
  const { publish, backup } = world({
    ...memory,
    async changeState(key, state, version) {
      if (meddle) {
        meddle = false;
        await other.publish(events.started);
      }
      return memory.changeState(key, state, version);
    },
  });
  const other = world(memory);
  await publish(events.queued);
  expect(await backup()).toMatchObject({ phase: { kind: 'running' }, trigger: events.queued.trigger });
});

test('a memory that never takes the write is an error, not an endless loop', async () => {
  const stubborn = { ...fakeSentMessages(), changeState: () => Promise.resolve(false) };
  await expect(world(stubborn).publish(events.queued)).rejects.toThrow('changed under');
});

test('a failure has an alarm of its own, once', async () => {
  const { publish, enqueued, sentMessages } = world();
  await publish(events.started);
  await publish(events.failed);
  await publish(events.failed);
  const alarm = await sentMessages.read(alertKey(KEY));
  expect(alarm).toMatchObject({ version: 1, state: { kind: 'backup-alert', backup: { cluster: 'prod-eu' } } });
  expect(enqueued.filter((k) => k === alertKey(KEY)).length).toBeGreaterThanOrEqual(1);
});

test('a failure that comes after the snapshot was stored raises no alarm', async () => {
  const { publish, sentMessages } = world();
  await publish(events.stored);
  await publish(events.failed);
  expect(await sentMessages.read(alertKey(KEY))).toBeUndefined();
});

test('a retry is told in the failed message and in its alarm', async () => {
  const { publish, backup, sentMessages } = world();
  await publish(events.failed);
  await publish({ ...events.queued, operation: retriedBackupId(KEY), at: '2026-11-21T07:00:00.000Z' });
  const retried = { user: 'U0ADA00001', at: '2026-11-21T07:00:00.000Z' };
  expect((await backup())?.phase).toMatchObject({ retried });
  expect(((await sentMessages.read(alertKey(KEY)))?.state as AlertMessage).backup.phase).toMatchObject({ retried });
  expect((await backup(retriedBackupId(KEY)))?.phase.kind).toBe('queued');
});
