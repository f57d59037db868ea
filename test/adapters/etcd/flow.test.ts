import { describe, expect, test } from 'vitest';
import { limited, pipe } from '../../../src/adapters/etcd/flow.ts';
import type { Pipe } from '../../../src/adapters/etcd/flow.ts';

const never = new AbortController().signal;
const source = (): { log: string[]; pause(): void; resume(): void } => {
  const log: string[] = [];
  return { log, pause: () => log.push('pause'), resume: () => log.push('resume') };
};
const read = (from: Pipe, signal = never, stallTimeoutMs = 1_000): AsyncGenerator<Uint8Array> =>
  from.read({ signal, stallTimeoutMs, onStall: () => new Error('stalled') });

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<number[]> {
  const sizes: number[] = [];
  for await (const piece of pieces) sizes.push(piece.length);
  return sizes;
}

describe('a pipe', () => {
  test('hands out all pieces in order, those too that came before an error', async () => {
    const through = pipe(source());
    through.push(Buffer.alloc(1));
    through.push(Buffer.alloc(2));
    setTimeout(() => through.push(Buffer.alloc(3)), 10);
    setTimeout(() => through.end(new Error('broken')), 20);
    const sizes: number[] = [];
    const reading = (async () => {
      for await (const piece of read(through)) sizes.push(piece.length);
    })();
    await expect(reading).rejects.toThrow('broken');
    expect(sizes).toEqual([1, 2, 3]);
  });

  test('ends when its source does; only the first ending counts', async () => {
    const through = pipe(source());
    through.push(Buffer.alloc(1));
    through.end();
    through.end(new Error('too late'));
    expect(await collect(read(through))).toEqual([1]);
  });

  test('stops its source above 1 MiB, and lets it go on when that was taken', async () => {
    const tap = source();
    const through = pipe(tap);
    through.push(Buffer.alloc(1024 * 1024));
    expect(tap.log).toEqual([]);
    through.push(Buffer.alloc(1));
    through.push(Buffer.alloc(1));
    expect(tap.log).toEqual(['pause']);
    through.end();
    await collect(read(through));
    expect(tap.log).toEqual(['pause', 'resume']);
  });

  test('tells of a source that stands still, not of a reader that does', async () => {
    const through = pipe(source());
    through.push(Buffer.alloc(1));
    const pieces = read(through, never, 50);
    await pieces.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    through.push(Buffer.alloc(1));
    expect((await pieces.next()).done).toBe(false);
    await expect(pieces.next()).rejects.toThrow('stalled');
  });

  test("ends with the signal's reason, also while it waits", async () => {
    const controller = new AbortController();
    const waiting = read(pipe(source()), controller.signal).next();
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});

describe('a limit', () => {
  async function* pieces(count: number, size: number): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < count; i += 1) yield Buffer.alloc(size);
  }

  test('holds the average, and hands on every byte', async () => {
    const started = performance.now();
    expect(await collect(limited(pieces(30, 1_000), 100_000, never))).toHaveLength(30);
    const tookMs = performance.now() - started;
    expect(tookMs).toBeGreaterThan(280);
    expect(tookMs).toBeLessThan(600);
  });

  test('does not save up the time in which nothing came', async () => {
    async function* late(): AsyncGenerator<Uint8Array> {
      await new Promise((resolve) => setTimeout(resolve, 200));
      yield* pieces(10, 1_000);
    }
    const started = performance.now();
    await collect(limited(late(), 100_000, never));
    expect(performance.now() - started).toBeGreaterThan(280);
  });

  test("ends with the signal's reason while it holds back", async () => {
    const controller = new AbortController();
    const waiting = limited(pieces(1, 1_000_000), 1_000, controller.signal).next();
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(waiting).rejects.toThrow('enough');
  });
});
