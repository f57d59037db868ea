/** How a restore looks through its life, and that the worst data stays within Slack's limits and harmless. */
import { describe, expect, test } from 'vitest';
import { approvalsView, cleanupView } from '../../src/chat/views/approvals.ts';
import { renderMessage } from '../../src/chat/views/message.ts';
import {
  breakGlassView,
  decisionCallView,
  restoreEndView,
  restoreStepsView,
} from '../../src/chat/views/restore-notes.ts';
import { standingLine } from '../../src/chat/views/restore-phrases.ts';
import { restoreView } from '../../src/chat/views/restore.ts';
import { summaryOf } from '../../src/domain/restore-summary.ts';
import type { RestoreMessage } from '../../src/domain/restore-message.ts';
import type { RestoreEvent } from '../../src/domain/event.ts';
import { planDifference } from '../../src/domain/plan-difference.ts';
import { expectFits, expectHarmless, poison as poisonAll, seen } from './looks.ts';
import { changed, lives, messageAfter, plan, report, requests, samplePlan, turned } from './restore-samples.ts';
import { HOSTILE } from './samples.ts';

/** What Keyturn makes itself, or has checked before: ids, numbers as text, and what code decides on. */
const OURS =
  /^(id|operation|digest|revision|liveRevision|mode|order|verdict|outcome|doing|to|stepUp|options|action|predictedId|can|you)$/;
const poison = <T>(data: T): T => poisonAll(data, OURS);

const surroundings = { command: '/etcd', movedFrom: undefined };
const states = Object.entries(lives).map(
  ([name, life]) => [name, messageAfter(life as readonly RestoreEvent[])] as const,
);

describe('the message of a restore', () => {
  test.each(states)('%s', (_, state) => {
    const view = restoreView(state, surroundings);
    expectFits(view);
    expect(`${seen(view)}\n\ntext: ${view.text}`).toMatchSnapshot();
  });

  test.each(states)('%s, with hostile data of any length', (_, state) => {
    const hostile = poison(state);
    for (const view of [
      restoreView(hostile, surroundings),
      restoreView(hostile, { command: HOSTILE, movedFrom: HOSTILE }),
      restoreStepsView(hostile),
      restoreEndView(hostile),
    ]) {
      expectFits(view);
      expectHarmless(view);
    }
  });

  test('calls the approvers while it waits for them', () => {
    expect(restoreView(messageAfter(lives.pending), surroundings).text).toContain('<!subteam^S0APPROVE1>');
  });

  test('in words that need no etcd says what will be lost', () => {
    expect(seen(restoreView(messageAfter(lives.pending), surroundings))).toMatch(
      /everything written since <!date.*>, 3 h 12 min before this was asked\. That is about 1,234 revisions\./,
    );
  });

  test('its buttons carry the request and the digest, and no more than a hint beside', () => {
    const values = (name: keyof typeof lives): unknown[] =>
      restoreView(messageAfter(lives[name]), surroundings).blocks.flatMap((block) =>
        block.type === 'actions'
          ? block.elements.flatMap((e) => (e.type === 'button' ? [JSON.parse(e.value ?? '') as unknown] : []))
          : [],
      );
    const expected = { request: plan.request, digest: requests.pending.digest };
    for (const value of values('pending')) expect(value).toEqual(expected);
    expect(values('break-glass, with codes')[0]).toEqual({ ...expected, code: true });
  });

  test('what failed says what to do now before anything else', () => {
    const text = seen(restoreView(messageAfter(lives.failed), surroundings));
    expect(text.indexOf('What to do now')).toBeLessThan(text.indexOf('Fetch the snapshot'));
  });

  test('that had to go elsewhere says so to who asked', () => {
    const view = restoreView(messageAfter(lives.pending), { ...surroundings, movedFrom: 'C0GENERAL3' });
    expect(seen(view)).toContain('<@U0ASKER>: <#C0GENERAL3> takes no messages');
  });

  test('whose first events were lost is told all the same', () => {
    expectFits(restoreView(messageAfter([turned('undo', 1, 'why')]), surroundings));
  });
});

describe('nine nodes in all phases, with everything that can be told', () => {
  const big = samplePlan(9);
  const nodes = big.members.map(({ node }) => node);
  const difference = planDifference(big, {
    ...big,
    phases: samplePlan(5).phases,
    warnings: Array(30).fill('w'.repeat(500)),
  });
  const problem = { code: 'internal', message: 'm'.repeat(2000), hint: 'h'.repeat(2000) } as const;
  const long = (state: RestoreMessage): RestoreMessage => ({
    ...state,
    request: state.request && {
      ...summaryOf({ ...requests.running, plan: big }),
      ...state.request,
      plan: summaryOf({ ...requests.running, plan: big }).plan,
      ended: state.request.ended && { ...state.request.ended, difference },
      reason: 'r'.repeat(1000),
    },
    steps: Object.fromEntries(
      big.phases.flatMap(({ steps }) =>
        steps.map(({ id }) => [
          id,
          {
            begun: undefined,
            bytes: undefined,
            ended: {
              at: '2026-11-21T06:40:00.000Z',
              run: id,
              doing: 'do',
              outcome: 'failed',
              code: 1,
              durationMs: 1,
              problem,
            },
          },
        ]),
      ),
    ),
    ended: state.ended && {
      at: state.ended.at,
      report: report({
        outcome: state.ended.report.outcome,
        reason: 'x'.repeat(3000),
        verified: Array(40).fill('v'.repeat(500)),
        warnings: Array(40).fill('w'.repeat(500)),
        oldData: nodes.map((node) => ({ node, paths: Array(9).fill(`/${'p'.repeat(300)}`) })),
      }),
    },
    turns: messageAfter(Array.from({ length: 20 }, (_, i) => turned('wait', i, 'y'.repeat(900)))).turns,
  });

  test.each(states)('%s', (_, state) => {
    const full = long(state);
    for (const view of [restoreView(full, surroundings), restoreStepsView(full), restoreEndView(full)])
      expectFits(view);
  });

  test('the buttons are still there', () => {
    const view = restoreView(long(messageAfter(lives.waiting)), surroundings);
    expect(seen(view)).toContain('[Try again] [Roll back] [Give up] [Show plan]');
  });
});

describe('beside it', () => {
  test('a line a node and phase in the thread', () => {
    const view = restoreStepsView(messageAfter(lives['running, fetching']));
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test.each(['succeeded', 'undone', 'rolled back', 'failed', 'denied', 'withdrawn', 'expired', 'void'] as const)(
    'how it ended: %s',
    (name) => {
      const view = restoreEndView(messageAfter(lives[name]));
      expectFits(view);
      expect(seen(view)).toMatchSnapshot();
    },
  );

  test('break-glass is loud in the alerts channel', () => {
    const view = breakGlassView(summaryOf(requests['break-glass, with codes']), 'S0ONCALL02');
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('a restore that waits calls those who may decide', () => {
    const view = decisionCallView(summaryOf(requests.waiting));
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });

  test('a clean-up says what is gone and what is left', () => {
    const restore = messageAfter(lives['succeeded, cleaned up']);
    const view = renderMessage(
      { kind: 'restore-cleaned', restore },
      { channel: 'C1', command: '/etcd', oncall: undefined },
    );
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
  });
});

describe('lists', () => {
  const endsAt = new Date('2026-11-21T07:00:00.000Z');
  const waiting = [
    { request: requests.pending, approvals: 0, endsAt, you: 'review', can: ['approve', 'deny'] },
    { request: requests['half way'], approvals: 1, endsAt, you: 'approved', can: ['take-back', 'deny'] },
    { request: requests.running, approvals: 2, endsAt: undefined, you: { noSay: 'guests have no say' }, can: [] },
  ] as const;

  test('of what waits or runs: where I stand and what I can do', () => {
    const view = approvalsView({ waiting }, 0);
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
    expect(seen(approvalsView({ waiting: [] }, 0))).toBe('🔑 No restore waits or runs.');
  });

  test('of fifty long ones: pages within the limits', () => {
    const many = Array.from({ length: 50 }, () => ({ ...waiting[0], request: poison(requests.pending) }));
    for (const page of [0, 5, 99]) expectFits(approvalsView({ waiting: many }, page));
  });

  test('of what a clean-up would remove, with a question before it', () => {
    const view = cleanupView({ request: requests.succeeded, oldData: report().oldData });
    expectFits(view);
    expect(seen(view)).toMatchSnapshot();
    expect(JSON.stringify(view.blocks)).toContain('Nobody can bring it back');
    expectFits(cleanupView({ request: poison(requests.succeeded), oldData: poison(report().oldData) }));
  });
});

test.each(Object.entries(requests))('one line says how it stands: %s', (_, each) => {
  expect(standingLine(each)).toMatchSnapshot();
  expect(standingLine(each).length).toBeLessThan(300);
  expect(standingLine(summaryOf(each))).toBe(standingLine(each));
  expect(messageAfter([changed(each)]).request?.id).toBe(each.id);
});
