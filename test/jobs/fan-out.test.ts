/** One source for many readers. */
import { expect, test } from 'vitest';
import { FanOut } from '../../src/jobs/restore/fan-out.ts';

async function* chunks(count: number, taken: string[] = []): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i += 1) {
    taken.push(`read ${i}`);
    yield Buffer.from([i]);
  }
}

async function all(source: AsyncIterable<Uint8Array>): Promise<readonly number[]> {
  const got: number[] = [];
  for await (const chunk of source) got.push(...chunk);
  return got;
}

test('every reader gets everything, and the source is opened once', async () => {
  let opened = 0;
  const source = new FanOut(3, async () => {
    opened += 1;
    return chunks(50);
  });
  const expected = Array.from({ length: 50 }, (_, i) => i);
  expect(await Promise.all([all(source.read()), all(source.read()), all(source.read())])).toEqual([
    expected,
    expected,
    expected,
  ]);
  expect(opened).toBe(1);
});

test('nothing is read before each has decided, and nothing at all when none wants it', async () => {
  let opened = 0;
  const open = async (): Promise<AsyncIterable<Uint8Array>> => {
    opened += 1;
    return chunks(1);
  };
  const source = new FanOut(2, open);
  const reading = all(source.read());
  await new Promise(setImmediate);
  expect(opened).toBe(0);
  source.decline();
  expect(await reading).toEqual([0]);
  const unwanted = new FanOut(1, open);
  unwanted.decline();
  await new Promise(setImmediate);
  expect(opened).toBe(1);
});

test('the slowest reader governs: the source is at most one chunk ahead of it', async () => {
  const log: string[] = [];
  const source = new FanOut(2, async () => chunks(20, log));
  const fast = all(source.read());
  for await (const chunk of source.read()) {
    await new Promise(setImmediate);
    expect(log.length).toBeLessThanOrEqual((chunk[0] ?? 0) + 1);
  }
  expect(await fast).toHaveLength(20);
});

test('a reader that leaves, or never comes back for more, does not spoil the others once it has left', async () => {
  const source = new FanOut(3, async () => chunks(10));
  const [first, second, third] = [source.read(), source.read(), source.read()];
  const leaver = (async () => {
    for await (const _chunk of first) break;
  })();
  const hanging = second[Symbol.asyncIterator]();
  const rest = all(third);
  await hanging.next();
  await leaver;
  await new Promise(setImmediate);
  await hanging.return?.();
  expect(await rest).toHaveLength(10);
});

test('what goes wrong with the source every reader is told', async () => {
  const source = new FanOut(2, async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from([1]);
      throw new Error('cut off');
    }
    return broken();
  });
  const ends = await Promise.allSettled([all(source.read()), all(source.read())]);
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});

test('a source that can not be opened is told as well', async () => {
  const source = new FanOut(1, () => Promise.reject(new Error('away')));
  await expect(all(source.read())).rejects.toThrow('away');
});
