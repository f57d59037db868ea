/** Owns the proof that a bucket can be worked with: every right that Keyturn needs is used once. */
import { randomBytes } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
  type DefaultRetention,
} from '@aws-sdk/client-s3';
import { KeyturnError } from '../../domain/error.ts';
import type { AskOptions } from './asking.ts';
import type { RetryPolicy } from '../../transfer/retry.ts';
import { md5Base64, sha256Hex, signBody, type S3Access } from './s3-client.ts';
import { isObjectMissing } from './s3-errors.ts';
import { lockOfBucket } from './s3-lock.ts';
import { removeObject } from './s3-remove.ts';
import { CHECK_RETRY } from './tuning.ts';

/**
 * `base` goes before every key. Leaves nothing behind; throws store.* for the first thing that can't be done. Answers in half a
 * sentence what can be done. Where the bucket locks everything that is written, no object is: it could not be removed again.
 */
export async function checkBucket(
  access: S3Access,
  { bucket, base }: { readonly bucket: string; readonly base: string },
  signal: AbortSignal | undefined,
): Promise<string> {
  const target = { Bucket: bucket, Key: `${base}keyturn-check-${randomBytes(8).toString('hex')}` };
  const options: AskOptions = { signal, retry: CHECK_RETRY };
  const { client, ask } = access;
  await ask(
    `list bucket ${bucket}`,
    (send) => client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: base, MaxKeys: 1 }), send),
    options,
  );
  const lock = await lockOfBucket(access, bucket, options);
  const retention = lock.kind === 'on' ? lock.retention : undefined;
  if (retention) await readNothing(access, target, options);
  else await writeReadRemove(access, target, options);
  // Policies often forget the rights for these.
  const { UploadId } = await ask(
    'begin a multipart upload',
    (send) =>
      client.send(new CreateMultipartUploadCommand({ ...target, ...access.encryption, ...access.storageClass }), send),
    options,
  );
  const upload = { ...target, UploadId };
  try {
    const part = randomBytes(32);
    const request = { ...upload, PartNumber: 1, Body: part, ContentMD5: md5Base64(part) };
    await ask(
      'write a part',
      (send) => client.send(signBody(new UploadPartCommand(request), sha256Hex(part)), send),
      options,
    );
    await ask(
      'list multipart uploads',
      (send) => client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: target.Key }), send),
      options,
    );
  } finally {
    const abort = new AbortMultipartUploadCommand(upload);
    await ask('abort a multipart upload', (send) => client.send(abort, send), { retry: CHECK_RETRY });
  }
  return retention
    ? `can be listed and written in; it locks what is written ${spanOf(retention)}, so that deleting was not tried`
    : `can be listed, written and deleted in${lock.kind === 'on' ? ', with object lock' : ''}`;
}

function spanOf({ Days, Years }: DefaultRetention): string {
  return Days === undefined ? `for ${Years ?? '?'} years` : `for ${Days} days`;
}

/** Whether reading is allowed shows with an object that is not there, too. */
async function readNothing(
  { client, askIfThere }: S3Access,
  target: { readonly Bucket: string; readonly Key: string },
  options: AskOptions,
): Promise<void> {
  await askIfThere('read', (send) => client.send(new GetObjectCommand(target), send), isObjectMissing, options);
}

async function writeReadRemove(
  access: S3Access,
  target: { readonly Bucket: string; readonly Key: string },
  options: AskOptions,
): Promise<void> {
  const { client, ask, place } = access;
  const body = randomBytes(32);
  const request = { ...target, ...access.encryption, Body: body, ContentMD5: md5Base64(body) };
  const write = () => signBody(new PutObjectCommand(request), sha256Hex(body));
  const remove = (retry: RetryPolicy) => removeObject(access, target, 'an object', { retry });
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
    await remove({ ...CHECK_RETRY, tries: 1 }).catch(() => undefined);
    throw error;
  }
  await remove(CHECK_RETRY);
}
