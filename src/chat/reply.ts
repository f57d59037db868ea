/** Owns how an answer gets back to the one who asked: by the response URL, patiently, without wasting its five uses. */
import type { KnownBlock } from '@slack/types';
import type { Clock, Log } from '../ports.ts';
import type { MessageView } from './blocks.ts';

/** What a response URL takes. */
export interface ReplyBody {
  readonly response_type: 'ephemeral';
  readonly replace_original: boolean;
  readonly text: string;
  readonly blocks?: KnownBlock[];
}

/** Bolt's `respond`: throws an error with `statusCode` when Slack said no, any other when Slack was not reached. */
export type Respond = (body: ReplyBody) => Promise<unknown>;

/** Half a minute in all: longer than a deployment of Slack's takes, and the one who asked is still there. */
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15_000];
/** A response URL can be used five times; what is refused may count. */
const MAX_REFUSALS = 3;

/** Resolves true when the answer was taken. Never throws: an answer that can't be given is logged. */
export async function reply(
  respond: Respond,
  view: MessageView,
  options: { readonly replace: boolean; readonly clock: Clock; readonly log: Log; readonly signal: AbortSignal },
): Promise<boolean> {
  const { clock, log, signal, replace } = options;
  let refusals = 0;
  for (const pauseMs of [...PAUSES_MS, 0]) {
    try {
      // After a no, the text alone: it says all, and the blocks may have been the reason.
      await respond(bodyOf(view, replace, refusals === 0));
      return true;
    } catch (error) {
      const status = statusOf(error);
      const refused = status !== undefined && status < 500 && status !== 429;
      if (refused) refusals += 1;
      const hopeless = status === 404 || status === 410 || refusals >= MAX_REFUSALS || pauseMs === 0;
      if (hopeless || signal.aborted) {
        log.warn({ status, err: error }, 'An answer could not be given');
        return false;
      }
    }
    await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
  return false;
}

function bodyOf(view: MessageView, replace: boolean, withBlocks: boolean): ReplyBody {
  const body = { response_type: 'ephemeral', replace_original: replace, text: view.text } as const;
  return withBlocks ? { ...body, blocks: [...view.blocks] } : body;
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}
