/** Owns one upload to S3: parts sent while they are filled, nothing visible before the end, nothing left after an abort. */
import { createHash, randomUUID, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type HeadObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { KeyturnError } from '../../domain/error.ts';
import type { Upload } from '../../ports.ts';
import { partBuffers, type Part, type PartSum } from '../../transfer/part-buffers.ts';
import type { AskOptions } from './asking.ts';
import { md5Base64, sha256Hex, signBody, type S3Access } from './s3-client.ts';
import { isAnswer, isBadRequest, isObjectMissing } from './s3-errors.ts';
import { removeVersion } from './s3-remove.ts';
import { ABORT_RETRY } from './tuning.ts';

export interface S3UploadOptions {
  readonly access: S3Access;
  readonly bucket: string;
  /** As callers know it. */
  readonly key: string;
  /** With the store's prefix. */
  readonly fullKey: string;
  readonly signal: AbortSignal;
  /** Aborts every open multipart upload of this key but `exceptId`. */
  abortOthers(exceptId: string | undefined): Promise<void>;
}

/** Instead of the SHA-256 of a body. */
const UNSIGNED = 'UNSIGNED-PAYLOAD';

/** Metadata by which an upload knows its own object again, after a completion whose answer was lost. */
const UPLOAD_MARK = 'keyturn-upload';

/**
 * Bytes of part `number`. Parts grow late, so that memory is the same up to more than 4 GiB, and so that 1,000 parts
 * (Swift's limit) hold 20 GiB and 10,000 (AWS's) half a TiB (with the default of 8 MiB). All but the last of one size suit every server.
 */
export function sizeOfPart(partSize: number, number: number): number {
  if (number <= 600) return partSize;
  return number <= 800 ? 2 * partSize : 8 * partSize;
}

interface Multipart {
  readonly id: string;
  readonly crc32: Crc32Check;
}

/** 'told': the server says that it checks CRC32, and wants them again at the end. 'seen': it refused a wrong one. */
type Crc32Check = 'told' | 'seen' | 'none';

export function s3Upload(options: S3UploadOptions): Upload {
  const { access, bucket, key, fullKey } = options;
  const { client, tuning } = access;
  const target = { Bucket: bucket, Key: fullKey };
  const mark = randomUUID();
  const object = {
    ...{ ...target, ...access.encryption, ...access.storageClass },
    ContentType: 'application/octet-stream',
    Metadata: { [UPLOAD_MARK]: mark },
  };
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const completed: CompletedPart[] = [];
  let size = 0;
  let creating: Promise<Multipart> | undefined;
  let creations = 0;
  let state: 'open' | 'completing' | 'stored' | 'aborted' = 'open';

  /** Not cut short by the signal: an upload whose id we never learned could not be aborted. */
  const create = async (): Promise<Multipart> => {
    const answer = await access.ask(
      `begin an upload of ${key}`,
      () => {
        creations += 1;
        return client.send(new CreateMultipartUploadCommand({ ...object, ChecksumAlgorithm: 'CRC32' }));
      },
      { signal: undefined },
    );
    const id = answer.UploadId;
    if (id === undefined) throw notUnderstood(access, 'an upload without an id');
    if (answer.ChecksumAlgorithm === 'CRC32') return { id, crc32: 'told' };
    access.checksCrc32 ??= await refusesWrongCrc32(access, { ...target, UploadId: id }, signal);
    return { id, crc32: access.checksCrc32 === true ? 'seen' : 'none' };
  };
  const sendPart = async ({ number, bytes, sum }: Part<Sum>): Promise<void> => {
    const { id, crc32 } = await (creating ??= create());
    const request = { ...target, UploadId: id, PartNumber: number, Body: bytes };
    const crc = crc32 === 'none' ? {} : { ChecksumCRC32: sum.crc32(bytes) };
    const hash = crc32 === 'none' ? sum.sha256(bytes) : UNSIGNED;
    const answer = await access.ask(
      `store part ${number} of ${key}`,
      (send) => client.send(signBody(new UploadPartCommand({ ...request, ...crc }), hash), send),
      { signal },
    );
    if (answer.ETag === undefined) throw notUnderstood(access, 'a part without an ETag');
    completed.push({ PartNumber: number, ETag: answer.ETag, ...(crc32 === 'told' ? crc : {}) });
  };
  const buffers = partBuffers<Sum>({
    count: tuning.buffers,
    sizeOf: (number) => sizeOfPart(tuning.partSize, number),
    startSum: access.checksCrc32 === false ? sha256Sum : crc32Sum,
    send: sendPart,
  });

  /** Our object as it is stored now; undefined when there is none, or one that is not of this upload. */
  const findOurs = async (how: AskOptions): Promise<HeadObjectCommandOutput | undefined> => {
    const head = await access.askIfThere(
      `look at ${key}`,
      (send) => client.send(new HeadObjectCommand(target), send),
      isObjectMissing,
      how,
    );
    return head?.Metadata?.[UPLOAD_MARK] === mark ? head : undefined;
  };
  const putWhole = async (): Promise<void> => {
    const body = buffers.rest()?.bytes ?? Buffer.alloc(0);
    const request = { ...object, Body: body, ContentMD5: md5Base64(body) };
    const hash = sha256Hex(body);
    await access.ask(`store ${key}`, (send) => client.send(signBody(new PutObjectCommand(request), hash), send), {
      signal,
    });
  };
  const completeMultipart = async ({ id }: Multipart): Promise<void> => {
    const rest = buffers.rest();
    if (rest) await sendPart(rest);
    const Parts = completed.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    const request = { ...target, UploadId: id, MultipartUpload: { Parts } };
    await access.ask(
      `complete the upload of ${key}`,
      async (send) => {
        try {
          await client.send(new CompleteMultipartUploadCommand(request), send);
        } catch (error) {
          // An earlier try may have gone through although its answer was lost.
          if (!isAnswer(error, 'NoSuchUpload') || !(await findOurs({ signal }))) throw error;
        }
      },
      { signal },
    );
  };
  const abortMultipart = async (): Promise<void> => {
    const multipart = await creating?.catch(() => undefined);
    if (creations > 1 || (creations > 0 && !multipart)) await options.abortOthers(undefined);
    if (multipart) await abortUpload(access, target, key, multipart.id);
  };

  return {
    async write(chunk) {
      options.signal.throwIfAborted();
      await buffers.write(chunk);
      size += chunk.length;
    },
    async complete() {
      options.signal.throwIfAborted();
      await buffers.drained();
      state = 'completing';
      const multipart = await creating;
      await (multipart ? completeMultipart(multipart) : putWhole());
      const ours = await findOurs({ signal });
      if (ours?.ContentLength !== size) {
        const found = ours ? `${ours.ContentLength ?? 'an unknown number of'} bytes` : 'nothing of this upload';
        throw new KeyturnError('store.corrupt', `Store ${access.place.store} shows ${found} of ${key}, not ${size}.`, {
          hint: `Take the backup again; if it stays so, look at the log of ${access.place.endpoint}.`,
        });
      }
      if (multipart && creations > 1) await options.abortOthers(multipart.id);
      state = 'stored';
      buffers.release();
      return { key, size, modifiedAt: ours.LastModified ?? access.clock.now() };
    },
    async abort() {
      if (state === 'stored' || state === 'aborted') return;
      const mayBeVisible = state === 'completing';
      // A part that arrives after the abort would stay, and be paid for: none may be on its way.
      stop.abort(new Error('upload aborted'));
      await buffers.drained().catch(() => undefined); // it was reported when it happened
      buffers.release();
      await abortMultipart();
      const ours = mayBeVisible ? await findOurs({ retry: ABORT_RETRY }) : undefined;
      if (ours) {
        const version = { ...target, VersionId: ours.VersionId };
        await removeVersion(access, version, key, { retry: ABORT_RETRY }, ours);
      }
      state = 'aborted';
    },
  };
}

/** Aborts, and looks whether it is gone: servers may still take in a part for a moment. No error when it is gone already. */
export async function abortUpload(
  access: S3Access,
  target: { readonly Bucket: string; readonly Key: string },
  key: string,
  id: string,
): Promise<void> {
  const request = { ...target, UploadId: id };
  const isGone = (error: unknown): boolean => isAnswer(error, 'NoSuchUpload') || isObjectMissing(error);
  const what = `abort the upload of ${key}`;
  const options = { retry: ABORT_RETRY };
  const { askIfThere, client } = access;
  for (let tries = 0; tries < 3; tries += 1) {
    await askIfThere(what, (send) => client.send(new AbortMultipartUploadCommand(request), send), isGone, options);
    const look = new ListPartsCommand({ ...request, MaxParts: 1 });
    const left = await askIfThere(what, (send) => client.send(look, send), isGone, options);
    if (!left) return;
    await access.clock.sleep(500);
  }
  throw new KeyturnError(
    'store.refused',
    `Store ${access.place.store} still has an upload of ${key} after its abort.`,
    {
      hint: `Abort upload ${id} by hand, or let a lifecycle rule of bucket ${target.Bucket} do it.`,
    },
  );
}

/**
 * Whether the server checks the CRC32 of a part, found out with one byte and a wrong sum. Should it be taken in, the first
 * part replaces it. Undefined when that could not be told.
 */
async function refusesWrongCrc32(
  { client }: S3Access,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string },
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const wrong = { ...upload, PartNumber: 1, Body: Buffer.from('x'), ChecksumCRC32: crc32Base64(0) };
  try {
    await client.send(signBody(new UploadPartCommand(wrong), UNSIGNED), { abortSignal: signal });
    return false;
  } catch (error) {
    return isBadRequest(error) ? true : undefined;
  }
}

/** The checksum of a part while it is filled, in the form that the server will most likely check; the other is made of `bytes`. */
interface Sum extends PartSum {
  /** Base64 of the four bytes. */
  crc32(bytes: Buffer): string;
  /** Hex. */
  sha256(bytes: Buffer): string;
}

function sha256Sum(): Sum {
  const hash: Hash = createHash('sha256');
  let hex: string | undefined;
  return {
    update: (bytes) => hash.update(bytes),
    crc32: (bytes) => crc32Base64(crc32(bytes)),
    sha256: () => (hex ??= hash.digest('hex')),
  };
}

function crc32Sum(): Sum {
  let sum = 0;
  return {
    update: (bytes) => {
      sum = crc32(bytes, sum);
    },
    crc32: () => crc32Base64(sum),
    sha256: sha256Hex,
  };
}

function crc32Base64(sum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(sum);
  return bytes.toString('base64');
}

function notUnderstood(access: S3Access, what: string): KeyturnError {
  return new KeyturnError('store.refused', `Store ${access.place.store} answered with ${what}.`, {
    hint: `See that ${access.place.endpoint} speaks S3.`,
  });
}
