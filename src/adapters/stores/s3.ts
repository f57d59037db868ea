/** Owns S3 as a store: AWS, Ceph, MinIO, Swift and whoever else speaks it. */
import type { Readable } from 'node:stream';
import {
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { Clock, OpenUpload, SnapshotStore, StoredObject } from '../../ports.ts';
import { assertKey, isKey } from '../../domain/object-key.ts';
import { checkBucket } from './s3-check.ts';
import {
  defaultS3Tuning,
  md5Base64,
  s3Access,
  sha256Hex,
  signBody,
  type S3StoreOptions,
  type S3Tuning,
} from './s3-client.ts';
import { isObjectMissing } from './s3-errors.ts';
import { setLegalHold } from './s3-lock.ts';
import { readObject } from './s3-read.ts';
import { removeObject } from './s3-remove.ts';
import { abortUpload, s3Upload } from './s3-upload.ts';

export type { S3StoreOptions, S3Tuning } from './s3-client.ts';

/**
 * A bucket, or the part of it below a prefix. Opens no connection by itself.
 * Throws config.invalid for a plain `http://` endpoint that is not allowed.
 */
export function s3Store(options: S3StoreOptions, clock: Clock, tuning: Partial<S3Tuning> = {}): SnapshotStore {
  const { name, bucket } = options;
  const access = s3Access(options, { ...defaultS3Tuning, ...tuning }, clock);
  const { client, ask, askIfThere } = access;
  const base = options.prefix === '' ? '' : `${options.prefix}/`;
  const target = (key: string) => {
    assertKey(key);
    return { Bucket: bucket, Key: `${base}${key}` };
  };

  const put = async (key: string, body: Uint8Array): Promise<void> => {
    const ContentType = key.endsWith('.json') ? 'application/json' : 'application/octet-stream';
    const request = { ...target(key), ...access.encryption, Body: body, ContentType, ContentMD5: md5Base64(body) };
    const hash = sha256Hex(body);
    await ask(`store ${key}`, (send) => client.send(signBody(new PutObjectCommand(request), hash), send));
  };
  const read = async (key: string, signal: AbortSignal): Promise<Readable> => {
    const request = target(key);
    signal.throwIfAborted();
    return readObject(access, request, key, signal);
  };
  const get = async (key: string): Promise<Uint8Array> => {
    const chunks: Buffer[] = [];
    for await (const chunk of await read(key, new AbortController().signal)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  };
  const list = async function* (prefix: string): AsyncGenerator<StoredObject> {
    const request = { Bucket: bucket, Prefix: `${base}${prefix}`, MaxKeys: access.tuning.pageSize };
    for (let page: string | undefined, more = true; more;) {
      const next = page === undefined ? {} : { ContinuationToken: page };
      const answer = await ask(`list ${prefix}`, (send) =>
        client.send(new ListObjectsV2Command({ ...request, ...next }), send),
      );
      for (const { Key = '', Size, LastModified } of answer.Contents ?? []) {
        const key = Key.slice(base.length);
        if (isKey(key) && Size !== undefined && LastModified) yield { key, size: Size, modifiedAt: LastModified };
      }
      page = answer.NextContinuationToken;
      more = answer.IsTruncated === true && page !== undefined;
    }
  };
  const openUploads = async function* (prefix: string): AsyncGenerator<OpenUpload> {
    const request = { Bucket: bucket, Prefix: `${base}${prefix}`, MaxUploads: access.tuning.pageSize };
    for (let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}; marker;) {
      const from: { KeyMarker?: string; UploadIdMarker?: string } = marker;
      const answer = await ask(`list open uploads of ${prefix}`, (send) =>
        client.send(new ListMultipartUploadsCommand({ ...request, ...from }), send),
      );
      for (const { Key = '', UploadId, Initiated } of answer.Uploads ?? []) {
        const key = Key.slice(base.length);
        if (isKey(key) && UploadId !== undefined) yield { key, id: UploadId, startedAt: Initiated ?? new Date(0) };
      }
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = answer;
      marker =
        IsTruncated === true && NextKeyMarker !== undefined
          ? {
              KeyMarker: NextKeyMarker,
              ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
            }
          : undefined;
    }
  };

  return {
    name,
    kind: 's3',
    put,
    get,
    read,
    remove: async (key) => removeObject(access, target(key), key),
    legalHold: async (key, on) => setLegalHold(access, target(key), key, on),
    list,
    openUploads,
    async check(signal) {
      const found = await checkBucket(access, { bucket, base }, signal);
      const style = options.forcePathStyle ? 'path-style' : 'virtual-hosted';
      return `bucket ${bucket} at ${access.place.endpoint} (${style}), ${found}`;
    },
    async beginUpload(key, signal) {
      const { Key: fullKey } = target(key);
      signal.throwIfAborted();
      const abortOthers = async (exceptId: string | undefined): Promise<void> => {
        for await (const other of openUploads(key)) {
          if (other.key === key && other.id !== exceptId) await abortUpload(access, target(key), key, other.id);
        }
      };
      return s3Upload({ access, bucket, key, fullKey, signal, abortOthers });
    },
    async stat(key) {
      const request = target(key);
      const head = await askIfThere(
        `look at ${key}`,
        (send) => client.send(new HeadObjectCommand(request), send),
        isObjectMissing,
      );
      return head && { key, size: head.ContentLength ?? 0, modifiedAt: head.LastModified ?? new Date(0) };
    },
    async abortUpload(upload) {
      await abortUpload(access, target(upload.key), upload.key, upload.id);
    },
  };
}
