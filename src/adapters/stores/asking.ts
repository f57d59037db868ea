/** Owns how a store is asked for something: tried again where that may help, stopped by a signal, its errors in our words. */
import type { KeyturnError } from '../../domain/error.ts';
import type { Clock } from '../../ports.ts';
import { retrying, type RetryPolicy } from '../../transfer/retry.ts';

/** Options of one request. */
export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: the store's own. */
  readonly retry?: RetryPolicy;
}

/** What an SDK takes beside the request. */
export interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

export interface Asking {
  /** The answer of `action`, tried again as the policy says; throws KeyturnError store.*, or the signal's reason. */
  readonly ask: <T>(what: string, action: (options: SendOptions) => Promise<T>, options?: AskOptions) => Promise<T>;
  /** The same, but undefined when `isAbsent` says so of an error. */
  readonly askIfThere: <T>(
    what: string,
    action: (options: SendOptions) => Promise<T>,
    isAbsent: (error: unknown) => boolean,
    options?: AskOptions,
  ) => Promise<T | undefined>;
}

export interface AskingOptions {
  readonly retry: RetryPolicy;
  readonly clock: Clock;
  readonly isTransient: (error: unknown) => boolean;
  /** `what` completes "Store x could not …". */
  readonly describe: (what: string, error: unknown) => KeyturnError;
}

export function asking({ retry: usual, clock, isTransient, describe }: AskingOptions): Asking {
  const askIfThere: Asking['askIfThere'] = async (what, action, isAbsent, { signal, retry = usual } = {}) => {
    const send = signal ? { abortSignal: signal } : {};
    try {
      return await retrying(() => action(send), isTransient, retry, clock, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (isAbsent(error)) return undefined;
      throw describe(what, error);
    }
  };
  return {
    askIfThere,
    // What is never absent is never undefined by itself.
    ask: <T>(what: string, action: (options: SendOptions) => Promise<T>, options?: AskOptions) =>
      askIfThere(what, action, () => false, options) as Promise<T>,
  };
}
