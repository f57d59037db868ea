/** What retention says in Slack: one question, one message of trouble, one line in the backup's own; each rings once. */
import { describe, expect, test } from 'vitest';
import { announcer } from '../../src/chat/announcer.ts';
import type { MessageState } from '../../src/chat/message-state.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { RetentionQuestion, RetentionTrouble } from '../../src/domain/retention-message.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { asks, AWAY, clicked, copies, done, result } from './retention-samples.ts';
import { events } from './samples.ts';

function world() {
  const sentMessages = fakeSentMessages();
  const enqueued: string[] = [];
  const outbox = { enqueue: async (key: string) => void enqueued.push(key) };
  const publish = announcer({ sentMessages, outbox, clock: fakeClock() });
  const state = async (key: string): Promise<MessageState | undefined> =>
    (await sentMessages.read(key))?.state as MessageState | undefined;
  return {
    enqueued,
    state,
    question: async (n = 1) => (await state(`retention-question-prod-eu-ceph-${n}`)) as RetentionQuestion | undefined,
    trouble: async (n = 1) => (await state(`retention-trouble-prod-eu-${n}`)) as RetentionTrouble | undefined,
    async publish(...all: readonly KeyturnEvent[]) {
      for (const event of all) await publish(event);
    },
  };
}

const at = (time: string): string => `2026-11-21T${time}:00.000Z`;
const asking = result({ asks: true, removed: copies(0) });

describe('the question', () => {
  test('is one message that is edited with each backup as long as nobody answers', async () => {
    const w = world();
    await w.publish(asks(), done(at('06:02'), [asking]));
    await w.publish(
      asks({ at: at('07:01'), digest: 'd2', removes: copies(96), total: 101 }),
      done(at('07:02'), [asking]),
    );
    expect(await w.question()).toMatchObject({ asked: { digest: 'd2', total: 101 }, phase: { kind: 'asking' } });
    expect(await w.question(2)).toBe(undefined);
    expect(new Set(w.enqueued.filter((key) => key.includes('question')))).toEqual(
      new Set(['retention-question-prod-eu-ceph-1']),
    );
  });

  test('says what the policy was, where a run has known another one', async () => {
    const w = world();
    await w.publish(done(at('05:02'), [result({ policy: { last: 100 } })]));
    await w.publish(asks());
    expect((await w.question())?.was).toEqual({ last: 100 });
    const same = world();
    await same.publish(done(at('05:02')), asks());
    expect((await same.question())?.was).toBe(undefined);
  });

  test('of another policy is a new message, and the old one can not be answered any more', async () => {
    const w = world();
    await w.publish(asks(), asks({ at: at('07:01'), policy: { last: 6 }, digest: 'd2' }));
    expect((await w.question(1))?.phase.kind).toBe('outdated');
    expect(await w.question(2)).toMatchObject({ asked: { policy: { last: 6 } }, phase: { kind: 'asking' } });
  });

  test('that was confirmed waits for its run, and says what that removed', async () => {
    const w = world();
    const confirmed = { store: 'ceph', digest: asks().digest, by: 'U0ADA00001' };
    await w.publish(asks(), clicked('confirmed', at('06:05')));
    await w.publish(asks({ at: at('06:06'), digest: 'd2' }));
    expect((await w.question())?.phase).toMatchObject({ kind: 'confirmed', by: 'U0ADA00001' });
    await w.publish(done(at('06:07'), [result({ removed: copies(94) })], { confirmed }));
    expect((await w.question())?.phase).toMatchObject({ kind: 'removed', count: 94, left: 1 });
    await w.publish(asks({ at: at('07:01') }));
    expect((await w.question(2))?.phase.kind).toBe('asking');
  });

  test('whose run came before the word of who confirmed it stays answered', async () => {
    const w = world();
    const confirmed = { store: 'ceph', digest: asks().digest, by: 'U0ADA00001' };
    await w.publish(asks(), done(at('06:07'), [result({ removed: copies(95) })], { confirmed }));
    await w.publish(clicked('confirmed', at('06:05')));
    expect((await w.question())?.phase).toMatchObject({ kind: 'removed', count: 95, left: 0 });
  });

  test('whose confirmed run removed nothing is open again, and says why', async () => {
    const w = world();
    const confirmed = { store: 'ceph', digest: asks().digest, by: 'U0ADA00001' };
    await w.publish(asks(), clicked('confirmed', at('06:05')));
    await w.publish(done(at('06:07'), [result({ removed: copies(0), problem: AWAY, isKnown: false })], { confirmed }));
    expect(await w.question()).toMatchObject({
      phase: { kind: 'asking' },
      note: 'Store ceph does not answer. Start it.',
    });
  });

  test('that fits no more when it is confirmed is asked anew, in a new message that names who confirmed', async () => {
    const w = world();
    const confirmed = { store: 'ceph', digest: asks().digest, by: 'U0ADA00001' };
    await w.publish(asks(), clicked('confirmed', at('06:05')));
    await w.publish(asks({ at: at('06:06'), digest: 'd2', notNow: 'U0ADA00001' }));
    const problem = { code: 'retention.not-now', message: 'Others.', hint: 'Look.' } as const;
    await w.publish(done(at('06:07'), [{ ...asking, problem }], { confirmed }));
    expect((await w.question(1))?.phase.kind).toBe('outdated');
    expect(await w.question(2)).toMatchObject({
      asked: { digest: 'd2', notNow: 'U0ADA00001' },
      phase: { kind: 'asking' },
    });
    expect(await w.question(2)).not.toHaveProperty('note');
    expect(await w.trouble()).toBe(undefined);
  });

  test('to which somebody said “not now” is edited quietly for a week, then asked aloud', async () => {
    const w = world();
    await w.publish(asks(), clicked('declined', at('06:05')), asks({ at: '2026-11-28T06:04:00.000Z', digest: 'd2' }));
    expect(await w.question()).toMatchObject({ phase: { kind: 'declined' }, asked: { digest: 'd2' } });
    expect(await w.question(2)).toBe(undefined);
    await w.publish(asks({ at: '2026-11-28T06:06:00.000Z', digest: 'd3' }));
    expect((await w.question(2))?.phase.kind).toBe('asking');
  });

  test('is not answered by a click on what it said before', async () => {
    const w = world();
    await w.publish(asks(), asks({ at: at('07:01'), digest: 'd2' }), clicked('declined', at('07:02')));
    expect((await w.question())?.phase.kind).toBe('asking');
  });

  test('is over when a run needs no word; not when the store could not be looked at', async () => {
    const w = world();
    await w.publish(asks(), done(at('07:02'), [result({ problem: AWAY, isKnown: false })]));
    expect((await w.question())?.phase.kind).toBe('asking');
    await w.publish(done(at('08:02')));
    expect((await w.question())?.phase.kind).toBe('outdated');
  });

  test('told twice, or late, is told once', async () => {
    const w = world();
    await w.publish(asks(), asks({ at: at('07:01'), digest: 'd2' }), asks(), asks({ at: at('07:01'), digest: 'd2' }));
    expect((await w.question())?.asked.digest).toBe('d2');
    expect(await w.question(2)).toBe(undefined);
  });
});

describe('trouble', () => {
  const away = result({ removed: copies(0), problem: AWAY, isKnown: false });
  const locked = result({ locked: { count: 2, ids: ['a', 'b'], message: 'Locked until 2027.' } });

  test('rings once as long as it is the same, and says when it is over', async () => {
    const w = world();
    await w.publish(done(at('06:02'), [away]), done(at('07:02'), [away]), done(at('08:02'), [away]));
    expect(await w.trouble()).toMatchObject({ causes: [{ store: 'ceph', kind: 'problem' }], at: at('08:02') });
    expect(await w.trouble(2)).toBe(undefined);
    await w.publish(done(at('09:02')));
    expect((await w.trouble())?.over).toBe('healed');
    await w.publish(done(at('10:02')));
    expect(await w.trouble(2)).toBe(undefined);
    await w.publish(done(at('11:02'), [away]));
    expect((await w.trouble(2))?.over).toBe(undefined);
  });

  test('of another kind rings again, in a message that says all of it', async () => {
    const w = world();
    await w.publish(done(at('06:02'), [locked]));
    await w.publish(done(at('07:02'), [locked, result({ ...away, store: 'nas' })]));
    expect((await w.trouble(1))?.over).toBe('continued');
    expect((await w.trouble(2))?.causes.map(({ store, kind }) => [store, kind])).toEqual([
      ['ceph', 'locked'],
      ['nas', 'problem'],
    ]);
  });

  test('in a store that can not be looked at is not over', async () => {
    const w = world();
    await w.publish(done(at('06:02'), [locked]), done(at('07:02'), [away]));
    expect((await w.trouble(2))?.causes.map(({ kind }) => kind)).toEqual(['problem', 'locked']);
  });

  test('are strays, uploads that can not be listed, and runs that were cut off', async () => {
    const w = world();
    const tally = [
      { store: 'ceph', fate: 'waits', count: 2, bytes: 100 },
      { store: 'ceph', fate: 'spared', count: 1, bytes: 1 },
      { store: 'nas', fate: 'spared', count: 1, bytes: 1 },
    ] as const;
    const strays = { count: 4, bytes: 102, first: [], tally, problems: [{ store: 'nas', problem: AWAY }] };
    await w.publish(done(at('06:02'), [result()], { strays, problem: { ...AWAY, code: 'job.interrupted' } }));
    expect((await w.trouble())?.causes).toMatchObject([
      { kind: 'problem', message: AWAY.message },
      { store: 'ceph', kind: 'strays', tally: [{ fate: 'waits', count: 2 }] },
      { store: 'nas', kind: 'strays-unseen' },
    ]);
  });

  test('none, no message', async () => {
    const w = world();
    await w.publish(done(at('06:02')));
    expect(w.enqueued).toEqual([]);
    expect(await w.trouble()).toBe(undefined);
  });
});

describe('the message of the backup', () => {
  const KEY = events.stored.operation;

  test('gets one line, once', async () => {
    const w = world();
    await w.publish(events.stored, done(at('06:17')), done(at('06:18'), [away()]));
    expect(await w.state(KEY)).toMatchObject({
      phase: { kind: 'stored' },
      retention: { removed: 1, bytes: 12_000_000, keeps: 30, seeAlerts: false },
    });
  });

  test('says where to look when people are asked', async () => {
    const w = world();
    await w.publish(events.stored, done(at('06:17'), [asking]));
    expect(await w.state(KEY)).toMatchObject({ retention: { seeAlerts: true } });
  });

  test('stays as it is where everything stays, and where there is none', async () => {
    const w = world();
    await w.publish(events.stored, done(at('06:17'), [result({ policy: {}, removed: copies(0) })]));
    expect(await w.state(KEY)).not.toHaveProperty('retention');
    await w.publish(done(at('06:18'), [result()], { after: 'backup-of-old' }));
    expect(await w.state('backup-of-old')).toBe(undefined);
  });
});

function away() {
  return result({ problem: AWAY, isKnown: false });
}
