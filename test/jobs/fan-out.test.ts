/** One source for many readers. */
import { expect, test } from 'vitest';
import { FanOut, type Reader } from '../../src/jobs/restore/fan-out.ts';

async function* chunks(count: number, log: string[] = []): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i += 1) {
    log.push(`read ${i}`);
    yield Buffer.from([i]);
  }
}

async function all(reader: Reader): Promise<readonly number[]> {
  const got: number[] = [];
  for await (const chunk of reader.read()) got.push(...chunk);
  return got;
}

const soon = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('every reader gets everything, and the source is opened once', async () => {
  let opened = 0;
  const source = new FanOut(async () => {
    opened += 1;
    return chunks(50);
  });
  const expected = Array.from({ length: 50 }, (_, i) => i);
  const readers = [source.join(), source.join(), source.join()];
  expect(await Promise.all(readers.map(all))).toEqual([expected, expected, expected]);
  expect(opened).toBe(1);
});

test('nothing is read before each reads or has left, and nothing at all when none wants it', async () => {
  let opened = 0;
  const open = async (): Promise<AsyncIterable<Uint8Array>> => {
    opened += 1;
    return chunks(1);
  };
  const source = new FanOut(open);
  const [reader, other] = [source.join(), source.join()];
  const reading = all(reader);
  await soon();
  expect(opened).toBe(0);
  other.leave();
  other.leave();
  expect(await reading).toEqual([0]);
  new FanOut(open).join().leave();
  await soon();
  expect(opened).toBe(1);
});

test('the slowest reader governs: the source is at most one chunk ahead of it', async () => {
  const log: string[] = [];
  const source = new FanOut(async () => chunks(20, log));
  const [fast, slow] = [source.join(), source.join()];
  const ends = all(fast);
  for await (const chunk of slow.read()) {
    await soon();
    expect(log.length).toBeLessThanOrEqual((chunk[0] ?? 0) + 1);
  }
  expect(await ends).toHaveLength(20);
});

test('a reader that stops early, or one that hangs and is then taken out, does not spoil the others', async () => {
  const source = new FanOut(async () => chunks(10));
  const [stops, hangs, reads] = [source.join(), source.join(), source.join()];
  const stopping = stops.read()[Symbol.asyncIterator]();
  const hanging = hangs.read()[Symbol.asyncIterator]();
  const rest = all(reads);
  await Promise.all([stopping.next(), hanging.next()]);
  await stopping.return?.();
  await soon();
  hangs.leave();
  expect(await rest).toHaveLength(10);
});

test('what goes wrong with the source, in the middle or when it is opened, every reader is told', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from([1]);
    throw new Error('cut off');
  }
  const source = new FanOut(async () => broken());
  const ends = await Promise.allSettled([source.join(), source.join()].map(all));
  expect(ends.map((end) => (end.status === 'rejected' ? (end.reason as Error).message : ''))).toEqual([
    'cut off',
    'cut off',
  ]);
  await expect(all(new FanOut(() => Promise.reject(new Error('away'))).join())).rejects.toThrow('away');
});
