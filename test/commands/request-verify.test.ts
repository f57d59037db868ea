/** What people get who ask for a snapshot to be verified, and what they are refused. */
import { expect, test } from 'vitest';
import { parseCommand } from '../../src/commands/parse.ts';
import { requestVerify } from '../../src/commands/request-verify.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { person, silentLog, spec, stored } from '../chat/samples.ts';
import { fakeCatalogue } from '../fakes/catalogue.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';

const ID = stored().record.id;
const operator = person('U1', { groups: ['S0ADMINS01'] });

function world() {
  const clock = fakeClock('2026-11-21T06:30:00.000Z');
  const published: KeyturnEvent[] = [];
  const queue = fakeJobQueue(clock);
  const deps = {
    clusters: [spec('prod-eu'), spec('staging')],
    people: { request: [], approve: [], operate: ['S0ADMINS01'] },
    command: '/etcd',
    catalogue: fakeCatalogue((cluster) => ({ snapshots: cluster === 'prod-eu' ? [stored()] : [], problems: [] })),
    queue,
    publish: async (event: KeyturnEvent) => void published.push(event),
    clock,
    log: silentLog,
    nonce: () => 'a1',
  };
  return { deps, queue, published, clock };
}

test('one job is queued and announced, to where it was asked; the cluster may be left out', async () => {
  for (const cluster of ['prod-eu', undefined]) {
    const { deps, queue, published } = world();
    const answer = await requestVerify(deps, operator, { cluster, snapshot: ID.toLowerCase(), channel: 'C1' });
    expect(answer).toMatchObject({ cluster: 'prod-eu', snapshot: ID });
    expect(queue.jobs.map(({ job }) => job)).toMatchObject([
      { kind: 'verify', id: answer.operation, cluster: 'prod-eu', snapshot: ID, origin: { channel: 'C1', user: 'U1' } },
    ]);
    expect(published).toMatchObject([{ type: 'verify.queued', operation: answer.operation, snapshot: ID }]);
  }
});

test('who may not operate is refused; so is a snapshot that nobody has, and one that several clusters have', async () => {
  const { deps, queue } = world();
  const request = { cluster: undefined, snapshot: ID, channel: 'C1' };
  await expect(requestVerify(deps, person('U2'), request)).rejects.toMatchObject({ code: 'permission.denied' });
  await expect(requestVerify(deps, operator, { ...request, snapshot: 'x' })).rejects.toMatchObject({
    code: 'snapshot.unknown',
  });
  const both = { ...deps, catalogue: fakeCatalogue(() => ({ snapshots: [stored()], problems: [] })) };
  await expect(requestVerify(both, operator, request)).rejects.toMatchObject({ code: 'command.invalid' });
  expect(queue.jobs).toEqual([]);
});

test('a button that is clicked twice within a minute queues and announces one job; later it queues another', async () => {
  const { deps, queue, published, clock } = world();
  const clicked = { cluster: 'prod-eu', snapshot: ID, channel: 'C1', isClicked: true };
  const first = await requestVerify(deps, operator, clicked);
  await clock.advance(20_000);
  expect(await requestVerify(deps, operator, clicked)).toEqual({ ...first, isKnown: true });
  expect([first.isKnown, queue.jobs.length, published.length]).toEqual([false, 1, 1]);
  await clock.advance(60_000);
  expect(await requestVerify(deps, operator, clicked)).toMatchObject({ isKnown: false });
  expect(queue.jobs).toHaveLength(2);
});

test('that the job could not be announced does not undo it', async () => {
  const { deps, queue } = world();
  const deaf = { ...deps, publish: () => Promise.reject(new Error('no audit')) };
  await requestVerify(deaf, operator, { cluster: 'prod-eu', snapshot: ID, channel: 'C1' });
  expect(queue.jobs).toHaveLength(1);
});

test('it is typed with the snapshot, and the cluster before it where that is needed', () => {
  const vocabulary = { command: '/etcd', clusters: ['prod-eu', 'staging'] };
  expect(parseCommand(`verify ${ID}`, vocabulary)).toEqual({ action: 'verify', cluster: undefined, snapshot: ID });
  expect(parseCommand(`verify PROD-EU ${ID}`, vocabulary)).toEqual({
    action: 'verify',
    cluster: 'prod-eu',
    snapshot: ID,
  });
  expect(() => parseCommand('verify', vocabulary)).toThrow('needs the id of a snapshot');
  expect(() => parseCommand('verify prod-eu', vocabulary)).toThrow('needs the id of a snapshot of prod-eu');
});
