/** Owns what becomes of a job after an attempt: done, tried again (at what cost and when), or given up. Pure. */
import type { JobResult } from '../../ports.ts';

/**
 * How one attempt ended. It threw: because its worker was told to stop (`interrupted`), because the job was taken from
 * its worker (`taken`: that counts, or a job that freezes its worker would come again for ever), or of its own.
 */
export type Outcome = JobResult | { readonly kind: 'interrupted' | 'taken' | 'threw' };

export type Next =
  | { readonly kind: 'completed' }
  | { readonly kind: 'failed' }
  /** Taken up again after `delayMs`; when `free`, the attempt does not count. */
  | { readonly kind: 'wait'; readonly delayMs: number; readonly free: boolean };

/**
 * When the last attempt threw or died with its process, nobody has been told. The handler is then called with an attempt
 * above `attempts`, only to report; so often at most, since a report can fail or die too.
 */
const REPORT_TRIES = 5;

const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 60_000;

/** Whether attempt number `attempt` may still be handed to the handler. */
export function mayStart(attempt: number, attempts: number): boolean {
  return attempt <= attempts + REPORT_TRIES;
}

/** What becomes of the job after its attempt number `attempt` (from 1) of `attempts`. */
export function afterAttempt(outcome: Outcome, attempt: number, attempts: number): Next {
  switch (outcome.kind) {
    case 'done':
      return { kind: 'completed' };
    case 'later':
      return { kind: 'wait', delayMs: outcome.afterMs, free: true };
    case 'interrupted':
      return { kind: 'wait', delayMs: 0, free: true };
    case 'taken':
      return { kind: 'wait', delayMs: 0, free: false };
    case 'again':
      return attempt < attempts ? { kind: 'wait', delayMs: outcome.afterMs, free: false } : { kind: 'failed' };
    case 'threw':
      return mayStart(attempt + 1, attempts)
        ? { kind: 'wait', delayMs: backoffMs(attempt), free: false }
        : { kind: 'failed' };
  }
}

/** 1 s, 2 s, 4 s … 60 s. */
export function backoffMs(attempt: number): number {
  return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(attempt - 1, 16));
}
