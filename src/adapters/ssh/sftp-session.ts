/**
 * Owns one SFTP session over a login: requests as promises that end with the connection. ssh2 never answers what is asked of
 * a channel that is closed already, so every request is also held against the end of the connection and a time limit.
 */
import type { Callback, FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2';
import { KeyturnError } from '../../domain/error.ts';
import { extensionsOf, widenWindow } from './internals.ts';
import { describe, type Link, type LoginTimes, type Target } from './login.ts';
import { hangUp, logInOnTheWay, lost } from './way.ts';

/** A file as the server tells of it. */
export interface SftpFile {
  readonly kind: 'file' | 'directory' | 'other';
  readonly size: number;
  /** Whole seconds. */
  readonly modifiedAt: Date;
}
export interface SftpEntry extends SftpFile {
  readonly name: string;
}
export interface SftpSpace {
  /** Bytes for users without privileges. */
  readonly free: number;
  readonly freeInodes: number;
  readonly readOnly: boolean;
}

/** The server's own answer to a request (SSH_FX_…), e.g. 2: there is no such file. */
export class SftpRefusal extends Error {
  override readonly name = 'SftpRefusal';
  readonly status: number;

  constructor(status: number) {
    super(`SFTP status ${status}`);
    this.status = status;
  }
}

/** Numbers of SSH_FX_… (draft-ietf-secsh-filexfer-02 and -13, 9.1). */
export const STATUS = {
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  connectionLost: 7,
  unsupported: 8,
  noSpace: 14,
  quotaExceeded: 15,
} as const;

/** Requests of one session; throws SftpRefusal, ssh.lost. Requests may be sent without waiting for earlier ones. */
export interface SftpSession {
  /** Aborted, with why, when the connection is no more. */
  readonly gone: AbortSignal;
  /** What the server can do beyond the protocol. */
  readonly can: { readonly posixRename: boolean; readonly fsync: boolean; readonly statvfs: boolean };
  open(path: string, how: 'read' | 'create' | 'continue'): Promise<Buffer>;
  close(handle: Buffer): Promise<void>;
  /** Takes `bytes` over until it resolves. */
  write(handle: Buffer, bytes: Buffer, position: number): Promise<void>;
  /** Up to `length` bytes; empty at the end of the file. */
  read(handle: Buffer, length: number, position: number): Promise<Buffer>;
  fsync(handle: Buffer): Promise<void>;
  fstat(handle: Buffer): Promise<SftpFile>;
  /** Of the file that a link leads to. */
  stat(path: string): Promise<SftpFile>;
  /** Of the link itself. */
  lstat(path: string): Promise<SftpFile>;
  readdir(path: string): Promise<SftpEntry[]>;
  mkdir(path: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Does not replace. */
  rename(from: string, to: string): Promise<void>;
  /** Replaces, at once; only where the server can. */
  posixRename(from: string, to: string): Promise<void>;
  statvfs(path: string): Promise<SftpSpace>;
  /** Ends the connection, and those to its jump hosts. Safe twice. */
  end(): Promise<void>;
}

export interface SessionTimes extends LoginTimes {
  /** A session counts as lost when something was asked and no answer came for so long. Milliseconds. */
  readonly stallMs: number;
  /** The same while the server writes to its disk what it has taken. Milliseconds. */
  readonly syncMs: number;
}

/** Logs in and starts SFTP. Throws ssh.*, store.refused when the server starts none, or the signal's reason. */
export async function openSession(
  target: Target,
  bastions: readonly Target[],
  times: SessionTimes,
  signal: AbortSignal,
): Promise<SftpSession> {
  const links = await logInOnTheWay(target, bastions, times, signal);
  const { client, sock } = links.at(-1) as Link;
  const ending = new AbortController();
  const gone = ending.signal;
  const breakOff = (cause?: Error): void => {
    ending.abort(lost(describe(target), cause));
    for (const link of links) link.sock.destroy();
  };
  client.on('error', breakOff);
  client.once('close', () => breakOff());
  sock.once('close', () => breakOff());
  const asker = questions(gone, breakOff, times);
  try {
    const sftp = await asker.ask<SFTPWrapper>((callback) => client.sftp(callback), { signal });
    sftp.on('error', breakOff);
    sftp.once('close', () => breakOff());
    widenWindow(sftp);
    return { gone, ...requests(sftp, asker), end: () => hangUp(links) };
  } catch (error) {
    for (const link of links) link.sock.destroy();
    signal.throwIfAborted();
    throw gone.aborted ? gone.reason : noSftp(target, error);
  }
}

type Answer<T> = (error: Error | null | undefined, value: T) => void;
interface AskOptions {
  /** The server may have to write much to its disk first. */
  readonly slow?: boolean;
  readonly signal?: AbortSignal;
}
type Ask = <T>(send: (answer: Answer<T>) => unknown, options?: AskOptions) => Promise<T>;

/** Every question is answered, refused, or ended with the connection. */
function questions(gone: AbortSignal, breakOff: (cause?: Error) => void, times: SessionTimes): { readonly ask: Ask } {
  const open = new Set<{ readonly slow: boolean; readonly reject: (error: Error) => void }>();
  let timer: NodeJS.Timeout | undefined;
  const watch = (): void => {
    clearTimeout(timer);
    if (open.size === 0) return;
    const ms = [...open].some(({ slow }) => slow) ? times.syncMs : times.stallMs;
    timer = setTimeout(() => breakOff(new Error(`no answer for ${ms / 1000} s`)), ms);
  };
  gone.addEventListener('abort', () => {
    for (const { reject } of open) reject(gone.reason as Error);
  });

  return {
    ask: <T>(send: (answer: Answer<T>) => unknown, { slow = false, signal }: AskOptions = {}) =>
      new Promise<T>((resolve, reject) => {
        const settle = (then: () => void): void => {
          signal?.removeEventListener('abort', onAbort);
          if (open.delete(question)) watch();
          then();
        };
        const question = { slow, reject: (error: Error) => settle(() => reject(error)) };
        const onAbort = (): void => question.reject(signal?.reason as Error);
        const stop = [gone, signal].find((each) => each?.aborted === true);
        if (stop !== undefined) {
          reject(stop.reason as Error);
          return;
        }
        signal?.addEventListener('abort', onAbort, { once: true });
        open.add(question);
        watch();
        const answer: Answer<T> = (error, value) => {
          if (error === undefined || error === null) settle(() => resolve(value));
          else if (typeof (error as { code?: unknown }).code === 'number') question.reject(refusalOf(error));
          // ssh2 says so of what it will never hear of: the channel is closed.
          else if (error.message === NO_RESPONSE) breakOff();
          else question.reject(error);
        };
        try {
          send(answer);
        } catch (error) {
          question.reject(error as Error);
        }
      }),
  };
}

const NO_RESPONSE = 'No response from server';

function refusalOf(error: Error): SftpRefusal {
  return new SftpRefusal((error as Error & { code: number }).code);
}

/**
 * So many readings of one directory are on their way at once: each answer has a hundred names. What is asked of one file or
 * directory is answered as if it had been asked one after the other (draft-ietf-secsh-filexfer-02, 6.1).
 */
const READDIRS = 4;
const END_OF_FILE = 1;

function requests(sftp: SFTPWrapper, { ask }: { readonly ask: Ask }): Omit<SftpSession, 'gone' | 'end'> {
  const extensions = extensionsOf(sftp);
  const done = (send: (answer: Callback) => unknown): Promise<void> =>
    ask<undefined>((answer) => send((error) => answer(error, undefined)));

  const readAll = async (handle: Buffer, found: Map<string, SftpEntry>): Promise<void> => {
    for (;;) {
      const more = await ask<FileEntryWithStats[]>((answer) => sftp.readdir(handle, answer)).catch((error: unknown) => {
        if (error instanceof SftpRefusal && error.status === END_OF_FILE) return undefined;
        throw error;
      });
      if (more === undefined) return;
      for (const { filename, attrs } of more) found.set(filename, { name: filename, ...fileOf(attrs) });
    }
  };

  return {
    can: {
      posixRename: extensions['posix-rename@openssh.com'] === '1',
      fsync: extensions['fsync@openssh.com'] === '1',
      statvfs: extensions['statvfs@openssh.com'] === '2',
    },
    open: (path, how) =>
      ask((answer) => sftp.open(path, OPEN_FLAGS[how], how === 'create' ? { mode: 0o600 } : {}, answer)),
    close: (handle) => done((answer) => sftp.close(handle, answer)),
    write: (handle, bytes, position) => done((answer) => sftp.write(handle, bytes, 0, bytes.length, position, answer)),
    read: (handle, length, position) => {
      const buffer = Buffer.allocUnsafeSlow(length);
      return ask((answer) =>
        sftp.read(handle, buffer, 0, length, position, (error, read) => answer(error, buffer.subarray(0, read))),
      );
    },
    async fsync(handle) {
      await ask((answer) => sftp.ext_openssh_fsync(handle, answer), { slow: true });
    },
    fstat: async (handle) => fileOf(await ask((answer) => sftp.fstat(handle, answer))),
    stat: async (path) => fileOf(await ask((answer) => sftp.stat(path, answer))),
    lstat: async (path) => fileOf(await ask((answer) => sftp.lstat(path, answer))),
    async readdir(path) {
      const handle = await ask<Buffer>((answer) => sftp.opendir(path, answer));
      // A file that is renamed meanwhile may be told of twice.
      const found = new Map<string, SftpEntry>();
      try {
        await Promise.all(Array.from({ length: READDIRS }, () => readAll(handle, found)));
      } finally {
        await done((answer) => sftp.close(handle, answer)).catch(() => undefined); // what was read counts
      }
      return [...found.values()];
    },
    mkdir: (path) => done((answer) => sftp.mkdir(path, { mode: 0o700 }, answer)),
    unlink: (path) => done((answer) => sftp.unlink(path, answer)),
    rename: (from, to) => done((answer) => sftp.rename(from, to, answer)),
    posixRename: (from, to) => done((answer) => sftp.ext_openssh_rename(from, to, answer)),
    async statvfs(path) {
      const answer = await ask<Record<string, number>>((callback) => sftp.ext_openssh_statvfs(path, callback));
      const { f_bavail = 0, f_frsize = 0, f_favail = 0, f_flag = 0 } = answer;
      return { free: f_bavail * f_frsize, freeInodes: f_favail, readOnly: (f_flag & READ_ONLY) !== 0 };
    },
  };
}

/** `wx` must make the file; `r+` must find it, and changes what is written to and nothing else. */
const OPEN_FLAGS = { read: 'r', create: 'wx', continue: 'r+' } as const;
const READ_ONLY = 1;
const TYPE = 0o170000;
const KINDS: Readonly<Record<number, SftpFile['kind']>> = { 0o100000: 'file', 0o040000: 'directory' };

function fileOf({ mode, size, mtime }: Partial<Stats>): SftpFile {
  return {
    kind: KINDS[(mode ?? 0) & TYPE] ?? 'other',
    size: size ?? 0,
    modifiedAt: new Date((mtime ?? 0) * 1000),
  };
}

function noSftp(target: Target, error: unknown): KeyturnError {
  return new KeyturnError(
    'store.refused',
    `${describe(target)} lets ${target.ssh.user} in, but starts no SFTP for it.`,
    {
      hint: 'See that sshd_config there has "Subsystem sftp internal-sftp", and look at the log of sshd.',
      cause: error,
    },
  );
}
