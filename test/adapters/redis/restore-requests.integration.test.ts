/** Restore requests on a Redis that dies: what was answered is still there afterwards, old buttons find it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redisRestoreRequests } from '../../../src/adapters/redis/restore-requests.ts';
import { redisStepUpRecords } from '../../../src/adapters/redis/step-up-records.ts';
import { approveRestore } from '../../../src/commands/review-restore.ts';
import { approvalsWorld } from '../../support/approvals.ts';
import { alice, bob, plan, policy, request, somebody } from '../../support/requests.ts';
import { redisBench, type RedisBench } from './bench.ts';
import { startRedis, type TestRedis } from './server.ts';

let server: TestRedis;
let bench: RedisBench;

beforeAll(async () => {
  server = await startRedis();
  bench = redisBench(server.url);
});
afterAll(async () => {
  await bench.close();
  await server.remove();
});

test('a request with its reviews survives kill -9 of Redis and of the bot, and its buttons still work', async () => {
  const made = request();
  const click = { request: 'r1', digest: made.digest };
  const before = { ...approvalsWorld(), requests: redisRestoreRequests(bench.connections()) };
  await before.requests.create(made);
  await approveRestore(before, { ...click, user: alice.id });
  await server.kill();
  await server.start();
  const after = { ...approvalsWorld(), requests: redisRestoreRequests(bench.connections()) };
  expect(await after.requests.create(request({ plan: plan({ request: 'r2' }) }))).toEqual({ kind: 'taken', by: 'r1' });
  const answer = await approveRestore(after, { ...click, user: bob.id });
  expect(answer).toMatchObject({ kind: 'changed', request: { state: 'approved', version: 3 } });
});

test('many people on many replicas in the same moment: every approval is counted, and it is approved once', async () => {
  const crowd = Array.from({ length: 10 }, (_, i) => somebody(`U${i}`, { groups: policy().groups }));
  const made = request({
    plan: plan({ request: 'crowd', cluster: 'lab' }),
    confirmedSnapshotOf: 'prod-eu',
    policy: policy({ threshold: crowd.length }),
  });
  await redisRestoreRequests(bench.connections()).create(made);
  const answers = await Promise.all(
    // Everyone clicks twice, on two replicas.
    [...crowd, ...crowd].map(async (who) => {
      const world = { ...approvalsWorld(), requests: redisRestoreRequests(bench.connections()) };
      world.becomes(who, {});
      return approveRestore(world, { request: 'crowd', digest: made.digest, user: who.id });
    }),
  );
  const becameApproved = answers.filter((a) => a.kind === 'changed' && a.request.state === 'approved');
  expect(answers.filter(({ kind }) => kind === 'changed')).toHaveLength(crowd.length);
  expect(becameApproved).toHaveLength(1);
  const after = await redisRestoreRequests(bench.connections()).read('crowd');
  expect(after?.reviews.map(({ reviewer }) => reviewer).sort()).toEqual(crowd.map(({ id }) => id).sort());
});

test('an ended request is forgotten in the end, an open one and the records of codes are not', async () => {
  const requests = redisRestoreRequests(bench.connections());
  const records = redisStepUpRecords(bench.connections());
  const made = request({ plan: plan({ request: 'old', cluster: 'attic' }), confirmedSnapshotOf: 'prod-eu' });
  await requests.create(made);
  const expiryOf = (key: string): Promise<number> => bench.raw().pttl(`${bench.prefix}:${key}`);
  expect(await expiryOf('request:old')).toBe(-1);
  await requests.compareAndSet({ ...made, version: 2, state: 'withdrawn' });
  expect(await expiryOf('request:old')).toBeGreaterThan(399 * 24 * 3_600_000);
  const record = { user: 'U1', version: 1, secret: 's', shown: undefined, lastStep: 1, wrong: 0, anew: undefined };
  await records.compareAndSet(record);
  expect(await expiryOf('step-up:U1')).toBe(-1);
});
