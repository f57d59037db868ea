import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { SnapshotCheck } from '../../src/domain/snapshot-check.ts';

/** A file as etcd sends it: bbolt's first meta page, content, and the sha256 of both. */
function wholeSnapshot(pages = 4): Buffer {
  const content = randomBytes(pages * 4096);
  content.writeUInt32LE(0xed0cdaed, 16);
  content.writeUInt32LE(2, 20);
  return Buffer.concat([content, createHash('sha256').update(content).digest()]);
}

function feed(bytes: Buffer, cuts: readonly number[]): SnapshotCheck {
  const check = new SnapshotCheck();
  const at = [...new Set([0, ...cuts.map((cut) => cut % bytes.length), bytes.length])].sort((a, b) => a - b);
  at.slice(1).forEach((end, i) => check.update(bytes.subarray(at[i], end)));
  return check;
}

function refusal(bytes: Buffer): string {
  try {
    feed(bytes, []).finish();
    return 'accepted';
  } catch (error) {
    return error instanceof KeyturnError ? `${error.code}: ${error.message}` : 'another error';
  }
}

describe('a snapshot is good only when it is whole', () => {
  test('however it is cut, size and sha256 are those of the file', () => {
    const bytes = wholeSnapshot();
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 50 }), (cuts) => {
        expect(feed(bytes, cuts).finish()).toEqual({ size: bytes.length, sha256 });
      }),
    );
  });

  test('byte by byte it is the same', () => {
    const bytes = wholeSnapshot(1);
    expect(feed(bytes, [...bytes.keys()]).finish().size).toBe(bytes.length);
  });

  test('one flipped bit anywhere is found', () => {
    const bytes = wholeSnapshot(1);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const bad = Buffer.from(bytes);
        bad.writeUInt8(bad.readUInt8(at) ^ (1 << bit), at);
        expect(refusal(bad)).toMatch(/^etcd\.snapshot-corrupt/);
      }),
    );
  });

  test('a file without its trailer is refused by its size', () => {
    expect(refusal(wholeSnapshot().subarray(0, -32))).toContain('is not that of a whole snapshot');
  });

  test('nothing at all is refused', () => {
    expect(refusal(Buffer.alloc(0))).toContain('its size of 0 bytes');
  });

  test('a file that is no bbolt database is refused', () => {
    const content = Buffer.alloc(4096, 1);
    const bytes = Buffer.concat([content, createHash('sha256').update(content).digest()]);
    expect(refusal(bytes)).toContain('does not begin like an etcd database');
  });
});
