/**
 * Owns the copies of one snapshot while they are written: what is read once goes to every store, and a store that fails
 * drops out without spoiling the others.
 */
import { KeyturnError } from '../domain/error.ts';
import type { SnapshotStore, StoredObject, Upload } from '../ports.ts';

interface Copy {
  readonly store: SnapshotStore;
  upload: Upload | undefined;
  /** Key of the manifest, once its writing was begun: from then on the snapshot may count. */
  manifest: string | undefined;
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
      stores.map((store) => ({ store, upload: undefined, manifest: undefined, error: undefined })),
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

  /** Writes the manifest beside each copy of `size` bytes, and reads it back. */
  async putManifest(key: string, body: Uint8Array, size: number): Promise<void> {
    await this.#each(async (copy) => {
      const { store } = copy;
      copy.manifest = key;
      await store.put(key, body);
      if (!Buffer.from(await store.get(key)).equals(body)) throw readBackDiffers(key, store.name);
      // Who took the cluster over while this process hung has removed the object, as it had no manifest then.
      requireSize(await store.stat(this.key), size, store.name);
    });
  }

  /**
   * Takes back what the given stores hold of this snapshot. Without the lease (`alone` is false) a snapshot that may
   * count already is left to whoever has it now. Never throws; says where that did not work.
   */
  async undo(stores: readonly SnapshotStore[], alone: boolean): Promise<Leftover[]> {
    const copies = this.#copies.filter((copy) => stores.includes(copy.store));
    const left = await Promise.all(copies.map((copy) => this.#undoOne(copy, alone)));
    return left.filter((leftover) => leftover !== undefined);
  }

  async #undoOne({ store, upload, manifest }: Copy, alone: boolean): Promise<Leftover | undefined> {
    try {
      await upload?.abort();
      if (manifest !== undefined) {
        if (!alone && (await store.stat(this.key)) !== undefined) return undefined;
        await store.remove(manifest);
      }
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
