/** Plans, people and restore requests as small as tests of approvals want them. */
import type { Person } from '../../src/domain/permission.ts';
import { PLAN_FORMAT } from '../../src/domain/plan.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import type { Draft } from '../../src/domain/restore-draft.ts';
import { PLAIN } from '../../src/domain/snapshot.ts';
import type { ApprovalPolicy } from '../../src/domain/restore-policy.ts';
import type { Outcome, RestoreRequest } from '../../src/domain/restore-request.ts';

export const NOW = new Date('2026-11-21T06:30:00.000Z');
export const APPROVERS = 'S0APPROVE1';

export function later(ms: number): Date {
  return new Date(NOW.getTime() + ms);
}

export function somebody(id: string, change: Partial<Person> = {}): Person {
  return { id, name: id.toLowerCase(), isBot: false, isGuest: false, isDeactivated: false, groups: [], ...change };
}

export const requester = somebody('U0ASKER', { groups: [APPROVERS] });
export const alice = somebody('U0ALICE', { groups: [APPROVERS] });
export const bob = somebody('U0BOB', { groups: [APPROVERS] });
export const carol = somebody('U0CAROL', { groups: [APPROVERS] });
export const outsider = somebody('U0OUTSIDE');

export function plan(change: Partial<Plan> = {}): Plan {
  return {
    format: PLAN_FORMAT,
    kind: 'restore',
    request: 'r1',
    cluster: 'prod-eu',
    clusterId: '14841639068965178418',
    memberIds: ['10276657743932975437'],
    mode: 'all-members',
    snapshot: {
      id: '20261121T060000Z-17',
      cluster: 'prod-eu',
      object: { key: 'prod-eu/20261121T060000Z-17.db', size: 412_000_032, sha256: 'ab12cd34ef56'.padEnd(64, '0') },
      encoding: PLAIN,
      size: 412_000_032,
      sha256: 'ab12cd34ef56'.padEnd(64, '0'),
      takenAt: '2026-11-21T06:00:00.000Z',
      revision: '88213',
    },
    token: 'keyturn-r1',
    bumpRevision: '1000000',
    configVersion: 'c0'.padEnd(64, '0'),
    members: [{ node: 'cp1', name: 'cp1', peerUrls: ['https://192.0.2.1:2380'], predictedId: '42', oldData: [] }],
    warnings: [],
    phases: [
      {
        name: 'stop-etcd',
        title: 'Stop etcd',
        order: 'in-turn',
        steps: [
          {
            id: 'stop-etcd.cp1',
            node: 'cp1',
            title: 'Stop etcd',
            action: { kind: 'script', script: 'systemctl stop etcd' },
            done: undefined,
            undo: 'systemctl start etcd',
            deadlineMs: 60_000,
          },
        ],
      },
    ],
    ...change,
  };
}

export function policy(change: Partial<ApprovalPolicy> = {}): ApprovalPolicy {
  return {
    threshold: 2,
    groups: [APPROVERS],
    expiresMs: 30 * 60_000,
    stepUp: 'none',
    breakGlass: undefined,
    ...change,
  };
}

export function draft(change: Partial<Draft> = {}): Draft {
  return {
    plan: plan(),
    dataLoss: { snapshotTakenAt: '2026-11-21T06:00:00.000Z', ms: 1_800_000, liveRevision: '88300' },
    reason: 'The namespace shop was deleted by mistake',
    requester,
    onBehalfOf: undefined,
    origin: { channel: 'C1', user: requester.id },
    policy: policy(),
    breakGlass: false,
    confirmedSnapshotOf: undefined,
    now: NOW,
    ...change,
  };
}

export function request(change: Partial<Draft> = {}): RestoreRequest {
  return done(openRequest(draft(change)));
}

/** The request that a change made; throws when it was refused. */
export function done(outcome: Outcome): RestoreRequest {
  if (outcome.kind === 'ok') return outcome.request;
  throw new Error(`refused: ${outcome.code}: ${outcome.message}`);
}
