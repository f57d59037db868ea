/** Owns what an S3 server's refusals and a network's failures mean, and what a person does about each. */
import { KeyturnError, type ErrorCode } from '../../domain/error.ts';

/** Where the error came from, in words for people. */
export interface S3Place {
  readonly store: string;
  readonly bucket: string;
  /** `AWS` when none is configured. */
  readonly endpoint: string;
  readonly region: string;
}

interface Meaning {
  readonly code: ErrorCode;
  /** What the server's code means, where that is not plain from it. */
  readonly words?: string | ((error: unknown) => string);
  readonly hint: (place: S3Place) => string;
  /** Worth another try; default false. */
  readonly transient?: boolean;
}

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
const notThere: Meaning = {
  code: 'store.not-found',
  hint: () => 'List the snapshots; it may have been removed meanwhile.',
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
const away: Meaning = {
  code: 'store.unreachable',
  words: 'it does not answer',
  hint: ({ endpoint }) => `See that ${endpoint} is up and can be reached from here (address, port, firewall).`,
  transient: true,
};
const noName: Meaning = {
  ...away,
  words: 'its host name is not known',
  hint: ({ store, endpoint }) => `Check the endpoint of store ${store}: the name in ${endpoint} is not known here.`,
};
const unwell: Meaning = {
  code: 'store.unreachable',
  hint: ({ endpoint }) =>
    `See whether ${endpoint} is full, then look at its log: it answers, but it can not serve this.`,
  transient: true,
};
const busy: Meaning = {
  code: 'store.unreachable',
  hint: ({ endpoint }) => `Wait, or spread the schedules: ${endpoint} asks for fewer requests.`,
  transient: true,
};
const garbled: Meaning = {
  code: 'store.corrupt',
  hint: ({ endpoint }) =>
    `Look at what stands between here and ${endpoint} (proxy, network card): bytes change on the way.`,
  transient: true,
};
const certificate: Meaning = {
  code: 'store.refused',
  words: 'its certificate is not trusted',
  hint: ({ store, endpoint }) =>
    `Renew the certificate of ${endpoint}, or name the authority that signed it in caFile of store ${store}.`,
};
const wrongName: Meaning = {
  code: 'store.refused',
  words: (error) => {
    const { host, cert } = error as { host?: unknown; cert?: { subjectaltname?: unknown } };
    return `its certificate is for ${namesIn(cert?.subjectaltname)}, not for ${namesIn(host)}`;
  },
  hint: ({ store, endpoint }) =>
    `Correct the endpoint of store ${store}, or have ${endpoint} show a certificate for that name; see that nobody stands in between.`,
};
const noTls: Meaning = {
  code: 'store.unreachable',
  hint: ({ store }) =>
    `Correct the endpoint of store ${store}: what answers there speaks no TLS that we know. If it is meant to be plain, use http:// and allowPlainHttp.`,
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
const other: Meaning = {
  code: 'store.refused',
  hint: ({ endpoint }) => `Look the code up in the documentation of ${endpoint}, and at its log.`,
};

/** By the server's code, the network's, or TLS's: AWS, Ceph, MinIO and Swift use these. */
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
  TimeoutError: away,
  ECONNREFUSED: away,
  ECONNRESET: away,
  ECONNABORTED: away,
  EPIPE: away,
  ETIMEDOUT: away,
  EHOSTUNREACH: away,
  ENETUNREACH: away,
  ENETDOWN: away,
  ERR_STREAM_PREMATURE_CLOSE: away,
  ENOTFOUND: noName,
  EAI_AGAIN: noName,
  EPROTO: noTls,
  ERR_SSL_WRONG_VERSION_NUMBER: noTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls,
  CERT_HAS_EXPIRED: certificate,
  CERT_NOT_YET_VALID: certificate,
  CERT_UNTRUSTED: certificate,
  DEPTH_ZERO_SELF_SIGNED_CERT: certificate,
  SELF_SIGNED_CERT_IN_CHAIN: certificate,
  UNABLE_TO_GET_ISSUER_CERT: certificate,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: certificate,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: certificate,
  ERR_TLS_CERT_ALTNAME_INVALID: wrongName,
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

/** True when trying again may help. */
export function isTransient(error: unknown): boolean {
  return meaningOf(error).transient ?? false;
}

/** True for the server's own answer of that code, e.g. `NoSuchUpload`. */
export function isAnswer(error: unknown, ...codes: readonly string[]): boolean {
  const name = nameOf(error);
  return name !== undefined && codes.includes(name);
}

/** The server found fault with the request itself, e.g. with a checksum. */
export function isBadRequest(error: unknown): boolean {
  return statusOf(error) === 400;
}

/** The server does not have what was asked for: it does not know it, or this bucket has it not. */
export function isNotOffered(error: unknown): boolean {
  // Servers say 400 of expired credentials and wrong regions too; those have meanings of their own.
  return [400, 405, 501].includes(statusOf(error) ?? 0) && [other, writing].includes(meaningOf(error));
}

/** The credentials are good, but not for this; servers say the same of objects under a lock. */
export function isDenied(error: unknown): boolean {
  return [denied, refused].includes(meaningOf(error));
}

/** A final no to this very request. */
export function isRefusal(error: unknown): boolean {
  return [400, 403, 405, 409].includes(statusOf(error) ?? 0) && !isTransient(error);
}

/** True when the object is not there; a bucket that is not there is another matter. */
export function isObjectMissing(error: unknown): boolean {
  return meaningOf(error) === notThere;
}

/**
 * In our words: the server's code, never its text, headers or the request, so that no secret can be in it.
 * `what` completes "Store x could not …".
 */
export function describeS3Error(place: S3Place, what: string, error: unknown): KeyturnError {
  if (error instanceof KeyturnError) return error;
  const meaning = meaningOf(error);
  const status = statusOf(error);
  const name = nameOf(error);
  const said = [name, status === undefined ? undefined : `HTTP ${status}`]
    .filter((part) => part !== undefined)
    .join(', ');
  const words = typeof meaning.words === 'function' ? meaning.words(error) : meaning.words;
  const why = words === undefined ? said || 'unknown error' : `${words}${said && ` (${said})`}`;
  return new KeyturnError(meaning.code, `Store ${place.store} could not ${what}: ${why}.`, {
    hint: meaning.hint(place),
    cause: new Error(said || 'unknown error'),
  });
}

function meaningOf(error: unknown): Meaning {
  const status = statusOf(error);
  const name = nameOf(error);
  const named = name === undefined ? undefined : byName[name];
  // 507 and 413 say more than the name that some servers put beside them.
  if (status === 507 || status === 413) return full;
  if (named) return named;
  if (status === undefined) return other;
  return byStatus[status] ?? (status >= 500 ? unwell : other);
}

/**
 * The most telling short name: one that the table knows, else the server's own; undefined when it says nothing, as the
 * SDK's names for answers without a body. Letters, digits, underscores and dots only.
 */
function nameOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, Code } = error as { code?: unknown; Code?: unknown };
  const names = [code, Code, error.name].filter((name) => typeof name === 'string');
  const name = names.find((candidate) => Object.hasOwn(byName, candidate)) ?? error.name;
  return /^[\w.]{1,60}$/.test(name) && !['Error', 'Unknown', 'UnknownError'].includes(name) ? name : undefined;
}

/** Names out of a certificate are whoever's words: nothing but names of hosts and addresses, and not many. */
function namesIn(value: unknown): string {
  const names = (typeof value === 'string' ? value : '').replaceAll(/DNS:|IP Address:/g, '').split(', ');
  const plain = names.filter((name) => /^[\w*.:-]{1,100}$/.test(name)).slice(0, 3);
  return plain.length === 0 ? 'another name' : plain.join(', ');
}

function statusOf(error: unknown): number | undefined {
  const metadata = error instanceof Error && '$metadata' in error ? error.$metadata : undefined;
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata && metadata.httpStatusCode;
  return typeof status === 'number' ? status : undefined;
}
