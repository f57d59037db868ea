/** Owns reading one S3 object, as a whole or from where a connection broke. */
import { Readable } from 'node:stream';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { resumedRead, type OpenedRead } from './resumed-read.ts';
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
  const { client, place, tuning, ask } = access;
  const what = `read ${key}`;
  const open = async (position?: { at: number; etag: string | undefined }): Promise<OpenedRead> => {
    const range = position && {
      Range: `bytes=${position.at}-`,
      ...(position.etag === undefined ? {} : { IfMatch: position.etag }),
    };
    const request = new GetObjectCommand({ ...target, ...range });
    const answer = await ask(what, (send) => client.send(request, send), { signal });
    if (!(answer.Body instanceof Readable)) throw new Error('the SDK answered without a stream');
    const from = Number(/^bytes (\d+)-/.exec(answer.ContentRange ?? '')?.[1] ?? 0);
    return { body: answer.Body, size: answer.ContentLength, etag: answer.ETag, from };
  };
  const describe = (error: unknown) => describeS3Error(place, what, error);
  return resumedRead({ place, key, signal, tries: tuning.retry.tries, open, isTransient, describe });
}
