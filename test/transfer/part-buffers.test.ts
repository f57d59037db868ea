import { createHash, randomBytes, type Hash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { partBuffers, type Part } from '../../src/transfer/part-buffers.ts';

/** Sends that end when the test says so, and what was sent in them. */
function slowSends() {
  const waiting: { readonly part: Part<Hash>; end: () => void; fail: (error: Error) => void }[] = [];
  const send = (part: Part<Hash>): Promise<void> =>
    new Promise((end, fail) => {
      waiting.push({ part, end, fail });
    });
  return { waiting, send };
}
const startSum = (): Hash => createHash('sha256');
const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  await new Promise((resolve) => setTimeout(resolve, 5));
  return done;
};

test('write waits only while all buffers are on their way', async () => {
  const { waiting, send } = slowSends();
  const buffers = partBuffers({ count: 3, sizeOf: () => 10, startSum, send });
  await buffers.write(Buffer.alloc(30));
  expect(waiting).toHaveLength(3);
  const fourth = buffers.write(Buffer.alloc(1));
  expect(await settled(fourth)).toBe(false);
  waiting[1]?.end();
  await fourth;
  expect(buffers.rest()).toMatchObject({ number: 4, bytes: Buffer.alloc(1) });
});

test('no more buffers are made than there may be, and they are used again', async () => {
  const seen = new Set<ArrayBufferLike>();
  const send = async ({ bytes }: Part<Hash>): Promise<void> => {
    seen.add(bytes.buffer);
    await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const buffers = partBuffers({ count: 2, sizeOf: () => 100, startSum, send });
  for (let n = 0; n < 50; n += 1) await buffers.write(Buffer.alloc(77));
  await buffers.drained();
  expect(seen.size).toBe(2);
});

test("a part's bytes stay as they were until its sending ends", async () => {
  const { waiting, send } = slowSends();
  const buffers = partBuffers({ count: 2, sizeOf: () => 4, startSum, send });
  await buffers.write(Buffer.from('aaaabbbb'));
  const more = buffers.write(Buffer.from('cccc'));
  expect(waiting.map(({ part }) => part.bytes.toString())).toEqual(['aaaa', 'bbbb']);
  waiting[0]?.end();
  await more;
  expect(waiting.map(({ part }) => part.bytes.toString())).toEqual(['cccc', 'bbbb', 'cccc']);
});

test('the first failure is thrown by whatever comes next, and nothing is sent any more', async () => {
  const { waiting, send } = slowSends();
  const buffers = partBuffers({ count: 2, sizeOf: () => 4, startSum, send });
  await buffers.write(Buffer.alloc(8));
  const more = buffers.write(Buffer.alloc(4));
  waiting[1]?.fail(new Error('first'));
  await expect(more).rejects.toThrow('first');
  waiting[0]?.fail(new Error('second'));
  await expect(buffers.write(Buffer.alloc(40))).rejects.toThrow('first');
  await expect(buffers.drained()).rejects.toThrow('first');
  expect(waiting).toHaveLength(2);
});

test('a failure that nobody waits for yet is not lost and not unhandled', async () => {
  const buffers = partBuffers({
    count: 2,
    sizeOf: () => 4,
    startSum,
    send: async () => {
      throw new Error('refused');
    },
  });
  await buffers.write(Buffer.alloc(4));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await expect(buffers.drained()).rejects.toThrow('refused');
});

test('whatever the chunks, the parts hold all bytes in order, each with its own checksum', async () => {
  const chunks = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(
      chunks,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 90 }),
      async (sizes, count, size) => {
        const parts = new Map<number, { bytes: Buffer; sum: string }>();
        const keep = ({ number, bytes, sum }: Part<Hash>): void => {
          parts.set(number, { bytes: Buffer.from(bytes), sum: sum.digest('hex') });
        };
        const sizeOf = (number: number): number => (number <= 3 ? size : 2 * size);
        const send = async (part: Part<Hash>): Promise<void> => {
          await Promise.resolve();
          keep(part);
        };
        const buffers = partBuffers({ count, sizeOf, startSum, send });
        const body = randomBytes(sizes.reduce((a, b) => a + b, 0));
        let at = 0;
        for (const length of sizes) await buffers.write(body.subarray(at, (at += length)));
        await buffers.drained();
        const rest = buffers.rest();
        if (rest) keep(rest);

        const inOrder = [...parts].sort(([a], [b]) => a - b);
        expect(inOrder.map(([number]) => number)).toEqual(inOrder.map((_part, n) => n + 1));
        expect(Buffer.concat(inOrder.map(([, { bytes }]) => bytes)).equals(body)).toBe(true);
        for (const [number, { bytes, sum }] of inOrder) {
          expect(sum).toBe(createHash('sha256').update(bytes).digest('hex'));
          if (number < inOrder.length) expect(bytes.length).toBe(sizeOf(number));
        }
      },
    ),
  );
});

test('the next upload takes the memory of the last', async () => {
  const seen: ArrayBufferLike[] = [];
  const send = async ({ bytes }: { bytes: Buffer }): Promise<void> => void seen.push(bytes.buffer);
  for (let upload = 0; upload < 2; upload += 1) {
    const buffers = partBuffers({ count: 1, sizeOf: () => 4_321, startSum, send });
    await buffers.write(Buffer.alloc(4_321));
    await buffers.drained();
    buffers.release();
  }
  expect(seen).toHaveLength(2);
  expect(seen[1]).toBe(seen[0]);
});
