/** Owns the one connection to an SFTP server: shared by all who use it, made anew when it was lost, closed when nobody does. */
import { unlessAborted } from '../../transfer/abortable.ts';
import type { SftpSession } from './sftp-session.ts';

export interface SftpConnection {
  /**
   * Runs `action` on the connection, which is made when there is none. Throws what making it or `action` threw, or the
   * signal's reason at once: what was asked by then is not waited for.
   */
  use<T>(action: (session: SftpSession) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Has the connection stay beyond the action that it was given to, until the answer is called. */
  keep(session: SftpSession): () => void;
  /** Closes it now when nobody uses it. */
  closeUnused(): Promise<void>;
}

interface Current {
  readonly session: Promise<SftpSession>;
  opened: SftpSession | undefined;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

/** `idleMs`: so long it stays open without being used. */
export function sftpConnection(open: () => Promise<SftpSession>, idleMs: number): SftpConnection {
  let current: Current | undefined;

  const drop = async (dropped: Current): Promise<void> => {
    clearTimeout(dropped.idle);
    if (current === dropped) current = undefined;
    await dropped.opened?.end();
  };
  const connect = (): Current => {
    const made: Current = { session: open(), opened: undefined, users: 0, idle: undefined };
    made.session.then(
      (session) => {
        made.opened = session;
        session.gone.addEventListener('abort', () => {
          if (current === made) current = undefined;
          clearTimeout(made.idle);
        });
      },
      () => {
        if (current === made) current = undefined;
      },
    );
    return made;
  };
  const enter = (entered: Current): (() => void) => {
    clearTimeout(entered.idle);
    entered.users += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      entered.users -= 1;
      if (entered.users > 0 || current !== entered) return;
      entered.idle = setTimeout(() => void drop(entered), idleMs);
    };
  };

  return {
    async use(action, signal) {
      signal?.throwIfAborted();
      current ??= connect();
      const { session } = current;
      const leave = enter(current);
      const running = session.then(action).finally(leave);
      return unlessAborted(running, signal);
    },
    keep(session) {
      return current?.opened === session ? enter(current) : () => undefined;
    },
    async closeUnused() {
      if (current?.users === 0) await drop(current);
    },
  };
}
