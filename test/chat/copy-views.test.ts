/** What is told of stored copies: ordinary data, and the most hostile. */
import { describe, expect, test } from 'vitest';
import { announcer } from '../../src/chat/announcer.ts';
import { renderMessage } from '../../src/chat/views/message.ts';
import { backupView, snapshotSummary } from '../../src/chat/views/backup.ts';
import { foldCopied, foldBackup } from '../../src/domain/backup-message.ts';
import type { CopyEvent, DamageEvent, ScrubEvent, VerifyEvent } from '../../src/domain/copy-event.ts';
import { foldDamage, type DamageMessage } from '../../src/domain/damage-message.ts';
import { foldVerify, type VerifyMessage } from '../../src/domain/verify-message.ts';
import type { MessageState } from '../../src/chat/message-state.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { expectFits, expectHarmless, poison, seen } from './looks.ts';
import { events } from './samples.ts';

const AT = '2026-11-21T06:00:00.000Z';
const LATER = '2026-11-21T06:05:00.000Z';
const AWAY = { code: 'store.unreachable', message: 'Store nas can’t be reached.', hint: 'Look at it.' } as const;
const base = { at: AT, operation: 'verify-1', cluster: 'prod-eu', snapshot: '20261121T050000Z-17' };
const origin = { channel: 'C1', user: 'U0ADA00001' };
const copies = [
  { store: 'ceph', size: 412_000_000 },
  { store: 'nas', size: 412_000_000 },
];
const ended = (...verdicts: Extract<VerifyEvent, { type: 'verify.ended' }>['copies'][number][]): VerifyEvent => ({
  ...base,
  at: LATER,
  type: 'verify.ended',
  copies: verdicts,
  adoptedAs: undefined,
});
const queued: VerifyEvent = { ...base, type: 'verify.queued', origin };
const started: VerifyEvent = { ...base, type: 'verify.started', origin, takenAt: AT, copies };
const whole = { kind: 'whole', unopened: undefined } as const;

const verified = (...all: readonly VerifyEvent[]): VerifyMessage => {
  const state = all.reduce<VerifyMessage | undefined>((s, e) => foldVerify(s, e), undefined);
  if (state === undefined) throw new Error('no state');
  return state;
};

const damaged: Extract<DamageEvent, { type: 'copy.damaged' }> = {
  ...base,
  type: 'copy.damaged',
  operation: 'damaged-1',
  takenAt: AT,
  store: 'nas',
  found: 'its bytes are not those that were written: the sha256 differs',
  by: 'scrub-1',
  whole: ['ceph'],
  unread: [],
  isDisputed: false,
  isRepaired: true,
  markProblem: undefined,
};
const repaired: DamageEvent = {
  ...base,
  type: 'copy.repaired',
  operation: 'damaged-1',
  at: LATER,
  store: 'nas',
  from: 'ceph',
  backup: 'backup-1',
  why: 'damaged',
  bytes: 1,
};
const notRepaired: DamageEvent = {
  ...base,
  type: 'copy.not-repaired',
  operation: 'damaged-1',
  store: 'nas',
  why: 'damaged',
  problem: AWAY,
};
const healed: DamageEvent = { ...base, type: 'copy.healed', operation: 'damaged-1', at: LATER, store: 'nas', by: 'v' };
const damage = (...all: readonly DamageEvent[]): DamageMessage => {
  const state = all.reduce<DamageMessage | undefined>((s, e) => foldDamage(s, e), undefined);
  if (state === undefined) throw new Error('no state');
  return state;
};
const behind: ScrubEvent = {
  at: AT,
  operation: 'scrub-behind',
  cluster: '.scrub',
  type: 'scrub.behind',
  bytes: 9e13,
  neededMs: 5.6e9,
  everyMs: 2.592e9,
  rateLimit: 2e7,
};

const states: Record<string, MessageState> = {
  'verification, queued': verified(queued),
  'verification, begun': verified(queued, started),
  'verification, in the second copy': verified(started, {
    ...base,
    at: LATER,
    type: 'verify.progress',
    store: 'nas',
    bytes: 100_000_000,
  }),
  'verification, all whole': verified(
    started,
    ended(
      { store: 'ceph', verdict: whole, markProblem: undefined },
      { store: 'nas', verdict: whole, markProblem: undefined },
    ),
  ),
  'verification, every verdict': verified(
    started,
    ended(
      {
        store: 'a',
        verdict: { kind: 'whole', unopened: { ...AWAY, message: 'No identity.' } },
        markProblem: undefined,
      },
      { store: 'b', verdict: { kind: 'damaged', found: 'it has 3 bytes instead of 4' }, markProblem: AWAY },
      { store: 'c', verdict: { kind: 'disputed', found: 'its manifest differs' }, markProblem: undefined },
      { store: 'd', verdict: { kind: 'refused', found: 'it ends without a hash' }, markProblem: undefined },
      { store: 'e', verdict: { kind: 'missing' }, markProblem: undefined },
      { store: 'f', verdict: { kind: 'unknown', problem: AWAY }, markProblem: undefined },
    ),
  ),
  'verification, taken up': verified({
    ...base,
    type: 'verify.ended',
    copies: [{ store: 'ceph', verdict: whole, markProblem: undefined }],
    adoptedAs: '20261120T060000Z-123',
  }),
  'verification, failed': verified({ ...base, type: 'verify.failed', origin, problem: AWAY }),
  'damage, repaired by Keyturn': damage(damaged),
  'damage, made anew': damage(damaged, repaired),
  'damage, whole again': damage(damaged, healed),
  'damage, not made anew': damage(damaged, notRepaired),
  'damage, no good copy': damage({ ...damaged, whole: [], isRepaired: false }),
  'damage, others not read': damage({ ...damaged, whole: [], unread: ['ceph'] }),
  'damage, disputed': damage({ ...damaged, isDisputed: true, isRepaired: false }),
  'damage, not marked': damage({ ...damaged, isRepaired: false, markProblem: AWAY }),
  'scrub behind': { kind: 'scrub-behind', behind },
};
const surroundings = { channel: 'C1', command: '/etcd', oncall: 'S0ONCALL01' };

describe('the message of', () => {
  test.each(Object.entries(states))('%s', (_, state) => {
    const view = renderMessage(state, surroundings);
    expectFits(view);
    expect(`${seen(view)}\n\ntext: ${view.text}`).toMatchSnapshot();
  });

  test.each(Object.entries(states))('%s stays harmless whatever the data hold', (_, state) => {
    const view = renderMessage(poison(state), { ...surroundings, oncall: undefined });
    expectFits(view);
    expectHarmless(view);
  });
});

test('damage rings for the on-call while it lasts, and for nobody once it is over', () => {
  expect(renderMessage(damage(damaged), surroundings).text).toContain('<!subteam^S0ONCALL01>');
  expect(renderMessage(damage(damaged, repaired), surroundings).text).not.toContain('S0ONCALL01');
});

test('what was made anew is the last word; what could not be may still be', () => {
  expect(damage(damaged, repaired, notRepaired, damaged).outcome?.kind).toBe('repaired');
  expect(damage(damaged, notRepaired, repaired).outcome?.kind).toBe('repaired');
  expect(foldDamage(undefined, repaired)).toBe(undefined);
});

test('events of a verification that come twice or late change nothing; a second worker begins the reading again', () => {
  const end = ended({ store: 'ceph', verdict: whole, markProblem: undefined });
  const state = verified(queued, started, end);
  for (const event of [queued, started, end]) expect(foldVerify(state, event)).toBe(state);
  const reading = verified(queued, started);
  expect(foldVerify(reading, queued)).toBe(reading);
  expect(foldVerify(reading, { ...started, at: LATER })?.at).toBe(LATER);
});

test('a copy that was made later is told in the message of its backup, which then is all well', async () => {
  const stored = {
    ...events.stored,
    copies: [
      { store: 'ceph', problem: undefined },
      { store: 'nas', problem: AWAY },
    ],
  };
  const sentMessages = fakeSentMessages();
  const enqueued: string[] = [];
  const outbox = { enqueue: async (key: string) => void enqueued.push(key) };
  const publish = announcer({ sentMessages, outbox, clock: fakeClock() });
  await publish(stored);
  const copied: CopyEvent = { ...repaired, operation: 'repair-1', backup: stored.operation, why: 'missing', at: LATER };
  await publish(copied);
  await publish(copied);
  const state = (await sentMessages.read(stored.operation))?.state as Parameters<typeof backupView>[0];
  expect(seen(backupView(state))).toContain('`nas`: copied <!date^');
  expect(seen(backupView(state))).not.toContain('Not in');
  const before = foldBackup(undefined, stored);
  if (before === undefined) throw new Error('no state');
  expect(foldCopied(before, 'ceph', LATER)).toBe(before);
});

test('of another tool’s snapshot what is unknown is called so, and never 0', () => {
  const found = snapshotRecord({ source: 'found', keys: '0', revisionBefore: '0', revisionAfter: '0' });
  expect(snapshotSummary(found)).toContain('revision unknown');
  expect(snapshotSummary(found)).toContain('unknown keys');
});
