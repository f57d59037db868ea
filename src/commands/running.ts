/** Owns the answer to: is something being done to this cluster, what, since when, and who asked for it? */
import { KeyturnError } from '../domain/error.ts';
import type { Job } from '../domain/job.ts';
import type { Trigger } from '../domain/snapshot.ts';
import type { CommandDeps } from './deps.ts';
import { within } from './deps.ts';

export interface Running {
  readonly operation: string;
  /** 'sweep' clears up what a failed backup left in a store. */
  readonly what: Job['kind'];
  readonly kind: 'running' | 'queued';
  /** ISO time of the start, or of the request while it waits. */
  readonly since: string;
  /** Undefined when the queue does not know it any more. */
  readonly trigger: Trigger | undefined;
}

const QUEUE_PATIENCE_MS = 5000;

/** Undefined when the cluster is free. Throws queue.unavailable. */
export async function whatRuns(
  deps: Pick<CommandDeps, 'queue' | 'lease' | 'clock'>,
  cluster: string,
): Promise<Running | undefined> {
  const [holder, job] = await askQueue(
    deps.clock,
    Promise.all([deps.lease.current(cluster), deps.queue.pendingBackup(cluster)]),
  );
  // A backup that waits for retention to end is what people want to know of.
  if (holder !== undefined && (holder.kind !== 'retention' || job === undefined)) {
    const trigger = job?.id === holder.id ? job.trigger : undefined;
    return { operation: holder.id, what: holder.kind, kind: 'running', since: holder.startedAt, trigger };
  }
  if (job !== undefined)
    return { operation: job.id, what: 'backup', kind: 'queued', since: job.askedAt, trigger: job.trigger };
  return undefined;
}

/** The queue's answer; when there is none in time, or the queue fails in its own words, queue.unavailable. */
export async function askQueue<T>(clock: CommandDeps['clock'], asked: Promise<T>): Promise<T> {
  try {
    return await within(clock, QUEUE_PATIENCE_MS, asked, () => new Error(`no answer within ${QUEUE_PATIENCE_MS} ms`));
  } catch (error) {
    if (error instanceof KeyturnError)
      throw new KeyturnError(error.code, `Nothing can be started now. ${error.message}`, {
        hint: error.hint,
        cause: error,
      });
    throw new KeyturnError('queue.unavailable', "The queue (Redis) can't be reached, so nothing can be started now.", {
      hint: 'Try again in a minute. If it stays like this, look after Redis; "keyturn check" tells what is wrong.',
      cause: error,
    });
  }
}
