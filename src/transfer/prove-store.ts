/** Owns the proof that a store can be used: something is written, found, read and removed again. */
import { randomBytes } from 'node:crypto';
import { KeyturnError } from '../domain/error.ts';
import type { SnapshotStore } from '../ports.ts';

/** Throws store.*, with `hint` when what is read is not what was written. Leaves nothing behind. */
export async function proveStore(
  { name, put, get, list, remove }: Pick<SnapshotStore, 'name' | 'put' | 'get' | 'list' | 'remove'>,
  hint: string,
): Promise<void> {
  const key = `keyturn-check-${randomBytes(8).toString('hex')}`;
  try {
    await put(key, Buffer.from(key));
    const listed: string[] = [];
    for await (const object of list(key)) listed.push(object.key);
    if (listed[0] !== key || Buffer.from(await get(key)).toString() !== key) {
      throw new KeyturnError('store.corrupt', `Store ${name} does not give back what was written to it.`, { hint });
    }
  } finally {
    await remove(key);
  }
}
