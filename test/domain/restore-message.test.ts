/** The fold of a restore's events: what its messages say, whatever the order in which they come. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RestoreEvent } from '../../src/domain/event.ts';
import { foldRestore, phaseMs, phaseStanding, standingOf } from '../../src/domain/restore-message.ts';
import type { RestoreMessage, StepStanding } from '../../src/domain/restore-message.ts';
import {
  begun,
  changed,
  ended,
  fetched,
  lives,
  messageAfter,
  requests,
  samplePlan,
  turned,
} from '../chat/restore-samples.ts';
import { summaryOf } from '../../src/domain/restore-summary.ts';

/** Of one request, whose every version there is once. */
const everything: readonly RestoreEvent[] = [
  ...(['pending', 'half way', 'approved', 'running', 'rolling back', 'rolled back'] as const).map((state) =>
    changed(requests[state]),
  ),
  ...Object.values(lives)
    .flat()
    .filter(({ type }) => type !== 'restore.changed'),
  begun('fetch.cp1', 50, 'do', 'fetch.cp1.2'),
];

function standing(id: string, ...all: readonly RestoreEvent[]): StepStanding {
  return standingOf(messageAfter(all).steps[id]);
}

describe('laws', () => {
  test('any order gives the same state, however often an event comes', () => {
    const shuffled = fc.shuffledSubarray([...everything], { minLength: everything.length });
    const twice = fc.array(fc.constantFrom(...everything), { maxLength: 30 });
    const expected = messageAfter(everything);
    fc.assert(
      fc.property(shuffled, twice, (order, again) => {
        const state = messageAfter([...order, ...again]);
        expect(Object.entries(state.steps).sort()).toEqual(Object.entries(expected.steps).sort());
        expect({ ...state, steps: {} }).toEqual({ ...expected, steps: {} });
      }),
      { numRuns: 60 },
    );
  });

  test('two processes that each heard a part come to the same when they hear the rest', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: everything.length, maxLength: everything.length }), (heard) => {
        const first = everything.filter((_, i) => heard[i] === true);
        const rest = everything.filter((_, i) => heard[i] !== true);
        const state = messageAfter([...first, ...rest]);
        expect(state.turns).toEqual(messageAfter(everything).turns);
        expect(state.request?.version).toBe(messageAfter(everything).request?.version);
      }),
      { numRuns: 60 },
    );
  });

  test('an event that was folded in changes nothing, and gives back the same state', () => {
    for (const life of Object.values(lives)) {
      const state = messageAfter(life);
      for (const event of life) expect(foldRestore(state, event)).toBe(state);
    }
  });

  test('the state is the same after JSON has carried it', () => {
    const state = messageAfter(everything);
    const carried = JSON.parse(JSON.stringify(state)) as RestoreMessage;
    for (const event of everything) expect(foldRestore(carried, event)).toBe(carried);
  });

  test('an older version of the request never comes back', () => {
    const state = messageAfter([changed(requests.approved), changed(requests.pending), changed(requests['half way'])]);
    expect(state.request?.state).toBe('approved');
  });
});

describe('a step', () => {
  test('waits, runs, is done; progress counts only forward in time', () => {
    expect(standing('fetch.cp1', changed(requests.running))).toBe('waiting');
    expect(standing('fetch.cp1', begun('fetch.cp1', 1))).toBe('running');
    expect(standing('fetch.cp1', begun('fetch.cp1', 1), ended('fetch.cp1', 2))).toBe('done');
    const late = messageAfter([fetched('cp1', 3, 300), fetched('cp1', 2, 200)]);
    expect(late.steps['fetch.cp1']?.bytes?.done).toBe(300);
  });

  test('that failed and was run again is judged by the newer run', () => {
    const failed = ended('fetch.cp1', 2, { outcome: 'failed', run: 'a' });
    expect(standing('fetch.cp1', begun('fetch.cp1', 1, 'do', 'a'), failed)).toBe('failed');
    expect(standing('fetch.cp1', failed, begun('fetch.cp1', 3, 'do', 'b'))).toBe('running');
    expect(standing('fetch.cp1', failed, begun('fetch.cp1', 3, 'do', 'b'), ended('fetch.cp1', 4, { run: 'b' }))).toBe(
      'done',
    );
  });

  test('whose end was told by another replica with a clock behind is over all the same', () => {
    expect(standing('fetch.cp1', begun('fetch.cp1', 5, 'do', 'a'), ended('fetch.cp1', 4, { run: 'a' }))).toBe('done');
  });

  test('is undone, or could not be', () => {
    const done = ended('swap.cp1', 2);
    expect(standing('swap.cp1', done, begun('swap.cp1', 3, 'undo'))).toBe('undoing');
    expect(standing('swap.cp1', done, ended('swap.cp1', 4, { doing: 'undo' }))).toBe('undone');
    expect(standing('swap.cp1', done, ended('swap.cp1', 4, { doing: 'undo', outcome: 'failed' }))).toBe('not-undone');
  });
});

describe('a phase', () => {
  const phase = samplePlan().phases.find(({ name }) => name === 'fetch');
  const of = (...all: readonly RestoreEvent[]): StepStanding =>
    phase === undefined ? 'waiting' : phaseStanding(messageAfter([changed(requests.running), ...all]), phase);
  const three = ['fetch.cp1', 'fetch.cp2', 'fetch.cp3'];

  test('is done when all its steps are, and tells how long it took', () => {
    const all = [...three.map((id) => begun(id, 1)), ...three.map((id, i) => ended(id, 3 + i))];
    expect(of()).toBe('waiting');
    expect(of(...all.slice(0, 4))).toBe('running');
    expect(of(...all)).toBe('done');
    expect(phase && phaseMs(messageAfter(all), phase)).toBe(4000);
  });

  test('between one step and the next of those in turn is running', () => {
    expect(of(begun('fetch.cp1', 1), ended('fetch.cp1', 2))).toBe('running');
  });

  test('says what most wants to be seen', () => {
    const failed = ended('fetch.cp2', 2, { outcome: 'failed' });
    expect(of(begun('fetch.cp1', 1), failed)).toBe('failed');
    expect(of(ended('fetch.cp1', 3, { doing: 'undo' }), ended('fetch.cp2', 2))).toBe('undoing');
    expect(of(...three.map((id) => ended(id, 3, { doing: 'undo' })))).toBe('undone');
  });
});

test('turns are kept in their order, the newest ones, and problems in short', () => {
  const many = Array.from({ length: 40 }, (_, i) => turned('wait', i, `${i} ${'x'.repeat(2000)}`));
  const { turns } = messageAfter(many);
  expect(turns).toHaveLength(12);
  expect(turns.at(-1)?.reason.startsWith('39 ')).toBe(true);
  expect(turns.every(({ reason }) => reason.length <= 600)).toBe(true);
});

test('nine nodes in all phases stay a message of modest size', () => {
  const plan = samplePlan(9);
  const request = { ...requests.running, plan };
  const problem = { code: 'internal', message: 'm'.repeat(5000), hint: 'h'.repeat(5000) } as const;
  const base = { operation: request.id, cluster: request.cluster };
  const told = plan.phases.flatMap(({ name: phase, steps }) =>
    steps.flatMap(({ id: step, node }): RestoreEvent[] => {
      const of = { ...base, step, node, phase, doing: 'do', run: `${step}.1`, at: '2026-11-21T06:40:00.000Z' } as const;
      return [
        { ...of, type: 'restore.step-begun', script: 's'.repeat(10_000) },
        {
          ...of,
          type: 'restore.step-ended',
          outcome: 'done',
          code: 0,
          output: 'o'.repeat(262_144),
          durationMs: 1,
          problem: undefined,
        },
      ];
    }),
  );
  const first: RestoreEvent = { ...base, type: 'restore.changed', at: request.createdAt, request: summaryOf(request) };
  const failed: RestoreEvent = { ...base, type: 'restore.waits', at: request.createdAt, problem };
  expect(told.length).toBeGreaterThan(200);
  expect(JSON.stringify(messageAfter([first, ...told, failed])).length).toBeLessThan(80_000);
});
