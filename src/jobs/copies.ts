/**
 * Owns the copies of one snapshot while they are written: what is read once goes to every store, and a store that fails
 * drops out without spoiling the others.
 */
import { KeyturnError } from '../domain/error.ts';
import { manifestKeyOf } from '../domain/snapshot.ts';
import type { SnapshotStore, StoredObject, Upload } from '../ports.ts';

interface Copy {
  readonly store: SnapshotStore;
  upload: Upload | undefined;
  error: unknown;
}

export interface Failed {
  readonly store: SnapshotStore;
  readonly error: unknown;
}

/** What is left undone in a store that could not be cleaned up. */
export interface Leftover {
  readonly store: SnapshotStore;
  readonly key: string;
}

export class Copies {
  readonly key: string;
  readonly #copies: Copy[];

  private constructor(key: string, copies: Copy[]) {
    this.key = key;
    this.#copies = copies;
  }

  /** Throws the first store's error when none can be written to. */
  static async begin(stores: readonly SnapshotStore[], key: string, signal: AbortSignal): Promise<Copies> {
    const copies = new Copies(
      key,
      stores.map((store) => ({ store, upload: undefined, error: undefined })),
    );
    await copies.#each(async (copy) => {
      copy.upload = await copy.store.beginUpload(key, signal);
    });
    return copies;
  }

  get failed(): readonly Failed[] {
    return this.#copies.filter((c) => c.error !== undefined).map(({ store, error }) => ({ store, error }));
  }

  get stores(): readonly SnapshotStore[] {
    return this.#alive.map((copy) => copy.store);
  }

  /** Resolves when every store that still takes part has room for more. */
  async write(chunk: Uint8Array): Promise<void> {
    const only = this.#alive.length === 1 ? this.#alive[0] : undefined;
    if (only?.upload !== undefined && this.#copies.length === 1) return only.upload.write(chunk);
    await this.#each((copy) => copy.upload?.write(chunk));
  }

  /** Makes the object visible in every store that took all of it, and reads its size back. */
  async complete(size: number): Promise<void> {
    await this.#each(async (copy) => {
      await copy.upload?.complete();
      // From here an abort has nothing to take back; a bad object is removed by the caller's clean-up.
      copy.upload = undefined;
      requireSize(await copy.store.stat(this.key), size, copy.store.name);
    });
  }

  /** Writes the manifest beside each copy, and reads it back. From here on they are snapshots. */
  async putManifest(body: Uint8Array): Promise<void> {
    const key = manifestKeyOf(this.key);
    await this.#each(async ({ store }) => {
      await store.put(key, body);
      if (!Buffer.from(await store.get(key)).equals(body)) throw readBackDiffers(key, store.name);
    });
  }

  /** Takes back what the given stores hold of this object. Never throws; says where that did not work. */
  async undo(stores: readonly SnapshotStore[]): Promise<Leftover[]> {
    const copies = this.#copies.filter((copy) => stores.includes(copy.store));
    const left = await Promise.all(copies.map((copy) => this.#undoOne(copy)));
    return left.filter((leftover) => leftover !== undefined);
  }

  async #undoOne({ store, upload }: Copy): Promise<Leftover | undefined> {
    try {
      await upload?.abort();
      // In this order: an object without a manifest is nothing, a manifest without its object would be a lie.
      await store.remove(manifestKeyOf(this.key));
      await store.remove(this.key);
      return undefined;
    } catch {
      return { store, key: this.key };
    }
  }

  get #alive(): Copy[] {
    return this.#copies.filter((copy) => copy.error === undefined);
  }

  async #each(act: (copy: Copy) => Promise<void> | undefined): Promise<void> {
    await Promise.all(
      this.#alive.map(async (copy) => {
        try {
          await act(copy);
        } catch (error) {
          copy.error = error;
        }
      }),
    );
    if (this.#alive.length === 0) throw this.#copies[0]?.error;
  }
}

function requireSize(found: StoredObject | undefined, size: number, store: string): void {
  if (found?.size === size) return;
  throw new KeyturnError(
    'store.corrupt',
    `Store ${store} holds ${found === undefined ? 'nothing' : `${found.size} bytes`} where ${size} bytes were written.`,
    { hint: 'Back up again; if it happens again, look at the store.' },
  );
}

function readBackDiffers(key: string, store: string): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${store} gives back another ${key} than was written.`, {
    hint: 'Back up again; if it happens again, look at the store.',
  });
}
