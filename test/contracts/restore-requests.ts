/** Owns what every RestoreRequests must do; run on the fake and on Redis. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { progress, start } from '../../src/domain/restore-execution.ts';
import { expire, review, withdraw } from '../../src/domain/restore-review.ts';
import type { Start } from '../../src/domain/restore-execution.ts';
import type { Outcome, RestoreRequest } from '../../src/domain/restore-request.ts';
import type { RestoreRequests } from '../../src/ports.ts';
import { alice, bob, carol, done, later, NOW, plan, policy, request, requester } from '../support/requests.ts';

export interface RequestsBench {
  /** One more replica's requests on the same data. */
  open(): Promise<RestoreRequests>;
  close(): Promise<void>;
}

const approvedBy = (by: typeof alice, of: RestoreRequest): RestoreRequest =>
  done(review(of, { reviewer: by, verdict: 'approve', digest: of.digest, now: later(1) }));
const withdrawn = (of: RestoreRequest): RestoreRequest =>
  done(withdraw(of, { person: requester, permitted: false, now: later(1) }));

export function restoreRequestsContract(name: string, begin: () => Promise<RequestsBench>): void {
  describe(`${name} keeps the contract of RestoreRequests`, () => {
    let bench: RequestsBench;
    let requests: RestoreRequests;
    let other: RestoreRequests;

    beforeEach(async () => {
      bench = await begin();
      requests = await bench.open();
      other = await bench.open();
    });
    afterEach(() => bench.close());

    test('a request nobody made is undefined, and none is open', async () => {
      expect(await requests.read('r1')).toBe(undefined);
      expect(await requests.open()).toEqual([]);
      expect(await requests.byCluster('prod-eu', 10)).toEqual([]);
      expect(await requests.compareAndSet(withdrawn(request()))).toBe(false);
    });

    test('a request is read by any replica as it was made', async () => {
      const made = request({ reason: 'ü ✅ "quoted" \\ \n' });
      expect(await requests.create(made)).toEqual({ kind: 'created' });
      expect(await other.read('r1')).toEqual(JSON.parse(JSON.stringify(made)));
      expect(await other.open()).toEqual([JSON.parse(JSON.stringify(made))]);
    });

    test('making the same request twice is as once', async () => {
      expect(await requests.create(request())).toEqual({ kind: 'created' });
      expect(await other.create(request())).toEqual({ kind: 'created' });
      expect(await requests.open()).toHaveLength(1);
    });

    test('a cluster has one open request; other clusters have their own', async () => {
      await requests.create(request());
      expect(await other.create(request({ plan: plan({ request: 'r2' }) }))).toEqual({ kind: 'taken', by: 'r1' });
      expect(await other.read('r2')).toBe(undefined);
      const elsewhere = request({ plan: plan({ request: 'r3', cluster: 'lab' }), confirmedSnapshotOf: 'prod-eu' });
      expect(await other.create(elsewhere)).toEqual({ kind: 'created' });
    });

    test('of two requests for one cluster at once one is made', async () => {
      const answers = await Promise.all([
        requests.create(request()),
        other.create(request({ plan: plan({ request: 'r2' }) })),
      ]);
      expect(answers.map(({ kind }) => kind).sort()).toEqual(['created', 'taken']);
      expect(await requests.open()).toHaveLength(1);
    });

    test('a request that ended makes room for the next, and its id is never taken again', async () => {
      await requests.create(request());
      expect(await requests.compareAndSet(withdrawn(request()))).toBe(true);
      expect(await requests.open()).toEqual([]);
      const again = request({ reason: 'once more' });
      expect(await other.create(again)).toEqual({ kind: 'taken', by: 'r1' });
      expect(await other.create(request({ plan: plan({ request: 'r2' }) }))).toEqual({ kind: 'created' });
      expect((await other.read('r1'))?.state).toBe('withdrawn');
    });

    test('a request that ended is never changed again', async () => {
      await requests.create(request());
      const ended = withdrawn(request());
      await requests.compareAndSet(ended);
      expect(await requests.compareAndSet({ ...ended, version: ended.version + 1, state: 'approved' })).toBe(false);
      expect((await other.read('r1'))?.state).toBe('withdrawn');
    });

    test('only the version before is changed', async () => {
      const made = request();
      await requests.create(made);
      const first = approvedBy(alice, made);
      expect(await requests.compareAndSet(approvedBy(bob, first))).toBe(false);
      expect(await requests.compareAndSet(first)).toBe(true);
      expect(await other.compareAndSet(approvedBy(bob, made))).toBe(false);
      expect(await other.compareAndSet(approvedBy(bob, first))).toBe(true);
      expect(await requests.read('r1')).toMatchObject({ version: 3, state: 'approved' });
    });

    test('of many changes of one version at once one wins, and the others see it', async () => {
      const made = request();
      await requests.create(made);
      const replicas = await Promise.all(Array.from({ length: 8 }, () => bench.open()));
      const won = await Promise.all(
        replicas.map((replica, i) => replica.compareAndSet(approvedBy({ ...alice, id: `U${i}` }, made))),
      );
      expect(won.filter(Boolean)).toHaveLength(1);
      expect((await other.read('r1'))?.reviews.map(({ reviewer }) => reviewer)).toEqual([`U${won.indexOf(true)}`]);
    });

    test('an approval and a deny at once: both are counted one after the other, and the deny ends it', async () => {
      const made = request({ policy: policy({ threshold: 1 }) });
      await requests.create(made);
      const approve = approvedBy(alice, made);
      const deny = (of: RestoreRequest): RestoreRequest =>
        done(review(of, { reviewer: bob, verdict: 'deny', digest: of.digest, now: later(1), reason: 'no' }));
      expect(await requests.compareAndSet(approve)).toBe(true);
      expect(await other.compareAndSet(deny(made))).toBe(false);
      expect(await other.compareAndSet(deny(approve))).toBe(true);
      expect((await requests.read('r1'))?.state).toBe('denied');
      const begun = start(approve, { plan: plan(), people: [alice], now: later(2) });
      expect(begun.kind === 'ok' && (await requests.compareAndSet(begun.request))).toBe(false);
    });

    test('two jobs that start it at once: it starts once', async () => {
      const made = request({ policy: policy({ threshold: 1 }) });
      const approved = approvedBy(carol, made);
      await requests.create(made);
      await requests.compareAndSet(approved);
      const begin = async (replica: RestoreRequests): Promise<boolean> => {
        const begun = start(approved, { plan: plan(), people: [carol], now: later(2) });
        return begun.kind === 'ok' && replica.compareAndSet(begun.request);
      };
      expect((await Promise.all([begin(requests), begin(other)])).sort()).toEqual([false, true]);
    });

    test('a running request is open, a finished one is not', async () => {
      const made = request({ policy: policy({ threshold: 1 }) });
      const approved = approvedBy(carol, made);
      const begun = start(approved, { plan: plan(), people: [carol], now: later(2) });
      if (begun.kind !== 'ok') throw new Error('not begun');
      await requests.create(made);
      await requests.compareAndSet(approved);
      await requests.compareAndSet(begun.request);
      expect((await other.open()).map(({ state }) => state)).toEqual(['running']);
      expect(await other.create(request({ plan: plan({ request: 'r2' }) }))).toEqual({ kind: 'taken', by: 'r1' });
      await requests.compareAndSet(done(progress(begun.request, 'succeed', later(3))));
      expect(await other.open()).toEqual([]);
    });

    test('clicks of many replicas, interleaved in any way, lose nothing and start nothing twice', async () => {
      const replicas = await Promise.all(Array.from({ length: 3 }, () => bench.open()));
      const people = [alice, bob, carol];
      const deeds: ((of: RestoreRequest, who: typeof alice) => Outcome | Start)[] = [
        (of, who) => review(of, { reviewer: who, verdict: 'approve', digest: of.digest, now: later(1) }),
        (of, who) => review(of, { reviewer: who, verdict: 'take-back', digest: of.digest, now: later(1) }),
        (of) => start(of, { plan: of.plan, people, now: later(2) }),
      ];
      const click = fc.record({
        replica: fc.nat({ max: 2 }),
        who: fc.constantFrom(...people),
        deed: fc.constantFrom(0, 0, 0, 1, 2, 2),
      });
      let run = 0;
      let begun = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(click, { minLength: 10, maxLength: 40 }), async (clicks) => {
          const id = `run${(run += 1)}`;
          await requests.create(request({ plan: plan({ request: id, cluster: id }), confirmedSnapshotOf: 'prod-eu' }));
          /** What a replica has read, and not yet written. */
          const seen = new Map<number, RestoreRequest>();
          let [kept, starts] = [0, 0];
          for (const { replica, who, deed } of clicks) {
            const before = seen.get(replica);
            const after = before === undefined ? undefined : deeds[deed]?.(before, who);
            const now = await replicas[replica]?.read(id);
            if (now !== undefined) seen.set(replica, now);
            if (after?.kind !== 'ok' || (await replicas[replica]?.compareAndSet(after.request)) !== true) continue;
            kept += 1;
            if (after.request.state === 'running') starts += 1;
          }
          const end = await other.read(id);
          expect(end?.version).toBe(1 + kept);
          expect(end?.history).toHaveLength(1 + kept);
          expect(starts).toBe(end?.state === 'running' ? 1 : 0);
          begun += starts;
        }),
        { numRuns: 40, seed: 20261121 },
      );
      expect(begun).toBeGreaterThan(5);
    });

    test('the requests of a cluster are listed, the newest first, so many at most', async () => {
      for (const [i, id] of ['r1', 'r2', 'r3'].entries()) {
        const made = request({ plan: plan({ request: id }), now: later(i * 1000) });
        await requests.create(made);
        if (id !== 'r3') await requests.compareAndSet(done(expire(made, later(3_600_000))));
      }
      expect((await other.byCluster('prod-eu', 10)).map(({ id }) => id)).toEqual(['r3', 'r2', 'r1']);
      expect((await other.byCluster('prod-eu', 2)).map(({ id }) => id)).toEqual(['r3', 'r2']);
      expect(await other.byCluster('lab', 10)).toEqual([]);
    });

    test('every change is untold until it is marked, for all replicas, also that a request ended', async () => {
      const untold = async (): Promise<unknown> => (await other.untold()).map(({ id, version }) => [id, version]);
      const made = request();
      await requests.create(made);
      expect(await untold()).toEqual([['r1', 1]]);
      await requests.markTold(made);
      await requests.markTold(made);
      expect(await untold()).toEqual([]);
      const one = approvedBy(alice, made);
      const ended = withdrawn(one);
      await requests.compareAndSet(one);
      await requests.compareAndSet(ended);
      await requests.markTold(one);
      expect(await untold()).toEqual([['r1', 3]]);
      await requests.markTold(ended);
      expect(await untold()).toEqual([]);
    });

    test('open requests of all clusters are listed, the oldest first', async () => {
      const at = (id: string, cluster: string, now: Date): RestoreRequest =>
        request({ plan: plan({ request: id, cluster }), confirmedSnapshotOf: 'prod-eu', now });
      await requests.create(at('r2', 'b', later(2000)));
      await requests.create(at('r1', 'c', NOW));
      await requests.create(at('r3', 'a', later(4000)));
      expect((await other.open()).map(({ id }) => id)).toEqual(['r1', 'r2', 'r3']);
    });
  });
}
