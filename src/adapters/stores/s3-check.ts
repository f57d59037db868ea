/** Owns the proof that a bucket can be worked with: every right that Keyturn needs is used once. */
import { randomBytes } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { KeyturnError } from '../../domain/error.ts';
import type { AskOptions } from './asking.ts';
import { sha256Hex, signBody, type S3Access } from './s3-client.ts';
import { CHECK_RETRY } from './tuning.ts';

/** `base` goes before every key. Leaves nothing behind; throws store.* for the first thing that can't be done. */
export async function checkBucket(
  access: S3Access,
  { bucket, base }: { readonly bucket: string; readonly base: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  const target = { Bucket: bucket, Key: `${base}keyturn-check-${randomBytes(8).toString('hex')}` };
  const options: AskOptions = { signal, retry: CHECK_RETRY };
  const { client, ask } = access;
  await ask(
    `list bucket ${bucket}`,
    (send) => client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: base, MaxKeys: 1 }), send),
    options,
  );
  await writeReadRemove(access, target, options);
  // Policies often forget the rights for these.
  const { UploadId } = await ask(
    'begin a multipart upload',
    (send) => client.send(new CreateMultipartUploadCommand(target), send),
    options,
  );
  const upload = { ...target, UploadId };
  try {
    await ask(
      'list multipart uploads',
      (send) => client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: target.Key }), send),
      options,
    );
  } finally {
    const abort = new AbortMultipartUploadCommand(upload);
    await ask('abort a multipart upload', (send) => client.send(abort, send), { retry: CHECK_RETRY });
  }
}

async function writeReadRemove(
  access: S3Access,
  target: { readonly Bucket: string; readonly Key: string },
  options: AskOptions,
): Promise<void> {
  const { client, ask, place } = access;
  const body = randomBytes(32);
  const write = () => signBody(new PutObjectCommand({ ...target, Body: body }), sha256Hex(body));
  const remove = () => client.send(new DeleteObjectCommand(target));
  const readBack = async (send: { readonly abortSignal?: AbortSignal }): Promise<Uint8Array | undefined> => {
    const answer = await client.send(new GetObjectCommand(target), send);
    return answer.Body?.transformToByteArray();
  };
  try {
    await ask('write an object', (send) => client.send(write(), send), options);
    const found = await ask('read an object', readBack, options);
    if (!body.equals(found ?? Buffer.alloc(0))) {
      throw new KeyturnError('store.corrupt', `Store ${place.store} does not give back what was written to it.`, {
        hint: `Look at the log of ${place.endpoint}.`,
      });
    }
  } catch (error) {
    // It may have been written although its answer was lost; the first error is the one to tell.
    await ask('remove an object', remove, { retry: { ...CHECK_RETRY, tries: 1 } }).catch(() => undefined);
    throw error;
  }
  await ask('remove an object', remove, { retry: CHECK_RETRY });
}
