import { describe, expect, test } from 'vitest';
import { freshness, missedRun } from '../../src/domain/schedule.ts';

const six = new Date('2026-11-21T06:00:00Z');
const midnight = new Date('2026-11-21T00:00:00Z');

describe('the run that is due', () => {
  test('is the newest one that nobody queued', () => {
    expect(missedRun({ previousRun: six, lastQueuedRun: midnight, newestSnapshotAt: undefined })).toBe(six);
  });
  test('is none when it was queued', () => {
    expect(missedRun({ previousRun: six, lastQueuedRun: six, newestSnapshotAt: undefined })).toBeUndefined();
  });
  test('is none when the clock went back', () => {
    expect(missedRun({ previousRun: midnight, lastQueuedRun: six, newestSnapshotAt: undefined })).toBeUndefined();
  });
  test('is none when nothing is remembered but a snapshot is newer', () => {
    expect(missedRun({ previousRun: midnight, lastQueuedRun: undefined, newestSnapshotAt: six })).toBeUndefined();
  });
  test('is the newest one for a cluster that was never backed up', () => {
    expect(missedRun({ previousRun: six, lastQueuedRun: undefined, newestSnapshotAt: undefined })).toBe(six);
  });
  test('is none without a schedule', () => {
    expect(
      missedRun({ previousRun: undefined, lastQueuedRun: undefined, newestSnapshotAt: undefined }),
    ).toBeUndefined();
  });
});

describe('freshness', () => {
  const hour = 3_600_000;
  test('is kept up to the very millisecond of the RPO', () => {
    expect(freshness(midnight, 6 * hour, six)).toBe('fresh');
    expect(freshness(midnight, 6 * hour - 1, six)).toBe('late');
  });
  test('without a snapshot is "never", whatever the RPO', () => {
    expect(freshness(undefined, undefined, six)).toBe('never');
  });
  test('without an RPO is not watched', () => {
    expect(freshness(midnight, undefined, six)).toBe('not-watched');
  });
});
