/** Owns how two processes on one machine take turns: a kernel file lock, which is gone when its holder is gone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LocalPartsError } from './problem.ts';

/**
 * Runs `work` while holding the exclusive lock on `file` (made when it is not there), and answers what it answers.
 * Waits for as long as someone else has the lock. A killed holder loses it at once: nothing to clean up.
 */
export async function withFileLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  // flock(1) holds the lock for as long as its child reads our pipe, which ends with us, however we end.
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const locked = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    once(holder, 'exit').then(() => false),
    once(holder, 'error').then(() => false),
  ]).catch(() => false);
  if (!locked) {
    throw new LocalPartsError(`The lock file ${file} could not be locked.`, {
      hint: 'Install util-linux (it has flock) and see that the folder can be written to.',
    });
  }
  try {
    return await work();
  } finally {
    const ended = once(holder, 'exit');
    holder.stdin.end();
    await ended;
  }
}
