/** The fold: what a backup's message says after any order of events. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foldBackup, foldRetried } from '../../src/domain/backup-message.ts';
import type { BackupMessage } from '../../src/domain/backup-message.ts';
import type { BackupEvent } from '../../src/domain/event.ts';
import { retriedBackupId, retriedFrom } from '../../src/domain/job.ts';
import { events } from '../chat/samples.ts';

function fold(...all: readonly BackupEvent[]): BackupMessage | undefined {
  return all.reduce<BackupMessage | undefined>((state, event) => foldBackup(state, event), undefined);
}

const { queued, started, progress, retrying, startedAgain, stored, failed } = events;

test('a backup goes from queued over running and retrying to stored', () => {
  const kinds = [queued, started, progress, retrying, startedAgain, stored].map(
    (_, i, all) => fold(...all.slice(0, i + 1))?.phase.kind,
  );
  expect(kinds).toEqual(['queued', 'running', 'running', 'retrying', 'running', 'stored']);
});

test('origin and trigger are kept although later events do not carry them', () => {
  const state = fold(queued, started, progress, stored);
  expect(state).toMatchObject({ origin: queued.origin, trigger: queued.trigger, attempt: 1, attempts: 3 });
});

test('an event folded twice changes nothing, and says so by giving back the same state', () => {
  const all = [queued, started, progress, retrying, startedAgain, failed];
  for (let i = 1; i <= all.length; i += 1) {
    const state = fold(...all.slice(0, i));
    for (const seen of all.slice(0, i)) expect(foldBackup(state, seen)).toBe(state);
  }
});

describe('an older event never overwrites a later state', () => {
  test('progress after the end', () => {
    const end = fold(queued, started, stored);
    expect(foldBackup(end, progress)).toBe(end);
  });

  test('progress of an earlier attempt', () => {
    const state = fold(queued, started, retrying, startedAgain);
    expect(foldBackup(state, progress)).toBe(state);
  });

  test('less progress than was told already', () => {
    const state = fold(started, progress);
    expect(foldBackup(state, { ...progress, bytes: 1 })).toBe(state);
  });

  test('queued, told after the worker was faster', () => {
    const state = fold(started);
    expect(foldBackup(state, queued)).toBe(state);
  });

  test('a failure after the snapshot was stored', () => {
    const state = fold(started, stored);
    expect(foldBackup(state, failed)).toBe(state);
  });
});

test('a snapshot that is stored after all corrects a reported failure', () => {
  expect(fold(started, failed, stored)?.phase.kind).toBe('stored');
});

test('the same attempt started again by another worker begins at zero bytes', () => {
  const again = { ...started, at: '2026-11-21T06:15:10.000Z', member: 'cp3' };
  expect(fold(started, progress, again)?.phase).toMatchObject({ kind: 'running', bytes: 0, member: 'cp3' });
});

test('progress without a message makes none', () => {
  expect(fold(progress)).toBeUndefined();
});

test('whatever the order and however often, a stored snapshot is the last word', () => {
  const all = [queued, started, progress, retrying, startedAgain, failed, stored];
  const anyOrder = fc.array(fc.constantFrom<BackupEvent>(...all), { maxLength: 20 });
  fc.assert(
    fc.property(anyOrder, anyOrder, (before, after) => {
      expect(fold(...before, stored, ...after)?.phase.kind).toBe('stored');
    }),
  );
});

test('a failed backup remembers who asked for it again, once', () => {
  const state = fold(started, failed);
  if (state === undefined) throw new Error('no state');
  const retried = foldRetried(state, 'U1', '2026-11-21T07:00:00.000Z');
  expect(retried.phase).toMatchObject({ kind: 'failed', retried: { user: 'U1' } });
  expect(foldRetried(retried, 'U2', '2026-11-21T08:00:00.000Z')).toBe(retried);
});

test('a retry has one id, and leads back to what it retries', () => {
  const first = retriedBackupId('backup-a-r2-20261121T0600Z');
  expect(first).toBe('backup-a-r2-20261121T0600Z-r1');
  expect(retriedBackupId(first)).toBe('backup-a-r2-20261121T0600Z-r2');
  expect(retriedFrom(retriedBackupId(first))).toBe(first);
  expect(retriedFrom(first)).toBe('backup-a-r2-20261121T0600Z');
  expect(retriedFrom('backup-a-r2-20261121T0600Z')).toBeUndefined();
});
