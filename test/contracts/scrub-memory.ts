/** Owns what every ScrubMemory must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ScrubMemory } from '../../src/ports.ts';

export interface ScrubBench {
  /** One more replica's memory on the same data. */
  open(): Promise<ScrubMemory>;
  close(): Promise<void>;
}

const SIX = new Date('2026-11-21T06:00:00.000Z');
const SEVEN = new Date('2026-11-21T07:00:00.000Z');

export function scrubMemoryContract(name: string, start: () => Promise<ScrubBench>): void {
  describe(`${name} keeps the contract of ScrubMemory`, () => {
    let bench: ScrubBench;
    let memory: ScrubMemory;

    beforeEach(async () => {
      bench = await start();
      memory = await bench.open();
    });
    afterEach(() => bench.close());

    test('a cluster of which nothing was read has no reads', async () => {
      expect(await memory.lastReads('prod')).toEqual(new Map());
    });

    test('what one replica read, all replicas know; clusters apart', async () => {
      await memory.setRead('prod', 'ceph/prod/a.db', SIX);
      await memory.setRead('prod', '__proto__', SIX);
      await memory.setRead('test', 'ceph/prod/a.db', SEVEN);
      const other = await bench.open();
      expect([...(await other.lastReads('prod'))].sort()).toEqual([
        ['__proto__', SIX],
        ['ceph/prod/a.db', SIX],
      ]);
      expect(await other.lastReads('test')).toEqual(new Map([['ceph/prod/a.db', SEVEN]]));
    });

    test('a read moves forward and never back', async () => {
      await memory.setRead('prod', 'a', SEVEN);
      await memory.setRead('prod', 'a', SIX);
      expect(await memory.lastReads('prod')).toEqual(new Map([['a', SEVEN]]));
    });

    test('copies that are gone are forgotten, others not; of nothing, nothing is', async () => {
      await memory.setRead('prod', 'a', SIX);
      await memory.setRead('prod', 'b', SIX);
      await memory.forget('prod', []);
      await memory.forget('prod', ['a', 'c']);
      expect(await memory.lastReads('prod')).toEqual(new Map([['b', SIX]]));
    });

    test('what was told is known until it is over, in all replicas', async () => {
      expect(await memory.told('a')).toBe(undefined);
      await memory.setTold('a', 'damaged-1');
      const other = await bench.open();
      expect(await other.told('a')).toBe('damaged-1');
      await other.setTold('a', undefined);
      await other.setTold('a', undefined);
      expect(await memory.told('a')).toBe(undefined);
    });
  });
}
