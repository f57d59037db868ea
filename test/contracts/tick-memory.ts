/** Owns what every TickMemory must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TickMemory } from '../../src/ports.ts';

export interface TickBench {
  /** One more replica's memory on the same data. */
  open(): Promise<TickMemory>;
  close(): Promise<void>;
}

const SIX = new Date('2026-11-21T06:00:00.000Z');
const SEVEN = new Date('2026-11-21T07:00:00.000Z');

export function tickMemoryContract(name: string, start: () => Promise<TickBench>): void {
  describe(`${name} keeps the contract of TickMemory`, () => {
    let bench: TickBench;
    let memory: TickMemory;

    beforeEach(async () => {
      bench = await start();
      memory = await bench.open();
    });
    afterEach(() => bench.close());

    test('a cluster that was never queued has no last run', async () => {
      expect(await memory.lastQueuedRun('prod')).toBe(undefined);
    });

    test('what one replica queued, all replicas know; clusters apart', async () => {
      await memory.setLastQueuedRun('prod', SIX);
      await memory.setLastQueuedRun('test', SEVEN);
      const other = await bench.open();
      expect(await other.lastQueuedRun('prod')).toEqual(SIX);
      expect(await other.lastQueuedRun('test')).toEqual(SEVEN);
    });

    test('it moves forward and never back', async () => {
      await memory.setLastQueuedRun('prod', SIX);
      await memory.setLastQueuedRun('prod', SEVEN);
      expect(await memory.lastQueuedRun('prod')).toEqual(SEVEN);
      await memory.setLastQueuedRun('prod', SIX);
      expect(await memory.lastQueuedRun('prod')).toEqual(SEVEN);
    });
  });
}
