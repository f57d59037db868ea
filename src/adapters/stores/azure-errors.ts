/** Owns what Azure Blob's refusals mean, and what a person does about each. */
import {
  away,
  busy,
  errorsOf,
  garbled,
  notThere,
  unwell,
  type HttpPlace,
  type Meaning as AnyMeaning,
} from './http-errors.ts';

/** Where the error came from, in words for people. */
export interface AzurePlace extends HttpPlace {
  readonly container: string;
}

type Meaning = AnyMeaning<AzurePlace>;

const wrongKey: Meaning = {
  code: 'store.credentials',
  words: 'the account key or the SAS token is not taken',
  hint: ({ store, endpoint }) =>
    `Check what accountName and accountKey, or sasToken, of store ${store} name: ${endpoint} does not take it, it has expired, or this machine's clock is wrong.`,
};
const denied: Meaning = {
  code: 'store.credentials',
  hint: ({ store, container }) =>
    `Give the identity of store ${store} the role Storage Blob Data Contributor on container ${container}, or its SAS token the rights rwdl; docs/operations.md lists them.`,
};
const noKeys: Meaning = {
  code: 'store.credentials',
  words: 'the account takes no account keys',
  hint: ({ store }) =>
    `Leave accountName and accountKey of store ${store} out and give this machine's identity a role, or allow shared keys for the account.`,
};
const network: Meaning = {
  code: 'store.credentials',
  hint: ({ endpoint }) => `Let this machine's address through the firewall of ${endpoint}, or of the SAS token.`,
};
/** An answer without a code: to HEAD, or from a proxy. */
const refused: Meaning = {
  code: 'store.credentials',
  hint: ({ store, container }) =>
    `Check the credentials of store ${store}; if they are right, let them read and list container ${container}.`,
};
const noIdentity: Meaning = {
  code: 'store.credentials',
  words: 'this machine has no identity that Azure knows',
  hint: ({ store }) =>
    `Give this machine a managed or workload identity or the variables AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; or give store ${store} an accountKey or a sasToken.`,
};
const noContainer: Meaning = {
  code: 'store.not-found',
  words: 'the container does not exist',
  hint: ({ store, container }) => `Create container ${container}, or correct the container of store ${store}.`,
};
const noAccount: Meaning = {
  code: 'store.credentials',
  words: 'the storage account does not exist there',
  hint: ({ store, endpoint }) =>
    `Correct the endpoint or the accountName of store ${store}: ${endpoint} does not know it.`,
};
const uploadGone: Meaning = {
  code: 'store.refused',
  hint: () => 'Take the backup again; another upload to this name was completed or aborted, and ended this one.',
};
const replaced: Meaning = {
  code: 'store.refused',
  words: 'it was replaced meanwhile',
  hint: () => 'Try again; another Keyturn writes to this name.',
};
const policy: Meaning = {
  code: 'store.locked',
  words: 'an immutability policy keeps it',
  hint: ({ container }) => `Wait until the policy of container ${container}, or of the blob, has run out.`,
};
const hold: Meaning = {
  code: 'store.locked',
  words: 'a legal hold keeps it',
  hint: ({ container }) => `Take the legal hold off the blob, or off container ${container}, if it may go.`,
};
const lease: Meaning = {
  code: 'store.locked',
  words: 'somebody has a lease on it',
  hint: () => "Find out who holds the blob's lease, and break it if it is not needed.",
};
const snapshots: Meaning = {
  code: 'store.locked',
  words: 'it has snapshots of its own',
  hint: () => "Delete the blob's snapshots in Azure first, if they may go.",
};
const archived: Meaning = {
  code: 'store.refused',
  words: 'it lies in the archive tier',
  hint: () => 'Bring the blob back to the hot or cool tier, which takes hours, then try again.',
};
const unknownThere: Meaning = {
  code: 'store.refused',
  words: 'it has no such thing',
  hint: ({ endpoint }) => `Look into the documentation of ${endpoint}: it does not do all that Azure Blob does.`,
};
const full: Meaning = {
  code: 'store.full',
  words: 'it is full',
  hint: ({ store, container }) =>
    `Make room in store ${store}, or raise the quota of the account of container ${container}.`,
};

/** By the service's code; Azurite has some of its own. */
const byName: Readonly<Record<string, Meaning>> = {
  AuthenticationFailed: wrongKey,
  AuthorizationFailure: wrongKey,
  InvalidAuthenticationInfo: wrongKey,
  NoAuthenticationInformation: wrongKey,
  AuthorizationProtocolMismatch: wrongKey,
  AuthorizationPermissionMismatch: denied,
  AuthorizationResourceTypeMismatch: denied,
  AuthorizationServiceMismatch: denied,
  InsufficientAccountPermissions: denied,
  UnauthorizedBlobOverwrite: denied,
  PublicAccessNotPermitted: refused,
  AuthorizationSourceIPMismatch: network,
  KeyBasedAuthenticationNotPermitted: noKeys,
  AccountIsDisabled: noAccount,
  ResourceNotFound: noAccount,
  AggregateAuthenticationError: noIdentity,
  AuthenticationError: noIdentity,
  AuthenticationRequiredError: noIdentity,
  CredentialUnavailableError: noIdentity,
  ContainerNotFound: noContainer,
  ContainerBeingDeleted: noContainer,
  ContainerDisabled: noContainer,
  BlobNotFound: notThere,
  InvalidBlockList: uploadGone,
  InvalidBlobOrBlock: uploadGone,
  ConditionNotMet: replaced,
  BlobImmutableDueToPolicy: policy,
  ContainerImmutabilityPolicyLocked: policy,
  BlobImmutableDueToLegalHold: hold,
  ContainerHasLegalHold: hold,
  LeaseIdMissing: lease,
  SnapshotsPresent: snapshots,
  BlobArchived: archived,
  BlobBeingRehydrated: archived,
  ServerBusy: busy,
  OperationTimedOut: unwell,
  InternalError: unwell,
  Md5Mismatch: garbled,
  InvalidMd5: garbled,
};

const byStatus: Readonly<Record<number, Meaning>> = {
  401: refused,
  403: refused,
  404: notThere,
  408: away,
  412: replaced,
  413: full,
  429: busy,
  501: unknownThere,
  507: full,
};

const errors = errorsOf<AzurePlace>({
  byName,
  byStatus,
  tellingStatus: [413, 507],
  namesOf(error) {
    const { code, details } = error as { code?: unknown; details?: { errorCode?: unknown } };
    return [error.name, details?.errorCode, code];
  },
  statusOf: (error) => (error as { statusCode?: unknown }).statusCode,
});

/** Of errors of the SDK: worth another try, the service's own answer of that code, and in our words. */
export const { isTransient, isAnswer, statusOf, describe: describeAzureError } = errors;

/** True when the blob is not there; a container that is not there is another matter. */
export function isBlobMissing(error: unknown): boolean {
  return errors.meaningOf(error) === notThere;
}

/** True when another blob is stored under the name than the one that was meant. */
export function isReplaced(error: unknown): boolean {
  return errors.meaningOf(error) === replaced;
}

/** A refusal of what keeps a blob, as the service itself does not say it of a version: it would let go of the name. */
export function keptError(place: AzurePlace, what: string, by: 'policy' | 'hold'): Error {
  return describeAzureError(
    place,
    what,
    Object.assign(new Error(by), { code: by === 'hold' ? 'BlobImmutableDueToLegalHold' : 'BlobImmutableDueToPolicy' }),
  );
}
