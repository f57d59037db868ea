/**
 * Owns which jobs wait for which. Each lane has slots of its own, so that a restore never waits for backups to end, and
 * nothing waits for the slow reading of what is stored long since.
 */
import type { Job } from './job.ts';

export const LANES = ['restores', 'backups', 'background'] as const;
export type Lane = (typeof LANES)[number];

export const LANE_OF: Readonly<Record<Job['kind'], Lane>> = {
  restore: 'restores',
  cleanup: 'restores',
  backup: 'backups',
  sweep: 'backups',
  retention: 'backups',
  hold: 'backups',
  verify: 'background',
  scrub: 'background',
  repair: 'background',
};

/** Jobs that one worker works on side by side in a lane. What reads in the background has one slot, whatever there is. */
export function slotsOf(lane: Lane, concurrency: number): number {
  return lane === 'background' ? 1 : concurrency;
}
