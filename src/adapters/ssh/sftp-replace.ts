/**
 * Owns how a new object takes the place of an old one. Where the server can't do that at once, the old one is set aside
 * first: whoever looks for it in between, or after a crash, finds it there (`SftpAccess.find`).
 */
import { asidePath, ifThere } from './sftp-access.ts';
import { isRefusal } from './sftp-errors.ts';
import { STATUS, type SftpSession } from './sftp-session.ts';

/** Others may replace the same object at the same time; each round one of them wins. */
const ROUNDS = 10;

/** Moves the file at `temporary` to `path`. Throws SftpRefusal; noSuchFile when there is nothing at `temporary`. */
export async function replace(session: SftpSession, temporary: string, path: string): Promise<void> {
  if (session.can.posixRename) return session.posixRename(temporary, path);
  for (let round = 1; ; round += 1) {
    try {
      await session.rename(temporary, path);
      await forgetAside(session, path);
      return;
    } catch (error) {
      // The protocol has no status for "there is one already".
      if (!isRefusal(error, STATUS.failure) || round === ROUNDS) throw error;
      const old = await ifThere(session.lstat(path));
      if (old !== undefined && old.kind !== 'file') throw error;
    }
    await setAside(session, path);
  }
}

async function setAside(session: SftpSession, path: string): Promise<void> {
  try {
    await ifThere(session.rename(path, asidePath(path)));
  } catch (error) {
    if (!isRefusal(error, STATUS.failure)) throw error;
    // What was set aside before is older than what is there now.
    if ((await ifThere(session.lstat(path))) !== undefined) await forgetAside(session, path);
  }
}

/** Call only when something newer lies at `path`, or when the object is to go. */
export async function forgetAside(session: SftpSession, path: string): Promise<void> {
  await ifThere(session.unlink(asidePath(path)));
}
