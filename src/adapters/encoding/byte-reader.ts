/** Owns reading so many bytes at a time from a stream that comes in chunks of any size. */

export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  /** What was read and not handed out. */
  #held: Uint8Array = new Uint8Array(0);
  #isDone = false;

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#source = chunks[Symbol.asyncIterator]();
  }

  /** Exactly `size` bytes; fewer when the end comes before. Throws what the source throws. */
  async read(size: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let missing = size;
    while (missing > 0 && !(await this.isAtEnd())) {
      const part = this.#held.subarray(0, missing);
      this.#held = this.#held.subarray(part.length);
      missing -= part.length;
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#held.length === 0 && !this.#isDone) {
      const next = await this.#source.next();
      if (next.done === true) this.#isDone = true;
      else this.#held = next.value;
    }
    return this.#held.length === 0;
  }

  /** Tells the source that nobody reads on; does not wait for it. */
  close(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#source.return?.().catch(() => undefined);
  }
}
