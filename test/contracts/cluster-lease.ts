/** Owns what every ClusterLease must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import type { ClusterLease, Lease, Operation } from '../../src/ports.ts';

export interface LeaseBench {
  /** One more replica's leases on the same data. */
  open(): Promise<ClusterLease>;
  /** Makes `operation` the holder, as if the one before had run out unnoticed. */
  takeOver(operation: Operation): Promise<void>;
  close(): Promise<void>;
}

const PATIENCE = { timeout: 30_000, interval: 10 };

export const operation = (id: string, cluster = 'prod'): Operation => ({
  id,
  kind: 'backup',
  cluster,
  startedAt: '2026-11-21T06:00:00.000Z',
});

function held(answer: Lease | { readonly heldBy: Operation }): Lease {
  if ('heldBy' in answer) throw new Error(`held by ${answer.heldBy.id}`);
  return answer;
}

export function clusterLeaseContract(name: string, start: () => Promise<LeaseBench>): void {
  describe(`${name} keeps the contract of ClusterLease`, () => {
    let bench: LeaseBench;
    let here: ClusterLease;
    let there: ClusterLease;

    beforeEach(async () => {
      bench = await start();
      here = await bench.open();
      there = await bench.open();
    });
    afterEach(() => bench.close());

    test('a cluster has one operation; who asks second is told which, in another replica too', async () => {
      const lease = held(await here.acquire(operation('one')));
      expect(await here.acquire(operation('two'))).toEqual({ heldBy: operation('one') });
      expect(await there.acquire(operation('two'))).toEqual({ heldBy: operation('one') });
      expect(await there.current('prod')).toEqual(operation('one'));
      await lease.release();
    });

    test('of two replicas that ask at once, one gets the lease', async () => {
      const answers = await Promise.all([here.acquire(operation('one')), there.acquire(operation('two'))]);
      const leases = answers.filter((a) => !('heldBy' in a));
      expect(leases).toHaveLength(1);
    });

    test('the same operation does not get its lease twice while it holds it', async () => {
      held(await here.acquire(operation('one')));
      expect(await there.acquire(operation('one'))).toEqual({ heldBy: operation('one') });
    });

    test('clusters do not know of each other', async () => {
      held(await here.acquire(operation('one', 'prod')));
      held(await here.acquire(operation('two', 'test')));
      expect(await here.current('dev')).toBe(undefined);
    });

    test('a released lease is free, and the next token is greater', async () => {
      const first = held(await here.acquire(operation('one')));
      await first.release();
      expect(await here.current('prod')).toBe(undefined);
      const second = held(await there.acquire(operation('two')));
      expect(second.token).toBeGreaterThan(first.token);
      expect(first.lost.aborted).toBe(false);
    });

    test("to release twice is safe, and does not free the next holder's lease", async () => {
      const first = held(await here.acquire(operation('one')));
      await first.release();
      const second = held(await there.acquire(operation('two')));
      await first.release();
      expect(await here.current('prod')).toEqual(operation('two'));
      await second.release();
    });

    test('a lease that someone else took over is lost, with lease.lost, and its release frees nothing', async () => {
      const lease = held(await here.acquire(operation('one')));
      await bench.takeOver(operation('two'));
      await vi.waitFor(() => expect(lease.lost.aborted).toBe(true), PATIENCE);
      expect(lease.lost.reason).toBeInstanceOf(KeyturnError);
      expect((lease.lost.reason as KeyturnError).code).toBe('lease.lost');
      await lease.release();
      expect(await there.current('prod')).toEqual(operation('two'));
    });
  });
}
