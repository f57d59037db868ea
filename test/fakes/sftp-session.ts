/** An SFTP server's one folder in memory, as sessions show it; it can be made to break off at any request. */
import { SftpRefusal, STATUS, type SftpFile, type SftpSession } from '../../src/adapters/ssh/sftp-session.ts';
import { KeyturnError } from '../../src/domain/error.ts';

export interface FakeSftp {
  /** Paths of files and what is in them. */
  readonly files: Map<string, Buffer>;
  readonly requests: string[];
  /** A new connection. `breaksAt`: the request of that number (from 1) is not carried out, and ends it. */
  session(options?: { readonly posixRename?: boolean; readonly breaksAt?: number }): SftpSession;
}

/** `root` is there, and empty. */
export function fakeSftp(root = '/srv'): FakeSftp {
  const files = new Map<string, Buffer>();
  const directories = new Set([root]);
  const handles = new Map<string, string>();
  const requests: string[] = [];
  const refuse = (status: number): never => {
    throw new SftpRefusal(status);
  };
  const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const need = (path: string): Buffer => files.get(path) ?? refuse(STATUS.noSuchFile);
  const look = (path: string): SftpFile => {
    const trimmed = path.replace(/\/+$/, '');
    if (directories.has(trimmed)) return { kind: 'directory', size: 0, modifiedAt: new Date(0) };
    return { kind: 'file', size: need(path).length, modifiedAt: new Date(1_000) };
  };

  const session: FakeSftp['session'] = ({ posixRename = true, breaksAt = Infinity } = {}) => {
    const ending = new AbortController();
    let count = 0;
    const request = async <T>(name: string, action: () => T): Promise<T> => {
      await Promise.resolve();
      if (!ending.signal.aborted && (count += 1) === breaksAt) ending.abort(lostConnection());
      ending.signal.throwIfAborted();
      requests.push(name);
      return action();
    };
    const fileOf = (handle: Buffer): string => handles.get(handle.toString()) ?? refuse(STATUS.failure);
    const move = (from: string, to: string): void => {
      files.set(to, need(from));
      files.delete(from);
    };
    return {
      gone: ending.signal,
      can: { posixRename, fsync: false, statvfs: false },
      open: (path, how) =>
        request(`open ${how} ${path}`, () => {
          if (how === 'create' && files.has(path)) refuse(STATUS.failure);
          if (how === 'create' && !directories.has(parentOf(path))) refuse(STATUS.noSuchFile);
          if (how === 'create') files.set(path, Buffer.alloc(0));
          need(path);
          const handle = `h${handles.size}`;
          handles.set(handle, path);
          return Buffer.from(handle);
        }),
      close: (handle) => request('close', () => void fileOf(handle)),
      write: (handle, bytes, position) =>
        request('write', () => {
          const path = fileOf(handle);
          const old = need(path);
          const body = Buffer.alloc(Math.max(old.length, position + bytes.length));
          old.copy(body);
          bytes.copy(body, position);
          files.set(path, body);
        }),
      read: (handle, length, position) =>
        request('read', () => Buffer.from(need(fileOf(handle)).subarray(position, position + length))),
      fsync: () => request('fsync', () => refuse(STATUS.unsupported)),
      fstat: (handle) => request('fstat', () => look(fileOf(handle))),
      stat: (path) => request(`stat ${path}`, () => look(path)),
      lstat: (path) => request(`lstat ${path}`, () => look(path)),
      readdir: (path) =>
        request(`readdir ${path}`, () => {
          const directory = path.replace(/\/+$/, '');
          if (!directories.has(directory)) refuse(STATUS.noSuchFile);
          const inside = [...directories, ...files.keys()].filter((each) => parentOf(each) === directory);
          return inside.map((each) => ({ name: each.slice(directory.length + 1), ...look(each) }));
        }),
      mkdir: (path) =>
        request(`mkdir ${path}`, () => {
          if (directories.has(path) || files.has(path)) refuse(STATUS.failure);
          directories.add(path);
        }),
      unlink: (path) =>
        request(`unlink ${path}`, () => {
          need(path);
          files.delete(path);
        }),
      rename: (from, to) =>
        request(`rename ${from} ${to}`, () => {
          need(from);
          if (files.has(to)) refuse(STATUS.failure);
          move(from, to);
        }),
      posixRename: (from, to) => request(`posix-rename ${from} ${to}`, () => move(from, to)),
      statvfs: () => request('statvfs', () => refuse(STATUS.unsupported)),
      end: async () => ending.abort(lostConnection()),
    };
  };
  return { files, requests, session };
}

export function lostConnection(): KeyturnError {
  return new KeyturnError('ssh.lost', 'The SSH connection to offsite broke.', { hint: 'Look at the network.' });
}
