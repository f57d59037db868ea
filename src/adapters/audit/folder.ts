/** Owns the folder on this machine's disk that the audit lies in: a file a chain. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyturnError } from '../../domain/error.ts';

export const SUFFIX = '.jsonl';

/** Proves that entries can be kept in `folder`, and makes it where there is none; leaves nothing in it. Throws audit.failed. */
export async function checkAuditFolder(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `check-${randomBytes(6).toString('hex')}`);
    const file = await open(path, 'wx', 0o600);
    try {
      await file.appendFile('check');
      await file.datasync();
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
    return `${folder} can be written`;
  } catch (error) {
    throw failed(folder, error);
  }
}

/** The text of every chain on disk, by its name; empty when there is no such folder. For `verifyAudit`. */
export async function readAuditFolder(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  const chains = new Map<string, string>();
  for (const name of names.filter((each) => each.endsWith(SUFFIX)).sort()) {
    chains.set(name.slice(0, -SUFFIX.length), decode(await readFile(join(folder, name))));
  }
  return chains;
}

/** Whole lines that are no UTF-8 become lines that no hash fits; a torn end may be cut in the middle of a character. */
export function decode(bytes: Uint8Array): string {
  const end = bytes.lastIndexOf(0x0a) + 1;
  const whole = Buffer.from(bytes.subarray(0, end));
  const text = whole.toString('utf8');
  const torn = Buffer.from(bytes.subarray(end)).toString('utf8');
  return `${Buffer.from(text).equals(whole) ? text : whole.toString('latin1')}${torn}`;
}

export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function failed(folder: string, cause: unknown): KeyturnError {
  const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  return new KeyturnError('audit.failed', `The audit could not be written to ${folder}: ${why}.`, {
    hint: `Make room on the disk of ${folder}, and let Keyturn's user write there; nothing is done that is not recorded.`,
    cause,
  });
}
