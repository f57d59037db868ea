/** Owns reading one object to its last byte, taken up again where a connection broke. */
import { Readable } from 'node:stream';
import { KeyturnError } from '../../domain/error.ts';
import { abortable } from '../../transfer/abortable.ts';

/** An answer that has begun. */
export interface OpenedRead {
  readonly body: Readable;
  /** Bytes of the whole object, as the first answer says; undefined when it does not. */
  readonly size: number | undefined;
  /** What names this very object among those that were ever stored under its key. */
  readonly etag: string | undefined;
  /** Where in the object the body begins. */
  readonly from: number;
}

export interface ResumedReadOptions {
  readonly place: { readonly store: string; readonly endpoint: string };
  readonly key: string;
  readonly signal: AbortSignal;
  /** How often in a row it is taken up again without a byte. */
  readonly tries: number;
  /** From byte `at` of the object with this etag on; from the start of whatever there is when undefined. Throws store.*. */
  readonly open: (position?: { readonly at: number; readonly etag: string | undefined }) => Promise<OpenedRead>;
  /** Whether what broke the body may not break it again. */
  readonly isTransient: (error: unknown) => boolean;
  readonly describe: (error: unknown) => KeyturnError;
}

/** Throws what `open` throws before it resolves; the stream fails with store.* when the object can't be had whole. */
export async function resumedRead(options: ResumedReadOptions): Promise<Readable> {
  const { signal } = options;
  const first = await begin(options);
  const stream = Readable.from(allBytes(options, first), { objectMode: false, highWaterMark: 1024 * 1024 });
  stream.once('close', () => first.body.destroy());
  return abortable(stream, signal);
}

async function begin(options: ResumedReadOptions, position?: Parameters<typeof options.open>[0]): Promise<OpenedRead> {
  const opened = await options.open(position);
  // A body that is let go of may still fail; nobody waits for it any more.
  opened.body.on('error', () => undefined);
  return opened;
}

async function* allBytes(options: ResumedReadOptions, first: OpenedRead): AsyncGenerator<Buffer> {
  const { signal, tries, describe } = options;
  const { size, etag } = first;
  let answer = first;
  let fruitless = 0;
  for (let at = 0; ;) {
    const before = at;
    try {
      for await (const chunk of answer.body) {
        at += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
      if (size === undefined || at === size) return;
      throw at > size ? tooMuch(options, size) : endedEarly();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof KeyturnError) throw error;
      if (!options.isTransient(error)) throw describe(error);
      fruitless = at > before ? 0 : fruitless + 1;
      if (fruitless >= tries) throw describe(error);
      if (at === size) return;
    }
    answer = await begin(options, { at, etag });
    if (answer.from === at) continue;
    answer.body.destroy();
    throw noRange(options);
  }
}

/** As Node says it of a connection that broke: worth another try. */
export function endedEarly(): Error {
  return Object.assign(new Error('the answer ended early'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
}

function tooMuch({ place, key }: ResumedReadOptions, size: number): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${place.store} sent more than the ${size} bytes of ${key}.`, {
    hint: 'Read it again; it may have been replaced meanwhile.',
  });
}

function noRange({ place, key }: ResumedReadOptions): KeyturnError {
  return new KeyturnError('store.refused', `Store ${place.store} can not go on reading ${key} where it broke.`, {
    hint: `Read it again; ${place.endpoint} does not answer to ranges.`,
  });
}
