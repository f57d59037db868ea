/** Owns how the state of a message is changed: by compare-and-set until it holds, then handed to the outbox. */
import type { Outbox, SentMessages } from '../ports.ts';

export interface RememberOptions {
  readonly sentMessages: Pick<SentMessages, 'read' | 'changeState'>;
  readonly outbox: Pick<Outbox, 'enqueue'>;
}

/** Two writers meet now and then; so many in a row can't be chance. */
const WRITE_ATTEMPTS = 20;

/**
 * Keeps what `fold` makes of the state under `key`, and calls `deliver` whenever Slack does not have the newest version;
 * by default that is to ask the outbox at once. `fold` gives back its argument when nothing changes, undefined when there
 * is nothing to tell. Resolves with the state as it is then.
 */
export async function remember<State>(
  { sentMessages, outbox }: RememberOptions,
  key: string,
  fold: (before: State | undefined) => State | undefined,
  deliver: (key: string) => Promise<void> = (each) => outbox.enqueue(each),
): Promise<State | undefined> {
  for (let attempt = 1; attempt <= WRITE_ATTEMPTS; attempt += 1) {
    const record = await sentMessages.read(key);
    const before = record?.state as State | undefined;
    const after = fold(before);
    if (after === undefined) return before;
    const unchanged = after === before;
    if (unchanged && record?.sent?.version === record?.version) return after;
    if (unchanged || (await sentMessages.changeState(key, after, record?.version ?? 0))) {
      await deliver(key);
      return after;
    }
  }
  throw new Error(`The state of message ${key} changed under ${WRITE_ATTEMPTS} attempts to write it`);
}
