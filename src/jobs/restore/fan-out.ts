/** Owns one source read once for many readers: the slowest one governs, and one that leaves does not spoil the others. */

/** Hands every chunk to every reader. Nothing is read before each that has joined either reads or has left. */
export class FanOut {
  readonly #open: () => Promise<AsyncIterable<Uint8Array>>;
  readonly #readers = new Set<Reader>();
  #isPumping = false;

  /** `open` is called once, when there is somebody to read. */
  constructor(open: () => Promise<AsyncIterable<Uint8Array>>) {
    this.#open = open;
  }

  /** To be called by all before the first of them reads. */
  join(): Reader {
    const reader = new Reader(
      () => this.#begin(),
      () => {
        this.#readers.delete(reader);
        this.#begin();
      },
    );
    this.#readers.add(reader);
    return reader;
  }

  #begin(): void {
    const readers = [...this.#readers];
    if (this.#isPumping || readers.length === 0 || !readers.every(({ isReading }) => isReading)) return;
    this.#isPumping = true;
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

/** Holds one chunk at most. */
export class Reader {
  readonly #reads: () => void;
  readonly #leaves: () => void;
  #chunk: Uint8Array | undefined;
  #ended: { readonly error: Error | undefined } | undefined;
  #isReading = false;
  #hasLeft = false;
  #wakeReader = (): void => undefined;
  #wakeWriter = (): void => undefined;

  constructor(reads: () => void, leaves: () => void) {
    this.#reads = reads;
    this.#leaves = leaves;
  }

  get isReading(): boolean {
    return this.#isReading;
  }

  /** Everything from the beginning on; throws what the source throws. A reader that stops early leaves. */
  read(): AsyncIterable<Uint8Array> {
    this.#isReading = true;
    this.#reads();
    return this.#chunks();
  }

  /** Takes no part any more. Safe twice. */
  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#leaves();
    this.#wakeWriter();
  }

  /** Resolves when it was taken and the next is asked for, or when the reader has left. */
  async put(chunk: Uint8Array): Promise<void> {
    if (this.#hasLeft) return;
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

  async *#chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#chunk;
        if (chunk !== undefined) {
          yield chunk;
          this.#chunk = undefined;
          this.#wakeWriter();
        } else if (this.#ended === undefined) {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
        } else {
          if (this.#ended.error !== undefined) throw this.#ended.error;
          return;
        }
      }
    } finally {
      this.leave();
    }
  }
}
