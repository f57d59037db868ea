/** Owns which failures of a backup are worth another attempt, and how long to wait before it. */
import type { ErrorCode } from './error.ts';

/** 'no': trying again without a person's help can't succeed. */
const WORTH_RETRYING: Readonly<Record<ErrorCode, 'yes' | 'no'>> = {
  'config.invalid': 'no',
  'cluster.unknown': 'no',
  'cluster.busy': 'yes',
  'permission.denied': 'no',
  'command.unknown': 'no',
  'command.invalid': 'no',
  'ssh.unreachable': 'yes',
  'ssh.host-key': 'no',
  'ssh.auth': 'no',
  'ssh.lost': 'yes',
  'ssh.forward-refused': 'yes',
  'node.command-failed': 'yes',
  'node.sudo-denied': 'no',
  'node.step-refused': 'no',
  'node.disk-full': 'no',
  'node.etcd-not-found': 'yes',
  'etcd.unreachable': 'yes',
  'etcd.tls': 'no',
  'etcd.auth': 'no',
  'etcd.no-leader': 'yes',
  'etcd.no-member': 'yes',
  'etcd.stalled': 'yes',
  'etcd.stream-broken': 'yes',
  'etcd.snapshot-corrupt': 'yes',
  'store.unreachable': 'yes',
  'store.credentials': 'no',
  'store.not-found': 'no',
  'store.full': 'no',
  'store.refused': 'no',
  'store.corrupt': 'yes',
  'queue.unavailable': 'yes',
  'lease.lost': 'yes',
  'plan.node-missing': 'no',
  'plan.no-tool': 'no',
  'plan.no-space': 'no',
  'plan.foreign-snapshot': 'no',
  'plan.unsupported': 'no',
  'job.timeout': 'yes',
  'job.interrupted': 'yes',
  'slack.refused': 'no',
  'request.unknown': 'no',
  'request.invalid': 'no',
  'request.open-already': 'no',
  'request.not-now': 'no',
  'request.expired': 'no',
  'request.void': 'no',
  'request.other-plan': 'no',
  'request.contended': 'no',
  'review.not-counted': 'no',
  'review.already': 'no',
  'review.code-needed': 'no',
  'step-up.not-enrolled': 'no',
  'step-up.wrong-code': 'no',
  'step-up.used-code': 'no',
  'step-up.locked': 'no',
  'step-up.not-now': 'no',
  'step-up.sealed': 'no',
  'audit.failed': 'no',
  internal: 'yes',
};

const WAITS_MS = [5_000, 30_000, 120_000] as const;

/** Milliseconds until the next attempt, or undefined when this was the last. `attempt` counts from 1. */
export function retryAfter(code: ErrorCode, attempt: number, attempts: number): number | undefined {
  if (WORTH_RETRYING[code] === 'no' || attempt >= attempts) return undefined;
  return WAITS_MS[Math.min(attempt, WAITS_MS.length) - 1];
}
