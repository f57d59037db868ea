/** Short times for tests: a dead worker is noticed in seconds, but a busy machine is not taken for one. */
export const QUEUE_TIMES = { lockMs: 3_000, stalledMs: 500 };
export const OUTBOX_TIMES = { pollMs: 20, turnMs: 3_000, retryMs: 50, longestRetryMs: 200, giveUpMs: 3_600_000 };
export const LEASE_TIMES = { ttlMs: 3_000, renewMs: 200 };
