/** Owns how fast bytes may flow: who hands them on asks how long to wait first. Pure; times are handed in. */

export class Pace {
  readonly #bytesPerSecond: number;
  #freeAt = -Infinity;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Milliseconds to wait before these bytes are handed on. Time in which nothing came is not saved up. */
  waitFor(bytes: number, nowMs: number): number {
    this.#freeAt = Math.max(this.#freeAt, nowMs) + (bytes / this.#bytesPerSecond) * 1000;
    return this.#freeAt - nowMs;
  }
}
