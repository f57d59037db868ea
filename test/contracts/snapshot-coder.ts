/** Owns what every SnapshotCoder must do with one encoding; run with each. */
import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { Encoding } from '../../src/domain/snapshot.ts';
import type { SnapshotCoder } from '../../src/ports.ts';

export interface CoderBench {
  readonly coder: SnapshotCoder;
  readonly encoding: Encoding;
  /** How often a property is tried; each costs two or three processes where a program is the filter. */
  readonly runs: number;
}

const NEVER = new AbortController().signal;
const CHUNK = 64 * 1024;
const AWAY = new KeyturnError('store.unreachable', 'The store is away.', { hint: 'Look at it.' });

export async function* inChunks(bytes: Uint8Array, sizes: readonly number[] = []): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

/** What an attempt ends with: its bytes, or the code of its error. */
async function outcome(chunks: AsyncIterable<Uint8Array>): Promise<Buffer | string> {
  try {
    return await buffer(chunks);
  } catch (error) {
    if (error instanceof KeyturnError) return error.code;
    throw error;
  }
}

export function snapshotCoderContract(name: string, start: () => Promise<CoderBench>): void {
  describe(`${name} keeps the contract of SnapshotCoder`, () => {
    let bench: CoderBench;
    beforeAll(async () => {
      bench = await start();
    });

    const encode = (chunks: AsyncIterable<Uint8Array>, signal = NEVER) =>
      bench.coder.encode(bench.encoding, chunks, signal);
    const decode = (chunks: AsyncIterable<Uint8Array>, signal = NEVER) =>
      bench.coder.decode(bench.encoding, chunks, signal);

    /** Around the sizes where chunks of the encryption end. */
    const sizes = fc.oneof(
      fc.constantFrom(0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17),
      fc.integer({ min: 0, max: 5 * CHUNK }),
    );
    const cuts = fc.array(fc.integer({ min: 0, max: CHUNK }), { maxLength: 12 });

    test('any bytes come back as they were, in whatever chunks they go and come', async () => {
      await fc.assert(
        fc.asyncProperty(sizes, cuts, cuts, fc.boolean(), async (size, into, outOf, isNoise) => {
          const bytes = isNoise ? randomBytes(size) : Buffer.alloc(size, 'etcd ');
          const stored = await buffer(encode(inChunks(bytes, into)));
          expect((await buffer(decode(inChunks(stored, outOf)))).equals(bytes)).toBe(true);
        }),
        { numRuns: bench.runs },
      );
    });

    test('the same snapshot is never the same object twice where it is encrypted', async () => {
      const once = await buffer(encode(inChunks(Buffer.from('the same'))));
      const again = await buffer(encode(inChunks(Buffer.from('the same'))));
      expect(once.equals(again)).toBe(bench.encoding.encryption === 'none');
    });

    test('a bit that flips anywhere is refused, or the snapshot is the same for all that', async () => {
      const bytes = Buffer.concat([randomBytes(CHUNK), Buffer.alloc(CHUNK, 'etcd ')]);
      const stored = await buffer(encode(inChunks(bytes)));
      const anywhere = fc.oneof(
        fc.integer({ min: 0, max: Math.min(600, stored.length - 1) }),
        fc.integer({ min: 0, max: stored.length - 1 }),
      );
      await fc.assert(
        fc.asyncProperty(anywhere, fc.integer({ min: 0, max: 7 }), async (at, bit) => {
          const flipped = Buffer.from(stored);
          flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at);
          const seen = await outcome(decode(inChunks(flipped, [1000])));
          // Encrypted, nothing may pass. A checksum of the content alone leaves a few bits around it free.
          if (bench.encoding.encryption === 'age' || typeof seen === 'string') expect(seen).toBe('snapshot.damaged');
          else expect(seen.equals(bytes)).toBe(true);
        }),
        { numRuns: 4 * bench.runs },
      );
    });

    test('what is cut off anywhere is refused', async () => {
      const stored = await buffer(encode(inChunks(randomBytes(3 * CHUNK))));
      const lengths = fc.oneof(
        fc.integer({ min: 0, max: stored.length - 1 }),
        fc.constantFrom(0, 1, stored.length - 1, stored.length - 16, stored.length - CHUNK - 16),
      );
      await fc.assert(
        fc.asyncProperty(lengths, async (length) => {
          expect(await outcome(decode(inChunks(stored.subarray(0, length), [500])))).toBe('snapshot.damaged');
        }),
        { numRuns: bench.runs },
      );
    });

    test.each([1, 16, 70_000])('%i bytes more at the end are refused', async (more) => {
      const stored = await buffer(encode(inChunks(randomBytes(2 * CHUNK))));
      for (const split of [[], [stored.length]]) {
        const longer = Buffer.concat([stored, randomBytes(more)]);
        expect(await outcome(decode(inChunks(longer, split)))).toBe('snapshot.damaged');
      }
    });

    test.each(['encode', 'decode'] as const)('an error of what is read is the error of %s', async (way) => {
      const stored = await buffer(encode(inChunks(randomBytes(4 * CHUNK))));
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield stored.subarray(0, 3 * CHUNK);
        throw AWAY;
      }
      expect(await outcome({ encode, decode }[way](broken()))).toBe('store.unreachable');
    });

    test.each(['encode', 'decode'] as const)(
      '%s ends with the reason of its signal though nothing comes',
      async (way) => {
        const stored = await buffer(encode(inChunks(randomBytes(4 * CHUNK))));
        const stop = new AbortController();
        async function* hanging(): AsyncGenerator<Uint8Array> {
          yield stored.subarray(0, 2 * CHUNK);
          // As the sources do that it is used with.
          await new Promise((_, reject) =>
            stop.signal.addEventListener('abort', () => reject(stop.signal.reason as Error)),
          );
        }
        const ended = buffer({ encode, decode }[way](hanging(), stop.signal)).catch((error: unknown) => error);
        setTimeout(() => stop.abort(AWAY), 50);
        expect(await ended).toBe(AWAY);
      },
    );

    test.each(['encode', 'decode'] as const)('%s lets go of everything when nobody reads on', async (way) => {
      const stored = await buffer(encode(inChunks(randomBytes(40 * CHUNK))));
      const stop = new AbortController();
      let isClosed = false;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          for (let at = 0; at < stored.length; at += CHUNK) yield stored.subarray(at, at + CHUNK);
        } finally {
          isClosed = true;
        }
      }
      for await (const chunk of { encode, decode }[way](source(), stop.signal)) if (chunk.length > 1000) break;
      await sleep(50);
      expect(isClosed).toBe(true);
      expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
    });

    test('no more is read than is taken, but for what fits in pipes and buffers', async () => {
      let given = 0;
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (;;) {
          given += CHUNK;
          yield randomBytes(CHUNK);
        }
      }
      for await (const chunk of encode(endless())) {
        if (chunk.length < 1000) continue;
        await sleep(300);
        break;
      }
      // The program zstd reads some 5 MiB ahead.
      expect(given).toBeLessThan(16 * 1024 * 1024);
    });
  });
}
