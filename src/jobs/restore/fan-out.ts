/** Owns one source read once for many readers: the slowest one governs, and one that leaves does not spoil the others. */

/** Hands every chunk to every reader that takes part. */
export class FanOut {
  readonly #open: () => Promise<AsyncIterable<Uint8Array>>;
  readonly #readers = new Set<Reader>();
  #undecided: number;

  /** Nothing is read before each of `expected` has either begun to read or said that it will not. */
  constructor(expected: number, open: () => Promise<AsyncIterable<Uint8Array>>) {
    this.#undecided = expected;
    this.#open = open;
  }

  /** Takes part. To be called once by each of those expected; a reader that stops early leaves. */
  read(): AsyncIterable<Uint8Array> {
    const reader = new Reader(() => this.#readers.delete(reader));
    this.#readers.add(reader);
    this.#decided();
    return reader.chunks();
  }

  /** Does not take part. */
  decline(): void {
    this.#decided();
  }

  #decided(): void {
    this.#undecided -= 1;
    if (this.#undecided > 0 || this.#readers.size === 0) return;
    this.#pump().then(
      () => this.#readers.forEach((reader) => reader.end(undefined)),
      (error: unknown) => this.#readers.forEach((reader) => reader.end(error as Error)),
    );
  }

  async #pump(): Promise<void> {
    for await (const chunk of await this.#open()) {
      await Promise.all([...this.#readers].map((reader) => reader.put(chunk)));
      if (this.#readers.size === 0) return;
    }
  }
}

/** Holds one chunk at most; `put` resolves when it was taken and the next is asked for, or when the reader has left. */
class Reader {
  readonly #left: () => void;
  #chunk: Uint8Array | undefined;
  #ended: { readonly error: Error | undefined } | undefined;
  #wakeReader = (): void => undefined;
  #wakeWriter = (): void => undefined;
  #gone = false;

  constructor(left: () => void) {
    this.#left = left;
  }

  async put(chunk: Uint8Array): Promise<void> {
    if (this.#gone) return;
    this.#chunk = chunk;
    this.#wakeReader();
    await new Promise<void>((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  end(error: Error | undefined): void {
    this.#ended = { error };
    this.#wakeReader();
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunk;
        if (chunk !== undefined) {
          yield chunk;
          this.#chunk = undefined;
          this.#wakeWriter();
        } else if (this.#ended !== undefined) {
          if (this.#ended.error !== undefined) throw this.#ended.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        }
      }
    } finally {
      this.#gone = true;
      this.#left();
      this.#wakeWriter();
    }
  }
}
