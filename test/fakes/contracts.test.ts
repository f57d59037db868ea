/** Every fake passes the same contract suite as the real thing. */
import { expect, test } from 'vitest';
import { systemClock } from '../../src/adapters/clock.ts';
import { clusterLeaseContract } from '../contracts/cluster-lease.ts';
import { backupJob, jobQueueContract } from '../contracts/job-queue.ts';
import { outboxContract } from '../contracts/outbox.ts';
import { restoreJournalContract } from '../contracts/restore-journal.ts';
import { scrubMemoryContract } from '../contracts/scrub-memory.ts';
import { sentMessagesContract } from '../contracts/sent-messages.ts';
import { snapshotCoderContract } from '../contracts/snapshot-coder.ts';
import { stepRunnerContract } from '../contracts/step-runner.ts';
import { restoreRequestsContract } from '../contracts/restore-requests.ts';
import { oneTimeCodesContract, stepUpRecordsContract } from '../contracts/step-up.ts';
import { tickMemoryContract } from '../contracts/tick-memory.ts';
import { localConnection } from '../support/local-connection.ts';
import { fakeClock } from './clock.ts';
import { fakeClusterLease } from './cluster-lease.ts';
import { fakeJobQueue } from './job-queue.ts';
import { fakeOutbox } from './outbox.ts';
import { fakeRestoreRequests } from './restore-requests.ts';
import { fakeScrubMemory } from './scrub-memory.ts';
import { fakeSentMessages } from './sent-messages.ts';
import { fakeRestoreJournal } from './restore-journal.ts';
import { FAKE_ENCODING, fakeCoder } from './snapshot-coder.ts';
import { fakeStepRunner } from './step-runner.ts';
import { fakeCodes, fakeStepUpRecords } from './step-up.ts';
import { fakeTickMemory } from './tick-memory.ts';

const close = async (): Promise<void> => undefined;

jobQueueContract('the fake queue', async () => {
  const queue = fakeJobQueue(systemClock);
  return { open: async () => queue, close: () => queue.close() };
});

clusterLeaseContract('the fake lease', async () => {
  const leases = fakeClusterLease();
  return { open: async () => leases, takeOver: async (next) => leases.lose(next.cluster, next), close };
});

tickMemoryContract('the fake tick memory', async () => {
  const memory = fakeTickMemory();
  return { open: async () => memory, close };
});

scrubMemoryContract('the fake scrub memory', async () => {
  const memory = fakeScrubMemory();
  return { open: async () => memory, close };
});

sentMessagesContract('the fake sent messages', async () => {
  const messages = fakeSentMessages();
  return { open: async () => messages, close };
});

restoreRequestsContract('the fake restore requests', async () => {
  const requests = fakeRestoreRequests();
  return { open: async () => requests, close };
});

snapshotCoderContract('the fake coder', async () => ({ coder: fakeCoder(), encoding: FAKE_ENCODING, runs: 20 }));

stepUpRecordsContract('the fake step-up records', async () => {
  const records = fakeStepUpRecords();
  return { open: async () => records, close };
});

oneTimeCodesContract('the fake one-time codes', () => {
  const codes = fakeCodes();
  return { codes, codeAt: (secret, at) => codes.codeAt(secret, at) };
});

outboxContract('the fake outbox', async () => {
  const outbox = fakeOutbox(systemClock, { retryMs: 20 });
  return { open: async () => outbox, close: () => outbox.close() };
});

restoreJournalContract('the fake journal', async () => {
  const journal = fakeRestoreJournal();
  return { open: async () => journal, close };
});

stepRunnerContract('the fake steps', async () => {
  const scripts = { prints: 'prints', fails: 'fails', hangs: 'hangs' };
  const does = {
    prints: { output: 'one\ntwo\n' },
    fails: { output: 'no\n', code: 7 },
    hangs: { output: 'up\n', takesMs: 30_000 },
  };
  const runner = fakeStepRunner(systemClock, (_node, script) => does[script as keyof typeof does]);
  return { on: (restore) => runner.on(localConnection(), restore), scripts, folder: '/folder', close };
});

test('a fake node that reboots lets its running step vanish, and remembers what ended', async () => {
  const runner = fakeStepRunner(fakeClock(), (_node, script) => ({ takesMs: script === 'long' ? Infinity : 0 }));
  const steps = runner.on(localConnection(), { cluster: 'prod', request: 'r-1', token: 1 });
  await steps.start('short', 'short', { deadlineMs: 1_000 });
  await steps.start('long', 'long', { deadlineMs: 1_000 });
  runner.reboot('here');
  expect((await steps.look('short')).state.kind).toBe('done');
  expect((await steps.look('long')).state).toMatchObject({ kind: 'vanished', why: 'rebooted' });
});

test('the fake queue hands a job whose worker was killed to the next one as attempt 2, with what was remembered', async () => {
  const queue = fakeJobQueue(fakeClock());
  await queue.work(async (_, context) => (await context.remember('begun'), new Promise(() => undefined)), {
    concurrency: 1,
  });
  await queue.add(backupJob('b-1'), { attempts: 3 });
  await Promise.resolve();
  queue.killWorkers();
  const seen: unknown[] = [];
  await queue.work(async (_, { attempt, remembered }) => (seen.push([attempt, remembered]), { kind: 'done' }), {
    concurrency: 1,
  });
  expect(seen).toEqual([[2, ['begun']]]);
});
