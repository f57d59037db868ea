/** The last look before the first step, and what time does to requests: fresh people, the same plan, one start. */
import { describe, expect, test } from 'vitest';
import { approveRestore } from '../../src/commands/review-restore.ts';
import { startJobId } from '../../src/domain/restore-request.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { beginRestore } from '../../src/jobs/begin-restore.ts';
import { watchRequests } from '../../src/jobs/watch-requests.ts';
import { approvalsWorld } from '../support/approvals.ts';
import type { ApprovalsWorld } from '../support/approvals.ts';
import { alice, bob, carol, plan } from '../support/requests.ts';

async function approvedWorld(): Promise<ApprovalsWorld> {
  const world = approvalsWorld();
  const { id, digest } = await world.opened();
  for (const user of [alice.id, bob.id]) await approveRestore(world, { request: id, digest, user });
  return world;
}

describe('a restore begins', () => {
  test('once, however many replicas try at the same time', async () => {
    const world = await approvedWorld();
    const answers = await Promise.all(Array.from({ length: 5 }, () => beginRestore(world, 'r1', plan())));
    expect(answers.filter(({ kind }) => kind === 'begun')).toHaveLength(1);
    expect(await world.requests.read('r1')).toMatchObject({ state: 'running', version: 4 });
    expect(world.announced.at(-1)).toBe('4 start running');
  });

  test('not when an approver was removed from the group since; with another approval it does', async () => {
    const world = await approvedWorld();
    world.becomes(bob, { groups: [] });
    const answer = await beginRestore(world, 'r1', plan());
    expect(answer).toMatchObject({ problem: { code: 'review.not-counted' }, request: { state: 'pending' } });
    expect(world.announced.at(-1)).toBe('4 lapse pending');
    const { digest } = (await world.requests.read('r1')) ?? { digest: '' };
    await approveRestore(world, { request: 'r1', digest, user: carol.id });
    expect((await beginRestore(world, 'r1', plan())).kind).toBe('begun');
  });

  test('not when an approver was deactivated or made a guest since', async () => {
    for (const change of [{ isDeactivated: true }, { isGuest: true }]) {
      const world = await approvedWorld();
      world.becomes(alice, change);
      expect((await beginRestore(world, 'r1', plan())).kind).toBe('refused');
    }
  });

  test('not when the plan changed under the request: it is void for good, and says where', async () => {
    const world = await approvedWorld();
    const moved = plan({ configVersion: 'c1'.padEnd(64, '0') });
    expect(await beginRestore(world, 'r1', moved)).toMatchObject({
      problem: { code: 'request.void' },
      request: { state: 'void', ended: { difference: [{ path: 'configVersion' }] } },
    });
    expect(await beginRestore(world, 'r1', plan())).toMatchObject({ problem: { code: 'request.void' } });
  });

  test('not while approvals are missing, nor for a request nobody made', async () => {
    const world = approvalsWorld();
    await world.opened();
    expect(await beginRestore(world, 'r1', plan())).toMatchObject({ problem: { code: 'request.not-now' } });
    expect(await beginRestore(world, 'r9', plan())).toMatchObject({ problem: { code: 'request.unknown' } });
  });

  test('not when it took too long to begin', async () => {
    const world = await approvedWorld();
    await world.clock.advance(30 * 60_000);
    expect(await beginRestore(world, 'r1', plan())).toMatchObject({
      problem: { code: 'request.expired' },
      request: { state: 'expired' },
    });
  });

  test('asks the directory anew for each who approved', async () => {
    const world = await approvedWorld();
    world.looks.length = 0;
    await beginRestore(world, 'r1', plan());
    expect(world.looks).toEqual([alice, bob].map(({ id }) => ({ user: id, fresh: true })));
  });
});

describe('the watch over requests', () => {
  function watched(world: ApprovalsWorld) {
    const started: string[] = [];
    const startRestore = async (request: RestoreRequest): Promise<void> => void started.push(startJobId(request));
    return { started, look: () => watchRequests({ ...world, startRestore }) };
  }

  test('ends by silence what nobody answered, tells it once, and makes room for the next', async () => {
    const world = approvalsWorld();
    await world.opened();
    const { look, started } = watched(world);
    await look();
    expect(world.announced).toEqual([]);
    await world.clock.advance(30 * 60_000);
    await Promise.all([look(), look()]);
    await look();
    expect(await world.requests.open()).toEqual([]);
    expect(new Set(world.announced)).toEqual(new Set(['2 expire expired']));
    expect(await world.requests.untold()).toEqual([]);
    expect(started).toEqual([]);
  });

  test('starts what is approved, under one id, though the replica that counted the last approval died', async () => {
    const world = await approvedWorld();
    const { look, started } = watched(world);
    await look();
    await look();
    expect(new Set(started)).toEqual(new Set(['restore-r1-1']));
  });

  test('adds the job of one that runs again and again: Redis may have lost it', async () => {
    const world = await approvedWorld();
    await beginRestore(world, 'r1', plan());
    const { look, started } = watched(world);
    await look();
    expect(await world.requests.read('r1')).toMatchObject({ state: 'running' });
    expect(started).toEqual(['restore-r1-1']);
  });

  test('tells what a replica that died has kept and not told', async () => {
    const world = approvalsWorld();
    const { id, digest } = await world.opened();
    const dying = { ...world, announce: () => Promise.reject(new Error('killed')) };
    await approveRestore(dying, { request: id, digest, user: alice.id });
    await watched(world).look();
    expect(world.announced).toEqual(['2 approve pending']);
    expect(await world.requests.untold()).toEqual([]);
  });

  test('goes on with the others when one gives trouble, and comes back to it', async () => {
    const world = await approvedWorld();
    await world.opened({ plan: plan({ request: 'r2', cluster: 'lab' }), confirmedSnapshotOf: 'prod-eu' });
    const broken = { ...world, startRestore: () => Promise.reject(new Error('no queue')) };
    await world.clock.advance(29 * 60_000);
    await expect(watchRequests(broken)).resolves.toBe(undefined);
    const { look, started } = watched(world);
    await look();
    expect(started).toEqual(['restore-r1-1']);
  });
});
