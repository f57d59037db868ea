/** Owns the numbers of stores that are spoken to by HTTP: parts, tries and time limits. */
import type { RetryPolicy } from '../../transfer/retry.ts';

/** Numbers that fit nearly everyone; tests make them small. */
export interface StoreTuning {
  /** Bytes of a part; S3 servers take no less than 5 MiB. */
  readonly partSize: number;
  /** Parts on their way at once; memory is `partSize` times this. */
  readonly buffers: number;
  readonly retry: RetryPolicy;
  readonly connectTimeoutMs: number;
  /** A request fails when no byte moved for so long. */
  readonly idleTimeoutMs: number;
  /** Entries asked for in one page of a listing. */
  readonly pageSize: number;
}

export const defaultTuning: StoreTuning = {
  partSize: 8 * 1024 * 1024,
  buffers: 4,
  // Five tries in about 25 s: a server that restarts is waited for.
  retry: { tries: 5, pauseMs: 1_000, withinMs: 60_000 },
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 20_000,
  pageSize: 1_000,
};

/** Somebody waits for the answer of a check: one more try, and no long pauses. */
export const CHECK_RETRY: RetryPolicy = { tries: 2, pauseMs: 500, withinMs: 10_000 };

/** An abort is told of within seconds: what it could not do is found among the open uploads later. */
export const ABORT_RETRY: RetryPolicy = { tries: 3, pauseMs: 500, withinMs: 10_000 };
