/** Owns how an S3 server is spoken to: addressing, certificates, credentials, time limits, tries, and errors in our words. */
import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import {
  S3Client,
  type PutObjectCommand,
  type S3ClientConfig,
  type ServerSideEncryption,
  type StorageClass,
  type UploadPartCommand,
} from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Clock } from '../../ports.ts';
import { asking, type Asking } from './asking.ts';
import { describeS3Error, isTransient, type S3Place } from './s3-errors.ts';
import { requireEncryption, trusted, type LineOptions } from './tls.ts';
import type { StoreTuning } from './tuning.ts';

export interface S3StoreOptions extends LineOptions {
  /** Undefined: AWS's own for the region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly bucket: string;
  /** Goes before every key; without leading or trailing slash; may be empty. */
  readonly prefix: string;
  readonly forcePathStyle: boolean;
  /** Values, not references. Undefined: the SDK's default chain (environment, profile, role). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
  /** Asked for with everything that is written. Undefined: the bucket's own default. */
  readonly serverSideEncryption?: 'AES256' | 'aws:kms' | undefined;
  /** Only with `aws:kms`. Undefined: the bucket's or AWS's own key. */
  readonly kmsKeyId?: string | undefined;
  /** Of uploads; what is `put` stays in the standard class, so that manifests can always be read at once. */
  readonly storageClass?: string | undefined;
}

/** Numbers that fit nearly everyone; tests make them small. */
export type S3Tuning = StoreTuning;
export { defaultTuning as defaultS3Tuning } from './tuning.ts';

export interface S3Access extends Asking {
  readonly client: S3Client;
  readonly place: S3Place;
  readonly tuning: S3Tuning;
  readonly clock: Clock;
  /** Goes with everything that is written. */
  readonly encryption: { readonly ServerSideEncryption?: ServerSideEncryption; readonly SSEKMSKeyId?: string };
  /** Goes with every upload. */
  readonly storageClass: { readonly StorageClass?: StorageClass };
  /** Whether the server checks the CRC32 of a part although it does not say so; undefined until it was found out. */
  checksCrc32: boolean | undefined;
}

// The SDK writes six lines to standard error about a Node version of the future, in every process that makes a client.
// Which Node we run on is package.json's to say; the SDK's version is pinned there too.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

/** Throws config.invalid for a plain `http://` endpoint that is not allowed. Opens no connection. */
export function s3Access(options: S3StoreOptions, tuning: S3Tuning, clock: Clock): S3Access {
  requireEncryption(options);
  const place: S3Place = {
    store: options.name,
    bucket: options.bucket,
    endpoint: options.endpoint ?? 'AWS',
    region: options.region,
  };
  const client = new S3Client(clientConfig(options, tuning));

  const describe = (what: string, error: unknown) => describeS3Error(place, what, error);
  const { serverSideEncryption, kmsKeyId, storageClass } = options;
  return {
    ...{ client, place, tuning, clock, checksCrc32: undefined },
    ...asking({ retry: tuning.retry, clock, isTransient, describe }),
    encryption: {
      ...(serverSideEncryption && { ServerSideEncryption: serverSideEncryption }),
      ...(kmsKeyId !== undefined && { SSEKMSKeyId: kmsKeyId }),
    },
    storageClass: storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass },
  };
}

function clientConfig(options: S3StoreOptions, tuning: S3Tuning): S3ClientConfig {
  return {
    region: options.region,
    forcePathStyle: options.forcePathStyle,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: { ...options.credentials } }),
    // Tries are ours (`ask`): bounded in time, and stopped by a signal.
    maxAttempts: 1,
    // Checksums in trailers are unknown to many servers; `signBody` says what is sent instead.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With agents of our own the SDK would send the header and not wait for the answer.
    expectContinueHeader: false,
    requestHandler: new NodeHttpHandler(async () => {
      const pool = { keepAlive: true, maxSockets: 64 };
      return {
        httpAgent: new HttpAgent(pool),
        httpsAgent: new HttpsAgent({ ...pool, ...(await trusted(options)) }),
        connectionTimeout: tuning.connectTimeoutMs,
        socketTimeout: tuning.idleTimeoutMs,
      };
    }),
  };
}

/** The SDK's own type of this tells no more than that headers can be added before the request is signed. */
interface Middlewares {
  add(
    middleware: (next: (args: BuildArgs) => unknown) => (args: BuildArgs) => unknown,
    options: { readonly step: 'build'; readonly name: string },
  ): void;
}
interface BuildArgs {
  readonly request: { readonly headers: Record<string, string> };
}

/**
 * Signs `command` with this SHA-256 (hex) of its body instead of having the SDK hash it again for every try: a server
 * refuses a body that does not fit. Or with 'UNSIGNED-PAYLOAD', where another checksum goes with the body.
 */
export function signBody<C extends PutObjectCommand | UploadPartCommand>(command: C, sha256: string): C {
  const middlewares = command.middlewareStack as unknown as Middlewares;
  const addHash = (next: (args: BuildArgs) => unknown) => (args: BuildArgs) => {
    args.request.headers['x-amz-content-sha256'] = sha256;
    return next(args);
  };
  middlewares.add(addHash, { step: 'build', name: 'keyturnSignBody' });
  return command;
}

/** Buckets with object lock want it with every PUT; servers of every age check it. */
export function md5Base64(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64');
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
