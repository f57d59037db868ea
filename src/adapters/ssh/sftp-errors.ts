/** Owns what an SFTP server's refusals and a lost login mean for a store, and what a person does about each. */
import { KeyturnError, type ErrorCode } from '../../domain/error.ts';
import { SftpRefusal, STATUS, type SftpSpace } from './sftp-session.ts';

/** Where the error came from, in words for people. */
export interface SftpPlace {
  readonly store: string;
  /** `offsite (10.0.0.9:1022)`. */
  readonly server: string;
  readonly user: string;
  /** On the server. */
  readonly path: string;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly words: string;
  readonly hint: (place: SftpPlace) => string;
}

const full: Meaning = {
  code: 'store.full',
  words: 'its disk is full',
  hint: ({ server, path }) => `Make room on the disk of ${path} on ${server}, or raise the quota.`,
};
const readOnly: Meaning = {
  code: 'store.credentials',
  words: 'its disk is mounted read-only',
  hint: ({ server, path }) => `Mount the disk of ${path} on ${server} so that it can be written to.`,
};
const folderMissing: Meaning = {
  code: 'store.not-found',
  words: 'the folder is not there',
  hint: ({ server, path, user }) =>
    `Create ${path} on ${server}, as user ${user} sees it (below its ChrootDirectory), or mount what belongs there.`,
};
const unclear: Meaning = {
  code: 'store.refused',
  words: 'it failed on the server',
  hint: ({ server, path, user }) =>
    `Look at ${path} on ${server} (disk, quota of ${user}) and at the log of its SFTP server.`,
};

const byStatus: Readonly<Record<number, Meaning>> = {
  [STATUS.noSuchFile]: folderMissing,
  [STATUS.permissionDenied]: {
    code: 'store.credentials',
    words: 'that is not allowed',
    hint: ({ server, path, user }) => `Let user ${user} on ${server} read and write ${path} (owner, mode).`,
  },
  [STATUS.connectionLost]: {
    code: 'store.unreachable',
    words: 'the server lost its own connection',
    hint: ({ server }) => `Look at the log of the SFTP server of ${server}.`,
  },
  [STATUS.unsupported]: {
    code: 'store.refused',
    words: 'the server can not do that',
    hint: ({ server }) => `See that the SFTP server of ${server} allows to write, rename and remove files.`,
  },
  [STATUS.noSpace]: full,
  [STATUS.quotaExceeded]: full,
};

/** What a failed login or a lost connection is to a store. A host key that is not the pinned one stays what it is. */
const byCode: Partial<Readonly<Record<ErrorCode, ErrorCode>>> = {
  'ssh.unreachable': 'store.unreachable',
  'ssh.lost': 'store.unreachable',
  'ssh.forward-refused': 'store.unreachable',
  'ssh.auth': 'store.credentials',
  'ssh.algorithms': 'store.refused',
};

/** True when another try may help: the login or the connection did not hold. */
export function isTransient(error: unknown): boolean {
  return error instanceof KeyturnError && ['ssh.unreachable', 'ssh.lost'].includes(error.code);
}

/** True for the server's own answer of that status. */
export function isRefusal(error: unknown, status: number): boolean {
  return error instanceof SftpRefusal && error.status === status;
}

/** Free space below which a write that failed without a reason is taken to have failed for want of it. Bytes. */
const NEARLY_NOTHING = 1024 * 1024;

/**
 * In our words. `what` completes "Store x could not …"; `space` tells what OpenSSH does not: a full disk is to it a failure
 * like any other.
 */
export function describeSftpError(
  place: SftpPlace,
  what: string,
  error: unknown,
  space: SftpSpace | undefined,
): KeyturnError {
  const title = `Store ${place.store} could not ${what}`;
  if (error instanceof KeyturnError) {
    const code = byCode[error.code];
    return code === undefined
      ? error
      : new KeyturnError(code, `${title}: ${error.message}`, { hint: error.hint, cause: error });
  }
  if (!(error instanceof SftpRefusal)) {
    return new KeyturnError('store.refused', `${title}: the answer of ${place.server} was not understood.`, {
      hint: unclear.hint(place),
      cause: error,
    });
  }
  const meaning = meaningOf(error, space);
  return new KeyturnError(meaning.code, `${title}: ${meaning.words} (SFTP status ${error.status}).`, {
    hint: meaning.hint(place),
    cause: error,
  });
}

function meaningOf({ status }: SftpRefusal, space: SftpSpace | undefined): Meaning {
  if (status === STATUS.failure && space !== undefined) {
    if (space.readOnly) return readOnly;
    if (space.free < NEARLY_NOTHING || space.freeInodes === 0) return full;
  }
  return byStatus[status] ?? unclear;
}
