/** The life of one restore of three nodes to test with: its request in every state, and the events of its way. */
import type { RestoreEvent } from '../../src/domain/event.ts';
import { cancel, decide, progress, start, voidRequest, wait } from '../../src/domain/restore-execution.ts';
import type { Plan, Step } from '../../src/domain/plan.ts';
import { planDifference } from '../../src/domain/plan-difference.ts';
import { foldRestore } from '../../src/domain/restore-message.ts';
import type { RestoreMessage } from '../../src/domain/restore-message.ts';
import { makeRestorePlan } from '../../src/domain/restore-plan.ts';
import type { RestoreReport } from '../../src/domain/restore-report.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { expire, review, withdraw } from '../../src/domain/restore-review.ts';
import type { Verdict } from '../../src/domain/restore-review.ts';
import { summaryOf } from '../../src/domain/restore-summary.ts';
import type { Person } from '../../src/domain/permission.ts';
import { nodeFacts, restoreInput } from '../domain/restore-facts.ts';
import { alice, bob, done, later, policy, request, requester } from '../support/requests.ts';
import { record } from './samples.ts';

const MINUTE = 60_000;

/** kubeadm's layout, all members from one snapshot. */
export function samplePlan(nodes = 3): Plan {
  return makeRestorePlan(
    restoreInput({
      request: 'r20261121-063000-3fa9c1',
      cluster: 'prod-eu',
      nodes: Array.from({ length: nodes }, (_, i) => nodeFacts(i + 1)),
      snapshot: record({ clusterId: '77' }),
      liveRevision: 89_447n,
    }),
  );
}

export const plan = samplePlan();
export const origin = { channel: 'C0GENERAL3', user: requester.id };

export function opened(change: Parameters<typeof request>[0] = {}): RestoreRequest {
  const dataLoss = { snapshotTakenAt: '2026-11-21T06:00:00.000Z', ms: 11_520_000, liveRevision: '89447' };
  const reason = 'The namespace shop was deleted by mistake.\nIts owner wants it back as of this morning.';
  return request({ plan, dataLoss, reason, origin, ...change });
}

export function reviewed(
  before: RestoreRequest,
  reviewer: Person,
  verdict: Verdict = 'approve',
  at = MINUTE,
): RestoreRequest {
  const reason = verdict === 'deny' ? { reason: 'We can copy the namespace from staging instead.' } : {};
  return done(review(before, { reviewer, verdict, digest: before.digest, now: later(at), ...reason }));
}

const pending = opened();
const halfWay = reviewed(pending, bob);
const approved = reviewed(halfWay, alice, 'approve', 2 * MINUTE);

function started(): RestoreRequest {
  const begun = start(approved, { plan, people: [alice, bob], now: later(3 * MINUTE) });
  if (begun.kind !== 'ok') throw new Error(begun.kind);
  return begun.request;
}

const running = started();
const WAIT = {
  reason: 'cp2 and cp3 can not be reached since the data were swapped. Look after them first.',
  options: ['retry', 'roll-back', 'give-up'],
  now: later(5 * MINUTE),
} as const;
const waiting = done(wait(running, WAIT));
const changedPlan = { ...plan, memberIds: ['1', '2', '4'], configVersion: 'c2' };

/** A request in each of its states, by name. */
export const requests = {
  pending,
  'half way': halfWay,
  'break-glass, with codes': opened({
    breakGlass: true,
    policy: policy({ breakGlass: { threshold: 1 }, stepUp: 'totp' }),
    onBehalfOf: 'U0NOOR0004',
  }),
  approved,
  running,
  stopping: done(cancel(running, { person: requester, permitted: false, now: later(4 * MINUTE) })),
  waiting,
  decided: done(decide(waiting, { person: alice, permitted: false, what: 'retry', now: later(6 * MINUTE) })),
  'rolling back': done(progress(running, 'roll-back', later(5 * MINUTE), 'etcd on cp2 did not become healthy.')),
  succeeded: done(progress(running, 'succeed', later(8 * MINUTE))),
  'rolled back': done(
    progress(
      done(progress(running, 'roll-back', later(5 * MINUTE), 'etcd on cp2 did not become healthy.')),
      'end-rolled-back',
      later(8 * MINUTE),
      'etcd on cp2 did not become healthy.',
    ),
  ),
  undone: done(progress(running, 'end-rolled-back', later(5 * MINUTE), 'The disk of cp2 is full.')),
  failed: done(progress(running, 'fail', later(8 * MINUTE), 'cp2 and cp3 are gone.')),
  denied: reviewed(halfWay, alice, 'deny'),
  withdrawn: done(withdraw(halfWay, { person: requester, permitted: false, now: later(MINUTE) })),
  expired: done(expire(pending, later(31 * MINUTE))),
  void: done(voidRequest(approved, { difference: planDifference(plan, changedPlan), now: later(3 * MINUTE) })),
} as const satisfies Record<string, RestoreRequest>;

/** Seconds after the restore began, as an event has it. */
export function at(seconds: number): string {
  return later(3 * MINUTE + seconds * 1000).toISOString();
}

const base = { operation: plan.request, cluster: plan.cluster } as const;

export function changed(to: RestoreRequest): RestoreEvent {
  const last = to.history.at(-1);
  return { ...base, operation: to.id, type: 'restore.changed', at: last?.at ?? to.createdAt, request: summaryOf(to) };
}

export const steps: readonly (Step & { readonly phase: Plan['phases'][number]['name'] })[] = plan.phases.flatMap(
  ({ name, steps: all }) => all.map((step) => ({ ...step, phase: name })),
);

export function stepOf(id: string): (typeof steps)[number] {
  const found = steps.find((step) => step.id === id);
  if (found === undefined) throw new Error(`no step ${id}`);
  return found;
}

export function begun(id: string, seconds: number, doing: 'do' | 'undo' = 'do', run = `${id}.${doing}`): RestoreEvent {
  const { node, phase } = stepOf(id);
  return { ...base, type: 'restore.step-begun', at: at(seconds), step: id, node, phase, doing, run, script: 'true' };
}

export function ended(
  id: string,
  seconds: number,
  change: Partial<Extract<RestoreEvent, { type: 'restore.step-ended' }>> = {},
): RestoreEvent {
  const { node, phase } = stepOf(id);
  const doing = change.doing ?? 'do';
  const how = { outcome: 'done', code: 0, output: 'fine\n', durationMs: 1200, problem: undefined } as const;
  const run = `${id}.${doing}`;
  return { ...base, type: 'restore.step-ended', at: at(seconds), step: id, node, phase, doing, run, ...how, ...change };
}

export function fetched(node: string, seconds: number, bytes: number): RestoreEvent {
  const total = plan.snapshot.size;
  return {
    ...base,
    type: 'restore.step-progress',
    at: at(seconds),
    step: `fetch.${node}`,
    node,
    done: bytes,
    total,
  };
}

export function turned(to: 'undo' | 'roll-back' | 'wait' | 'forward', seconds: number, reason: string): RestoreEvent {
  return { ...base, type: 'restore.turned', at: at(seconds), to, reason };
}

/** Phases as they go, one after the other, two seconds each. */
function phasesThrough(last: Plan['phases'][number]['name']): RestoreEvent[] {
  const upTo = plan.phases.findIndex(({ name }) => name === last);
  return plan.phases
    .slice(0, upTo + 1)
    .flatMap(({ steps: all }, i) => [
      ...all.map(({ id }) => begun(id, 2 * i)),
      ...all.map(({ id }) => ended(id, 2 * i + 1.5)),
    ]);
}

export function report(change: Partial<RestoreReport> = {}): RestoreReport {
  return {
    outcome: 'restored',
    reason: undefined,
    startedAt: at(0),
    endedAt: at(100),
    phases: plan.phases.map(({ name, title }, i) => ({
      name,
      title,
      startedAt: at(2 * i),
      endedAt: at(2 * i + 1.5),
    })),
    downtimeMs: 42_000,
    recoveryMs: 100_000,
    verified: [
      'All 3 members started with their predicted ids.',
      'All members have one cluster id, revision 1000088213 and hash 3735928559.',
      'kube-apiserver says ok on cp1, cp2 and cp3.',
    ],
    warnings: ['2 of 31 pods of kube-system were not ready yet.'],
    oldData: plan.members.map(({ node, oldData }) => ({ node, paths: oldData })),
    ...change,
  };
}

function reported(change: Partial<RestoreReport> = {}): RestoreEvent {
  return { ...base, type: 'restore.ended', at: at(100), report: report(change) };
}

const failedStep = ended('fetch.cp2', 5, {
  outcome: 'failed',
  code: 1,
  output: 'cp: no space left on device\n',
  problem: { code: 'node.disk-full', message: 'The disk of cp2 is full.', hint: 'Make room in /var/lib.' },
});

/** What was told until a moment, by name. */
export const lives = {
  pending: [changed(requests.pending)],
  'half way': [changed(requests.pending), changed(requests['half way'])],
  'break-glass, with codes': [changed(requests['break-glass, with codes'])],
  approved: [changed(requests.approved)],
  'approved, can not begin yet': [
    changed(requests.approved),
    {
      ...base,
      type: 'restore.waits',
      at: at(-30),
      problem: {
        code: 'cluster.busy',
        message: 'A backup of prod-eu runs.',
        hint: 'The restore begins when it is over.',
      },
    },
  ],
  'running, fetching': [
    changed(requests.running),
    ...phasesThrough('check'),
    ...['cp1', 'cp2', 'cp3'].map((node) => begun(`fetch.${node}`, 3)),
    fetched('cp1', 4, 198_000_000),
    fetched('cp2', 4, 45_000_000),
    ended('fetch.cp3', 5),
  ],
  'running, after the swap': [changed(requests.running), ...phasesThrough('swap'), begun('start-etcd.cp1', 40)],
  stopping: [changed(requests.stopping), ...phasesThrough('check')],
  waiting: [
    changed(requests.waiting),
    ...phasesThrough('swap'),
    turned('wait', 60, 'cp2 and cp3 can not be reached since the data were swapped.'),
  ],
  decided: [
    changed(requests.decided),
    ...phasesThrough('swap'),
    turned('wait', 60, 'cp2 and cp3 can not be reached.'),
    turned('forward', 90, 'Somebody said to try again.'),
  ],
  'rolling back': [
    changed(requests['rolling back']),
    ...phasesThrough('swap'),
    ended('start-etcd.cp2', 30, { outcome: 'vanished', code: undefined }),
    turned('roll-back', 60, 'etcd on cp2 did not become healthy.'),
    begun('swap.cp1', 62, 'undo'),
    ended('swap.cp3', 63, { doing: 'undo' }),
  ],
  succeeded: [...phasesThrough('prove-serving'), reported(), changed(requests.succeeded)],
  'succeeded, cleaned up': [
    reported(),
    changed(requests.succeeded),
    {
      ...base,
      type: 'restore.cleaned',
      at: at(9000),
      by: 'U0ADA00001',
      origin,
      removed: [{ node: 'cp1', paths: ['/var/lib/etcd.keyturn-old'] }],
      failed: [
        {
          node: 'cp2',
          problem: {
            code: 'ssh.unreachable',
            message: 'cp2 does not answer.',
            hint: 'Look after cp2, then clean up again.',
          },
        },
      ],
    },
  ],
  undone: [
    ...phasesThrough('check'),
    begun('fetch.cp2', 3),
    failedStep,
    turned('undo', 6, 'The disk of cp2 is full.'),
    ended('fetch.cp1', 8, { doing: 'undo' }),
    reported({
      outcome: 'undone',
      reason: 'The disk of cp2 is full. Make room in /var/lib.',
      downtimeMs: undefined,
      oldData: [],
    }),
    changed(requests.undone),
  ],
  'rolled back': [
    ...phasesThrough('swap'),
    turned('roll-back', 60, 'etcd on cp2 did not become healthy.'),
    reported({ outcome: 'rolled-back', reason: 'etcd on cp2 did not become healthy. Look at its log.', oldData: [] }),
    changed(requests['rolled back']),
  ],
  failed: [
    ...phasesThrough('swap'),
    reported({
      outcome: 'failed',
      reason: 'cp2 and cp3 are gone. Bring them back.',
      verified: [],
      recoveryMs: undefined,
    }),
    changed(requests.failed),
  ],
  'failed, without a report': [changed(requests.failed)],
  denied: [changed(requests.denied)],
  withdrawn: [changed(requests.withdrawn)],
  expired: [changed(requests.expired)],
  void: [changed(requests.void)],
} as const satisfies Record<string, readonly RestoreEvent[]>;

export function messageAfter(all: readonly RestoreEvent[]): RestoreMessage {
  const state = all.reduce<RestoreMessage | undefined>((before, event) => foldRestore(before, event), undefined);
  if (state === undefined) throw new Error('no events');
  return state;
}
