/** Owns what a run of retention needs of the world, and how patient it is with a store. */
import type { ClusterSpec } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { within } from '../../domain/within.ts';
import type { Clock, ClusterLease, Log, Publish } from '../../ports.ts';
import type { RetentionLooks } from '../../retention/look.ts';

export interface RetentionDeps extends RetentionLooks {
  readonly clusters: ReadonlyMap<string, ClusterSpec>;
  readonly lease: ClusterLease;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a run of retention may rely on while it removes. */
export interface Run {
  readonly id: string;
  readonly spec: ClusterSpec;
  readonly deps: RetentionDeps;
  /** Throws when the run must not go on: told to stop, or the cluster may be somebody else's. Asks the lease itself. */
  readonly mayGoOn: () => Promise<void>;
  /** As `mayGoOn`, by what is known here. */
  readonly throwIfEnded: () => void;
  /** No removal begins after this. */
  readonly until: Date;
}

/** One call to a store; the run goes on without it after so long. */
const CALL_MS = 60_000;

/** Throws what `call` throws, and store.unreachable when it does not end. What it still does afterwards does no harm. */
export function patiently<T>(
  { clock }: Pick<RetentionDeps, 'clock'>,
  store: string,
  call: Promise<T>,
  ms = CALL_MS,
): Promise<T> {
  return within(clock, ms, call, () => {
    const message = `Store ${store} did not answer within ${ms / 1000} s.`;
    return new KeyturnError('store.unreachable', message, {
      hint: `Look at the store ${store}; "keyturn check" tries it.`,
    });
  });
}
