/** What restores left on nodes: who may remove it, of which restores, and of which never. */
import { describe, expect, test } from 'vitest';
import { progress, start } from '../../src/domain/restore-execution.ts';
import type { Progress } from '../../src/domain/restore-execution.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { review } from '../../src/domain/restore-review.ts';
import { operator } from '../support/approvals.ts';
import { alice, bob, done, later, plan, request } from '../support/requests.ts';
import { refusalOf, restoreWorld } from '../support/restore-world.ts';

const ORIGIN = { channel: 'C1', user: operator.id };
const OLD = [{ node: 'cp1', name: 'cp1', peerUrls: [], predictedId: '42', oldData: ['/var/lib/etcd.keyturn-r1'] }];

/** Every version of a restore that ran at `minute` and ended so; 'open': it still runs. */
function restore(id: string, minute: number, end: Progress | 'open' | 'denied'): readonly RestoreRequest[] {
  const now = later(minute * 60_000);
  const made = request({ plan: plan({ request: id, members: OLD }), now });
  const say = (from: RestoreRequest, reviewer: typeof alice, verdict: 'approve' | 'deny') =>
    done(review(from, { reviewer, verdict, digest: made.digest, now, reason: 'no' }));
  if (end === 'denied') return [made, say(made, alice, 'deny')];
  const once = say(made, alice, 'approve');
  const approved = say(once, bob, 'approve');
  const begun = start(approved, { plan: made.plan, people: [alice, bob], now });
  if (begun.kind !== 'ok') throw new Error('not begun');
  const running = [made, once, approved, begun.request];
  return end === 'open' ? running : [...running, done(progress(begun.request, end, now))];
}

async function after(...restores: readonly (readonly RestoreRequest[])[]) {
  const world = restoreWorld();
  for (const [made, ...changes] of restores) {
    if (made !== undefined) await world.requests.create(made);
    for (const change of changes) if (!(await world.requests.compareAndSet(change))) throw new Error('not kept');
  }
  return world;
}

describe('a clean-up', () => {
  test('is offered for a restore after which a later one succeeded, with the paths it would remove', async () => {
    const world = await after(restore('r1', 0, 'succeed'), restore('r2', 10, 'succeed'));
    const offer = await world.commands.offerCleanup(operator, 'r1');
    expect(offer.request.id).toBe('r1');
    expect(offer.oldData).toEqual([{ node: 'cp1', paths: ['/var/lib/etcd.keyturn-r1'] }]);
  });

  test('that is confirmed is one job, however often it is clicked', async () => {
    const world = await after(restore('r1', 0, 'succeed'), restore('r2', 10, 'succeed'));
    await world.commands.cleanUp(operator, 'r1', ORIGIN);
    await world.commands.cleanUp(operator, 'r1', ORIGIN);
    expect(world.queue.jobs.map(({ job }) => job)).toEqual([
      {
        kind: 'cleanup',
        id: expect.stringMatching(/^cleanup-r1-\d+$/) as string,
        cluster: 'prod-eu',
        request: 'r1',
        by: operator.id,
        origin: ORIGIN,
      },
    ]);
    await world.clock.advance(60_000);
    await world.commands.cleanUp(operator, 'r1', ORIGIN);
    expect(world.queue.jobs).toHaveLength(2);
  });

  const KEPT = /No newer restore of prod-eu has succeeded/;

  test.each([
    ['the newest restore', 'r1', [restore('r1', 0, 'succeed')], KEPT],
    ['the newest that succeeded', 'r1', [restore('r1', 0, 'succeed'), restore('r2', 9, 'end-rolled-back')], KEPT],
    [
      'the newest, though it was rolled back',
      'r2',
      [restore('r1', 0, 'succeed'), restore('r2', 9, 'end-rolled-back')],
      KEPT,
    ],
    [
      'one that failed since',
      'r2',
      [restore('r1', 0, 'succeed'), restore('r2', 5, 'fail'), restore('r3', 9, 'fail')],
      KEPT,
    ],
    [
      'one that is followed by a denied request only',
      'r1',
      [restore('r1', 0, 'succeed'), restore('r2', 9, 'denied')],
      KEPT,
    ],
    ['one that runs', 'r2', [restore('r1', 0, 'succeed'), restore('r2', 9, 'open')], /has not ended/],
    ['one that never ran', 'r1', [restore('r1', 0, 'denied'), restore('r2', 9, 'succeed')], /never ran/],
  ])('of %s is refused, when it is offered and when it is confirmed', async (_, id, restores, message) => {
    const world = await after(...restores);
    for (const work of [world.commands.offerCleanup(operator, id), world.commands.cleanUp(operator, id, ORIGIN)]) {
      const error = await refusalOf(work);
      expect(error.code).toBe('request.not-now');
      expect(error.message).toMatch(message);
    }
    expect(world.queue.jobs).toEqual([]);
  });

  test('of another cluster is not allowed by what succeeded here', async () => {
    const elsewhere = restore('r2', 9, 'succeed').map((each) => ({ ...each, cluster: 'staging' }));
    const world = await after(restore('r1', 0, 'succeed'), elsewhere);
    expect((await refusalOf(world.commands.offerCleanup(operator, 'r1'))).code).toBe('request.not-now');
  });

  test('tells no paths of a restore that was rolled back: its old data are in use', async () => {
    const world = await after(restore('r1', 0, 'end-rolled-back'), restore('r2', 9, 'succeed'));
    expect((await world.commands.offerCleanup(operator, 'r1')).oldData).toEqual([]);
  });

  test('is for operators only, asked of the directory when it is confirmed', async () => {
    const world = await after(restore('r1', 0, 'succeed'), restore('r2', 9, 'succeed'));
    expect((await refusalOf(world.commands.offerCleanup(alice, 'r1'))).code).toBe('permission.denied');
    world.becomes(operator, { groups: [] });
    expect((await refusalOf(world.commands.cleanUp(operator, 'r1', ORIGIN))).code).toBe('permission.denied');
    expect(world.queue.jobs).toEqual([]);
  });

  test('of an unknown restore is refused', async () => {
    expect((await refusalOf(restoreWorld().commands.offerCleanup(operator, 'r9'))).code).toBe('request.unknown');
  });
});
