/** Owns what an S3 server's refusals mean, and what a person does about each. */
import {
  away,
  busy,
  errorsOf,
  garbled,
  notThere,
  other,
  unwell,
  type HttpPlace,
  type Meaning as AnyMeaning,
} from './http-errors.ts';

/** Where the error came from, in words for people. */
export interface S3Place extends HttpPlace {
  readonly bucket: string;
  /** `AWS` when none is configured. */
  readonly endpoint: string;
  readonly region: string;
}

type Meaning = AnyMeaning<S3Place>;

const secret: Meaning = {
  code: 'store.credentials',
  words: 'the secret key is wrong',
  hint: ({ store }) =>
    `The secret key for store ${store} does not fit its access key; check what secretAccessKey names.`,
};
const accessKey: Meaning = {
  code: 'store.credentials',
  words: 'the access key is not taken',
  hint: ({ store, endpoint }) =>
    `Check accessKeyId of store ${store}: ${endpoint} does not know it, or it has expired.`,
};
const denied: Meaning = {
  code: 'store.credentials',
  hint: ({ store, bucket }) =>
    `Let the access key of store ${store} list, read, write and delete in bucket ${bucket}, multipart uploads included, and versions where it keeps them; the README has a policy.`,
};
/** An answer without a body: to HEAD, or from a proxy. */
const refused: Meaning = {
  code: 'store.credentials',
  hint: ({ store, bucket }) =>
    `Check the keys of store ${store}; if they are right, let them read and list bucket ${bucket}.`,
};
const clock: Meaning = {
  code: 'store.credentials',
  hint: ({ endpoint }) => `Set this machine's clock; it differs too much from that of ${endpoint}.`,
};
const noBucket: Meaning = {
  code: 'store.not-found',
  words: 'the bucket does not exist',
  hint: ({ store, bucket }) => `Create bucket ${bucket}, or correct the bucket of store ${store}.`,
};
const uploadGone: Meaning = {
  code: 'store.refused',
  hint: () => 'Take the backup again; another Keyturn, or a rule of the bucket, aborted this upload.',
};
const region: Meaning = {
  code: 'store.refused',
  hint: ({ store, region: configured }) =>
    `Correct the region of store ${store} (${configured}): the bucket lives in another one.`,
};
const full: Meaning = {
  code: 'store.full',
  words: 'it is full',
  hint: ({ store, bucket }) => `Make room in store ${store}, or raise the quota of bucket ${bucket} or of its owner.`,
};
const noCredentials: Meaning = {
  code: 'store.credentials',
  hint: ({ store }) =>
    `Give store ${store} credentials, or provide them to AWS's default chain (environment, profile, role).`,
};
const archived: Meaning = {
  code: 'store.refused',
  words: 'it lies in an archive class',
  hint: ({ store }) =>
    `Have it brought back at the store, then read it again; choose a storageClass of store ${store} that can be read at once.`,
};
const kms: Meaning = {
  code: 'store.refused',
  words: 'the KMS key can not be used',
  hint: ({ store }) => `Check kmsKeyId of store ${store}: the key has to be there, enabled, and of the same region.`,
};
const writing: Meaning = {
  code: 'store.refused',
  hint: ({ store, endpoint }) =>
    `Check serverSideEncryption, kmsKeyId and storageClass of store ${store}: ${endpoint} does not take what they say.`,
};

/** By the server's code: AWS, Ceph, MinIO and Swift use these. */
const byName: Readonly<Record<string, Meaning>> = {
  SignatureDoesNotMatch: secret,
  InvalidAccessKeyId: accessKey,
  InvalidClientTokenId: accessKey,
  ExpiredToken: accessKey,
  InvalidToken: accessKey,
  TokenRefreshRequired: accessKey,
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  RequestTimeTooSkewed: clock,
  NoSuchBucket: noBucket,
  NoSuchKey: notThere,
  NotFound: notThere,
  NoSuchUpload: uploadGone,
  PermanentRedirect: region,
  AuthorizationHeaderMalformed: region,
  IllegalLocationConstraintException: region,
  QuotaExceeded: full,
  EntityTooLarge: full,
  InsufficientStorage: full,
  InsufficientCapacity: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  SlowDown: busy,
  TooManyRequests: busy,
  TooManyRequestsException: busy,
  ThrottlingException: busy,
  RequestLimitExceeded: busy,
  RequestTimeout: away,
  InternalError: unwell,
  ServiceUnavailable: unwell,
  OperationAborted: unwell,
  BadDigest: garbled,
  InvalidDigest: garbled,
  XAmzContentSHA256Mismatch: garbled,
  IncompleteBody: garbled,
  CredentialsProviderError: noCredentials,
  InvalidObjectState: archived,
  'KMS.DisabledException': kms,
  'KMS.NotFoundException': kms,
  'KMS.InvalidKeyUsageException': kms,
  'KMS.InvalidStateException': kms,
  'KMS.KMSInvalidStateException': kms,
  InvalidStorageClass: writing,
  InvalidEncryptionAlgorithmError: writing,
  InvalidArgument: writing,
  NotImplemented: other,
};

/** When the name says nothing: answers to HEAD have no body, and proxies in between speak HTML. */
const byStatus: Readonly<Record<number, Meaning>> = {
  301: region,
  401: refused,
  403: refused,
  404: notThere,
  408: away,
  413: full,
  429: busy,
  501: other,
  507: full,
};

const errors = errorsOf<S3Place>({
  byName,
  byStatus,
  tellingStatus: [413, 507],
  namesOf(error) {
    const { code, Code } = error as { code?: unknown; Code?: unknown };
    return [code, Code, error.name];
  },
  statusOf: (error) => (error as { $metadata?: { httpStatusCode?: unknown } }).$metadata?.httpStatusCode,
});

/** Of errors of the SDK: worth another try, the server's own answer of that code, and in our words. */
export const { isTransient, isAnswer, describe: describeS3Error } = errors;

/** The server found fault with the request itself, e.g. with a checksum. */
export function isBadRequest(error: unknown): boolean {
  return errors.statusOf(error) === 400;
}

/** The server does not have what was asked for: it does not know it, or this bucket has it not. */
export function isNotOffered(error: unknown): boolean {
  // Servers say 400 of expired credentials and wrong regions too; those have meanings of their own.
  return [400, 405, 501].includes(errors.statusOf(error) ?? 0) && [other, writing].includes(errors.meaningOf(error));
}

/** The credentials are good, but not for this; servers say the same of objects under a lock. */
export function isDenied(error: unknown): boolean {
  return [denied, refused].includes(errors.meaningOf(error));
}

/** A final no to this very request. */
export function isRefusal(error: unknown): boolean {
  return [400, 403, 405, 409].includes(errors.statusOf(error) ?? 0) && !isTransient(error);
}

/** True when the object is not there; a bucket that is not there is another matter. */
export function isObjectMissing(error: unknown): boolean {
  return errors.meaningOf(error) === notThere;
}
