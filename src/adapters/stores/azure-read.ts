/** Owns reading one blob, as a whole or from where a connection broke. */
import { Readable } from 'node:stream';
import type { AzureAccess } from './azure-client.ts';
import { describeAzureError } from './azure-errors.ts';
import { endedEarly, resumedRead, type OpenedRead } from './resumed-read.ts';

/** Throws store.not-found before it resolves; the stream fails with store.* when the blob can't be had whole. */
export async function readBlob(access: AzureAccess, key: string, signal: AbortSignal): Promise<Readable> {
  const { place, tuning, ask } = access;
  const what = `read ${key}`;
  const open = async (position?: { at: number; etag: string | undefined }): Promise<OpenedRead> => {
    const conditions = position?.etag === undefined ? {} : { conditions: { ifMatch: position.etag } };
    const at = position?.at ?? 0;
    const answer = await ask(
      what,
      async (send) => (await access.blob(key)).download(at, undefined, { ...send, ...conditions, maxRetryRequests: 0 }),
      { signal },
    );
    if (!(answer.readableStreamBody instanceof Readable)) throw new Error('the SDK answered without a stream');
    const from = Number(/^bytes (\d+)-/.exec(answer.contentRange ?? '')?.[1] ?? 0);
    return { body: answer.readableStreamBody, size: answer.contentLength, etag: answer.etag, from };
  };
  return resumedRead({
    place,
    key,
    signal,
    tries: tuning.retry.tries,
    open,
    // The SDK's stream hides what broke it: it is opened again, and that says why it can't be.
    isTransient: () => true,
    describe: () => describeAzureError(place, what, endedEarly()),
  });
}
