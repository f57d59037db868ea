/** Owns the look whether the API serves again while the restore still does other things: downtime ends when that is seen. */
import type { Step } from '../../domain/plan.ts';
import type { ApiServerLook } from '../../ports.ts';
import type { Execution } from './execution.ts';
import { provenServing, sleepSince } from './proofs.ts';

/** Looks until the first of them is seen ready, or `end` is called: nothing is proven by it but that the API serves again. */
export interface Lookout {
  /** Throws only what ends this worker's part in the restore. */
  end(): Promise<void>;
}

/**
 * Downtime ends when the API is seen to serve, though kube-apiservers are still being started and caches restarted. One
 * look at a time: what is looked at needs the machine more.
 */
export function lookOut(x: Execution, steps: readonly Step[]): Lookout {
  const over = new AbortController();
  const signal = AbortSignal.any([x.signal, over.signal]);
  let broken: Error | undefined;
  const looking = firstReady(x, steps, signal).catch((error: unknown) => {
    if (!signal.aborted) broken = error as Error;
  });
  return {
    async end() {
      over.abort();
      await looking;
      if (broken !== undefined) throw broken;
    },
  };
}

async function firstReady(x: Execution, steps: readonly Step[], signal: AbortSignal): Promise<void> {
  const startedAt = x.deps.clock.now().getTime();
  while (steps.length > 0) {
    for (const { node, action } of steps) {
      await sleepSince({ deps: x.deps, signal }, startedAt);
      const look = await lookOnce(x, node, action, signal);
      if (look?.ready === true) return provenServing(x, node, look);
    }
  }
}

/** Undefined: it can't be asked now; the proof that follows will tell. */
async function lookOnce(
  x: Execution,
  node: string,
  action: Step['action'],
  signal: AbortSignal,
): Promise<ApiServerLook | undefined> {
  if (action.kind !== 'proof' || action.proves !== 'serving') return undefined;
  try {
    return await x.nodes.once(node, ({ connection, steps }) =>
      x.deps.apiServers.look(connection, { port: action.port, ask: (...asked) => steps.ask(...asked), signal }),
    );
  } catch (error) {
    signal.throwIfAborted();
    x.deps.log.debug({ err: error, node, operation: x.request }, 'kube-apiserver could not be looked at yet');
    return undefined;
  }
}
