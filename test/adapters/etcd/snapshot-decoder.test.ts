import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { snapshotDecoder } from '../../../src/adapters/etcd/snapshot-decoder.ts';

interface Message {
  readonly remaining: bigint;
  readonly blob: Uint8Array;
}

/** SnapshotResponse messages as etcd sends them: a header, remaining_bytes left out when 0, the blob; version from 3.6 on. */
function encode({ remaining, blob }: Message, version = ''): Buffer {
  const text = Buffer.from(version);
  const message = Buffer.concat([
    Buffer.from([0x0a, 2, 0x08, 1]),
    ...(remaining === 0n ? [] : [Buffer.from([0x10]), varint(remaining)]),
    ...(blob.length === 0 ? [] : [Buffer.from([0x1a]), varint(BigInt(blob.length)), blob]),
    ...(text.length === 0 ? [] : [Buffer.from([0x22]), varint(BigInt(text.length)), text]),
  ]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>= 7n) {
    bytes.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
    if (left <= 0x7fn) return Buffer.from(bytes);
  }
}

/** Cuts `bytes` at these places, in any order and as often as they come. */
function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
}

const message = fc.record({
  remaining: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  blob: fc.uint8Array({ maxLength: 300 }),
});

describe('the decoder of a snapshot', () => {
  test('gives every byte of every blob in order, however the stream is split', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        fc.string(),
        (messages, cuts, version) => {
          const decoder = snapshotDecoder();
          const pieces = split(Buffer.concat(messages.map((m) => encode(m, version))), cuts);
          const blobs = pieces.flatMap((piece) => decoder.push(piece));
          expect(Buffer.concat(blobs)).toEqual(Buffer.concat(messages.map(({ blob }) => blob)));
          expect(decoder.atBoundary).toBe(true);
          expect(decoder.remaining).toBe(messages.at(-1)?.remaining);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('copies no byte: what it gives are slices of what it got', () => {
    const chunk = encode({ remaining: 0n, blob: Buffer.alloc(1000, 7) });
    const [blob] = snapshotDecoder().push(chunk);
    expect(blob?.buffer).toBe(chunk.buffer);
    expect(blob?.length).toBe(1000);
  });

  test('knows that a stream cut anywhere but between two messages is not whole', () => {
    const bytes = encode({ remaining: 5n, blob: Buffer.alloc(100, 1) });
    for (let length = 1; length < bytes.length; length += 1) {
      const decoder = snapshotDecoder();
      decoder.push(bytes.subarray(0, length));
      expect(decoder.atBoundary).toBe(false);
    }
  });

  test('knows that a last message with bytes remaining is not the last', () => {
    const decoder = snapshotDecoder();
    decoder.push(encode({ remaining: 32n, blob: Buffer.alloc(10) }));
    expect(decoder.remaining).toBe(32n);
    decoder.push(encode({ remaining: 0n, blob: Buffer.alloc(32) }));
    expect(decoder.remaining).toBe(0n);
  });

  test('skips fields that it does not know, of every kind', () => {
    const unknown = Buffer.from([
      0x29, 1, 2, 3, 4, 5, 6, 7, 8, 0x35, 1, 2, 3, 4, 0x38, 0x96, 1, 0x42, 2, 9, 9, 0x1a, 1, 7,
    ]);
    const prefix = Buffer.from([0, 0, 0, 0, unknown.length]);
    const blobs = snapshotDecoder().push(Buffer.concat([prefix, unknown]));
    expect(blobs.map((blob) => [...blob])).toEqual([[7]]);
  });

  test.each([
    ['is compressed', [1, 0, 0, 0, 1, 0]],
    ['claims 4 GB', [0, 0xff, 0xff, 0xff, 0xff]],
    ['has a field that is longer than itself', [0, 0, 0, 0, 3, 0x1a, 9, 0]],
    ['ends within a tag', [0, 0, 0, 0, 1, 0x80]],
    ['ends after a tag', [0, 0, 0, 0, 1, 0x10]],
    ['has a wire type that does not exist', [0, 0, 0, 0, 2, 0x0f, 0]],
    ['has a varint without end', [0, 0, 0, 0, 20, 0x10, ...Array.from({ length: 12 }, () => 0x80)]],
  ])('refuses a message that %s', (_, bytes) => {
    expect(() => snapshotDecoder().push(Buffer.from(bytes))).toThrow(RangeError);
  });

  test('never does anything but give bytes or throw RangeError, whatever it gets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          snapshotDecoder().push(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
