/** Owns reading one S3 object to its last byte, taken up again where a connection broke. */
import { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { KeyturnError } from '../../domain/error.ts';
import { abortable } from '../../transfer/abortable.ts';
import type { S3Access } from './s3-client.ts';
import { describeS3Error, isTransient } from './s3-errors.ts';

interface Target {
  readonly Bucket: string;
  readonly Key: string;
}

/** Throws store.not-found before it resolves; the stream fails with store.* when the object can't be had whole. */
export async function readObject(
  access: S3Access,
  target: Target,
  key: string,
  signal: AbortSignal,
): Promise<Readable> {
  const first = await open(access, target, key, signal, undefined);
  const stream = Readable.from(allBytes(access, target, key, signal, first), {
    objectMode: false,
    highWaterMark: 1024 * 1024,
  });
  stream.once('close', () => bodyOf(first).destroy());
  return abortable(stream, signal);
}

interface Position {
  readonly at: number;
  readonly etag: string | undefined;
}

async function open(
  access: S3Access,
  target: Target,
  key: string,
  signal: AbortSignal,
  from: Position | undefined,
): Promise<GetObjectCommandOutput> {
  const range = from && { Range: `bytes=${from.at}-`, ...(from.etag === undefined ? {} : { IfMatch: from.etag }) };
  return access.ask(`read ${key}`, (send) => access.client.send(new GetObjectCommand({ ...target, ...range }), send), {
    signal,
  });
}

async function* allBytes(
  access: S3Access,
  target: Target,
  key: string,
  signal: AbortSignal,
  first: GetObjectCommandOutput,
): AsyncGenerator<Buffer> {
  const size = first.ContentLength;
  let answer = first;
  let fruitless = 0;
  for (let at = 0; ;) {
    const before = at;
    try {
      for await (const chunk of bodyOf(answer)) {
        at += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
      if (size === undefined || at === size) return;
      throw at > size ? tooMuch(access, key, size) : endedEarly();
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error)) throw describeS3Error(access.place, `read ${key}`, error);
      fruitless = at > before ? 0 : fruitless + 1;
      if (fruitless >= access.tuning.retry.tries) throw describeS3Error(access.place, `read ${key}`, error);
      if (at === size) return;
    }
    answer = await open(access, target, key, signal, { at, etag: first.ETag });
    if (!(answer.ContentRange ?? '').startsWith(`bytes ${at}-`)) throw noRange(access, key);
  }
}

function bodyOf(answer: GetObjectCommandOutput): Readable {
  if (answer.Body instanceof Readable) return answer.Body;
  throw new Error('the SDK answered without a stream');
}

/** As Node says it of a connection that broke: worth another try. */
function endedEarly(): Error {
  return Object.assign(new Error('the answer ended early'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
}

function tooMuch(access: S3Access, key: string, size: number): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${access.place.store} sent more than the ${size} bytes of ${key}.`, {
    hint: 'Read it again; it may have been replaced meanwhile.',
  });
}

function noRange(access: S3Access, key: string): KeyturnError {
  return new KeyturnError('store.refused', `Store ${access.place.store} can not go on reading ${key} where it broke.`, {
    hint: `Read it again; ${access.place.endpoint} does not answer to ranges.`,
  });
}
