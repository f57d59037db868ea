/** Owns the memory of one upload: a few buffers, filled one after the other and sent while the next is filled. */

/** A checksum that grows with the bytes of one part. */
export interface PartSum {
  update(bytes: Uint8Array): unknown;
}

export interface Part<Sum> {
  /** 1 for the first. */
  readonly number: number;
  readonly bytes: Buffer;
  readonly sum: Sum;
}

export interface PartBuffersOptions<Sum> {
  /** How many buffers there are, and so how many parts can be on their way at once. */
  readonly count: number;
  /** Bytes of part `number`; may grow with it. */
  readonly sizeOf: (number: number) => number;
  /** Begins the checksum of a part; it is fed in strides, while the bytes are warm in the processor's cache. */
  readonly startSum: () => Sum;
  /** Sends a full part; its bytes are its own until this settles. */
  readonly send: (part: Part<Sum>) => Promise<void>;
}

export interface PartBuffers<Sum> {
  /** Copies `chunk`. Waits only while all buffers are on their way. Throws what the first failed `send` threw. */
  write(chunk: Uint8Array): Promise<void>;
  /** What was written and fills no part yet; undefined when there is nothing. */
  rest(): Part<Sum> | undefined;
  /** Resolves when no part is on its way; throws what the first failed `send` threw. */
  drained(): Promise<void>;
  /** Gives the memory to the next upload. Call last, when nothing is on its way. */
  release(): void;
}

/**
 * Buffers between two uploads: memory that each upload took anew would be there twice until the first is collected. Let go
 * after a minute without use; as many as one upload has.
 */
const SPARE_FOR_MS = 60_000;
let spare: Buffer[] = [];
let letGo: NodeJS.Timeout | undefined;

function takeSpare(size: number): Buffer | undefined {
  const at = spare.findIndex((buffer) => buffer.length === size);
  return at < 0 ? undefined : spare.splice(at, 1)[0];
}

function keepSpare(buffers: readonly Buffer[], atMost: number): void {
  spare = [...buffers, ...spare].slice(0, atMost);
  clearTimeout(letGo);
  letGo = setTimeout(() => (spare = []), SPARE_FOR_MS).unref();
}

/** Checksums are fed this many bytes at a time: chunks are small, and each call costs. */
const STRIDE = 256 * 1024;

/** Memory taken is `count` times the size of a part, whatever is written. */
export function partBuffers<Sum extends PartSum>(options: PartBuffersOptions<Sum>): PartBuffers<Sum> {
  const { count, sizeOf, startSum, send } = options;
  const free: Buffer[] = [];
  const onTheWay = new Set<Promise<void>>();
  let made = 0;
  let number = 1;
  let filling: { buffer: Buffer; length: number; summed: number; sum: Sum } | undefined;
  let failed: { error: unknown } | undefined;

  const throwIfFailed = (): void => {
    if (failed) throw failed.error;
  };
  const takeBuffer = async (): Promise<Buffer> => {
    while (free.length === 0 && made === count) {
      await Promise.race(onTheWay);
      throwIfFailed();
    }
    const size = sizeOf(number);
    const used = free.pop();
    if (used?.length === size) return used;
    if (used === undefined) made += 1;
    return takeSpare(size) ?? Buffer.allocUnsafeSlow(size);
  };
  const sumUp = (part: NonNullable<typeof filling>): void => {
    if (part.length > part.summed) part.sum.update(part.buffer.subarray(part.summed, part.length));
    part.summed = part.length;
  };
  const sendFull = (buffer: Buffer, sum: Sum): void => {
    const sending = send({ number, bytes: buffer, sum })
      .catch((error: unknown) => {
        failed ??= { error };
      })
      .finally(() => {
        onTheWay.delete(sending);
        free.push(buffer);
      });
    onTheWay.add(sending);
    number += 1;
  };

  return {
    async write(chunk) {
      throwIfFailed();
      for (let at = 0; at < chunk.length;) {
        filling ??= { buffer: await takeBuffer(), length: 0, summed: 0, sum: startSum() };
        const { buffer, length, sum } = filling;
        const piece = chunk.subarray(at, at + buffer.length - length);
        buffer.set(piece, length);
        filling.length += piece.length;
        at += piece.length;
        const isFull = filling.length === buffer.length;
        if (isFull || filling.length - filling.summed >= STRIDE) sumUp(filling);
        if (isFull) {
          filling = undefined;
          sendFull(buffer, sum);
        }
      }
    },
    rest() {
      if (!filling) return undefined;
      sumUp(filling);
      return { number, bytes: filling.buffer.subarray(0, filling.length), sum: filling.sum };
    },
    async drained() {
      await Promise.all(onTheWay);
      throwIfFailed();
    },
    release() {
      keepSpare([...free.splice(0), ...(filling ? [filling.buffer] : [])], count);
      filling = undefined;
    },
  };
}
