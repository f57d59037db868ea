/** Owns what every Outbox must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Outbox, Worker } from '../../src/ports.ts';
import { deferred } from './deferred.ts';

export interface OutboxBench {
  /** One more replica's outbox on the same data. A delivery that threw is tried again after at most 200 ms. */
  open(): Promise<Outbox>;
  close(): Promise<void>;
}

type Handler = Parameters<Outbox['deliver']>[0];

const PATIENCE = { timeout: 30_000, interval: 10 };

export function outboxContract(name: string, start: () => Promise<OutboxBench>): void {
  describe(`${name} keeps the contract of Outbox`, () => {
    let bench: OutboxBench;
    let outbox: Outbox;
    let workers: Worker[];

    beforeEach(async () => {
      bench = await start();
      outbox = await bench.open();
      workers = [];
    });
    afterEach(async () => {
      await Promise.all(workers.map((w) => w.stop(1_000)));
      await bench.close();
    });

    async function deliver(handler: Handler, on = outbox): Promise<Worker> {
      const worker = await on.deliver(handler);
      workers.push(worker);
      return worker;
    }

    test('messages are delivered in the order they were first asked for, once each', async () => {
      for (const key of ['c', 'a', 'b', 'a', 'c']) await outbox.enqueue(key);
      const seen: string[] = [];
      await deliver(async (key) => (seen.push(key), 'delivered'));
      await outbox.enqueue('last');
      await vi.waitFor(() => expect(seen).toContain('last'), PATIENCE);
      expect(seen).toEqual(['c', 'a', 'b', 'last']);
    });

    test('a message asked for while it is delivered is delivered once more', async () => {
      const seen: string[] = [];
      const begun = deferred();
      const open = deferred();
      await deliver(async (key) => {
        seen.push(key);
        begun.resolve(undefined);
        await open.promise;
        return 'delivered';
      });
      await outbox.enqueue('a');
      await begun.promise;
      await outbox.enqueue('a');
      await outbox.enqueue('a');
      open.resolve(undefined);
      await outbox.enqueue('b');
      await vi.waitFor(() => expect(seen).toContain('b'), PATIENCE);
      expect(seen).toEqual(['a', 'a', 'b']);
    });

    test('one message at a time among all replicas', async () => {
      const other = await bench.open();
      const seen: string[] = [];
      let now = 0;
      let most = 0;
      const handler: Handler = async (key) => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 2));
        now -= 1;
        seen.push(key);
        return 'delivered';
      };
      await deliver(handler);
      await deliver(handler, other);
      const keys = Array.from({ length: 40 }, (_, n) => `m${n}`);
      for (const key of keys) await outbox.enqueue(key);
      await vi.waitFor(() => expect(seen).toHaveLength(40), PATIENCE);
      expect(seen).toEqual(keys);
      expect(most).toBe(1);
    });

    test('a pause holds everything back, in other replicas too; then the same message comes first', async () => {
      const other = await bench.open();
      const seen: { key: string; at: number }[] = [];
      const handler: Handler = async (key) => {
        seen.push({ key, at: Date.now() });
        return seen.length === 1 ? { pauseMs: 400 } : 'delivered';
      };
      for (const key of ['a', 'b']) await outbox.enqueue(key);
      await deliver(handler);
      await deliver(handler, other);
      await vi.waitFor(() => expect(seen).toHaveLength(3), PATIENCE);
      expect(seen.map((s) => s.key)).toEqual(['a', 'a', 'b']);
      expect((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0)).toBeGreaterThanOrEqual(390);
    });

    test('a delivery that throws does not hold the others back, and is tried again', async () => {
      const seen: string[] = [];
      for (const key of ['bad', 'good', 'fine']) await outbox.enqueue(key);
      await deliver(async (key) => {
        seen.push(key);
        if (key === 'bad' && seen.filter((k) => k === 'bad').length < 3) throw new Error('no');
        return 'delivered';
      });
      await vi.waitFor(() => {
        expect(seen.filter((k) => k === 'bad')).toHaveLength(3);
        expect(seen).toContain('fine');
      }, PATIENCE);
      expect(seen.filter((k) => k !== 'bad')).toEqual(['good', 'fine']);
    });

    test('a message that waits for its next try has one entry, also when it is asked for again', async () => {
      const seen: string[] = [];
      const failed = deferred();
      await deliver(async (key) => {
        seen.push(key);
        if (seen.length > 1) return 'delivered';
        failed.resolve(undefined);
        throw new Error('no');
      });
      await outbox.enqueue('a');
      await failed.promise;
      await outbox.enqueue('a');
      await vi.waitFor(() => expect(seen.length).toBeGreaterThanOrEqual(2), PATIENCE);
      await outbox.enqueue('b');
      await vi.waitFor(() => expect(seen).toContain('b'), PATIENCE);
      // The second ask may meet the failed delivery while it still runs: then it is owed one delivery, not two.
      expect(seen).toEqual(['a', 'a', 'b']);
    });

    test('stop waits for the running delivery; what waits is delivered by another', async () => {
      const begun = deferred();
      const open = deferred();
      const first: string[] = [];
      const worker = await deliver(async (key) => {
        first.push(key);
        begun.resolve(undefined);
        await open.promise;
        return 'delivered';
      });
      for (const key of ['a', 'b']) await outbox.enqueue(key);
      await begun.promise;
      const stopped = worker.stop(30_000);
      open.resolve(undefined);
      await stopped;
      await worker.stop(1_000);
      const second: string[] = [];
      await deliver(async (key) => (second.push(key), 'delivered'));
      await vi.waitFor(() => expect(second).toContain('b'), PATIENCE);
      expect(first).toEqual(['a']);
      expect(second).toEqual(['b']);
    });

    test('a delivery that does not end within the grace is made again by another', async () => {
      const begun = deferred();
      const open = deferred();
      const worker = await deliver(async () => {
        begun.resolve(undefined);
        await open.promise;
        return 'delivered';
      });
      await outbox.enqueue('a');
      await begun.promise;
      await worker.stop(20);
      const seen: string[] = [];
      await deliver(async (key) => (seen.push(key), 'delivered'));
      await vi.waitFor(() => expect(seen).toEqual(['a']), PATIENCE);
      open.resolve(undefined);
    });
  });
}
