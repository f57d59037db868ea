/** From events to the state of messages. */
import { describe, expect, test } from 'vitest';
import { announcer } from '../../src/chat/announcer.ts';
import { alertKey, restoreKeys } from '../../src/chat/message-state.ts';
import type { AlertMessage, RestoreEnd, RestoreThreadMessage } from '../../src/chat/message-state.ts';
import type { BackupMessage } from '../../src/domain/backup-message.ts';
import { retriedBackupId } from '../../src/domain/job.ts';
import { wait } from '../../src/domain/restore-execution.ts';
import type { RestoreMessage } from '../../src/domain/restore-message.ts';
import type { SentMessages } from '../../src/ports.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { done } from '../support/requests.ts';
import { begun, changed, ended, fetched, lives, messageAfter, requests } from './restore-samples.ts';
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

describe('a restore', () => {
  const id = requests.pending.id;
  const ALL = ['U0ASKER', 'U0BOB', 'U0ALICE'];
  const restore = async (memory: SentMessages, key = id): Promise<RestoreMessage | undefined> =>
    (await memory.read(key))?.state as RestoreMessage | undefined;

  test('has one message; the end is told once to the thread, to who asked and to each reviewer', async () => {
    const { publish, sentMessages } = world();
    for (const event of [...lives.succeeded, ...lives.succeeded]) await publish(event);
    expect((await restore(sentMessages))?.request?.state).toBe('succeeded');
    for (const to of [undefined, ...ALL]) {
      const end = await sentMessages.read(restoreKeys.end(id, to));
      expect(end).toMatchObject({ version: 1, state: { kind: 'restore-end', restore: { steps: {} } } });
    }
    expect(await sentMessages.read(restoreKeys.end(id, 'U0CAROL'))).toBeUndefined();
  });

  test('nobody is told of an end that did not come', async () => {
    const { publish, sentMessages } = world();
    for (const event of lives['running, fetching']) await publish(event);
    expect(await sentMessages.read(restoreKeys.end(id, undefined))).toBeUndefined();
  });

  test('a report that comes after the end is added to what was told', async () => {
    const { publish, sentMessages } = world();
    await publish(changed(requests.succeeded));
    for (const event of lives.succeeded) await publish(event);
    const end = (await sentMessages.read(restoreKeys.end(id, 'U0ASKER')))?.state as RestoreEnd;
    expect(end.restore.ended?.report.downtimeMs).toBe(42_000);
  });

  test('with break-glass is told in the alerts channel, once; another is not', async () => {
    const { publish, sentMessages, enqueued } = world();
    await publish(changed(requests['break-glass, with codes']));
    const { id: operation } = requests['break-glass, with codes'];
    expect((await sentMessages.read(restoreKeys.breakGlass(operation)))?.version).toBe(1);
    expect(enqueued).toContain(restoreKeys.breakGlass(operation));
    const other = world();
    await other.publish(changed(requests.pending));
    expect(await other.sentMessages.read(restoreKeys.breakGlass(id))).toBeUndefined();
  });

  test('that waits for a decision calls people each time that it does', async () => {
    const { publish, enqueued } = world();
    await publish(changed(requests.waiting));
    await publish(changed(requests.waiting));
    await publish(changed(requests.decided));
    const again = done(
      wait(requests.decided, { reason: 'still away', options: ['retry'], now: new Date('2026-11-21T07:00:00Z') }),
    );
    await publish(changed(again));
    const calls = new Set(enqueued.filter((key) => key.includes('-decision-')));
    expect(calls).toEqual(new Set([requests.waiting, again].map((each) => restoreKeys.decision(id, each.version))));
  });

  test('a clean-up is said in its thread', async () => {
    const { publish, enqueued } = world();
    for (const event of lives['succeeded, cleaned up']) await publish(event);
    expect(enqueued.filter((key) => key.includes('-cleaned-')).length).toBe(1);
  });

  test('steps have a message of their own, which begins with the first and ends with the report', async () => {
    const { publish, sentMessages } = world();
    await publish(changed(requests.running));
    expect(await sentMessages.read(restoreKeys.steps(id))).toBeUndefined();
    for (const event of lives.undone) await publish(event);
    const state = (await sentMessages.read(restoreKeys.steps(id)))?.state as RestoreThreadMessage;
    expect(state.restore.steps).toEqual((await restore(sentMessages))?.steps);
  });

  test('hundreds of steps in a minute are at most an edit every two seconds, and the last one is not lost', async () => {
    const { publish, clock, enqueued } = world();
    await publish(changed(requests.running));
    enqueued.length = 0;
    for (let half = 0; half < 120; half += 1) {
      await publish(begun('check.cp1', half, 'do', `run-${half}`));
      await clock.advance(500);
    }
    const own = (): number => enqueued.filter((key) => key === id).length;
    const thread = (): number => enqueued.filter((key) => key === restoreKeys.steps(id)).length;
    expect(own()).toBeLessThanOrEqual(31);
    expect(own()).toBeGreaterThanOrEqual(29);
    expect(thread()).toBeLessThanOrEqual(16);
    enqueued.length = 0;
    await publish(ended('check.cp1', 200, { run: 'run-119' }));
    await clock.advance(4000);
    expect(own()).toBeGreaterThanOrEqual(1);
    expect(thread()).toBeGreaterThanOrEqual(1);
  });

  test('bytes are kept at most every two seconds a node', async () => {
    const { publish, clock, sentMessages } = world();
    await publish(changed(requests.running));
    const before = (await sentMessages.read(id))?.version ?? 0;
    for (let tenth = 1; tenth <= 100; tenth += 1) {
      await clock.advance(100);
      await publish(fetched('cp1', tenth / 10, tenth * 1_000_000));
    }
    const told = ((await sentMessages.read(id))?.version ?? 0) - before;
    expect(told).toBeGreaterThanOrEqual(5);
    expect(told).toBeLessThanOrEqual(6);
  });

  test('a change of the request is told at once, however fresh the last step', async () => {
    const { publish, enqueued } = world();
    await publish(changed(requests.running));
    await publish(begun('check.cp1', 1));
    await publish(ended('check.cp1', 2));
    enqueued.length = 0;
    await publish(changed(requests['rolling back']));
    expect(enqueued[0]).toBe(id);
  });

  test('two processes that tell at once lose nothing', async () => {
    const memory = fakeSentMessages();
    const [one, two] = [world(memory), world(memory)];
    await Promise.all([...lives.undone].map((event, i) => (i % 2 === 0 ? one : two).publish(event)));
    expect(Object.keys((await restore(memory))?.steps ?? {}).sort()).toEqual(
      Object.keys(messageAfter(lives.undone).steps).sort(),
    );
  });
});
