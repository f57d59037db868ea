/** The world of commands around restores in memory: a cluster of which a plan can be made, its snapshots, people, audit. */
import type { CommandDeps, RestoreCommandDeps } from '../../src/commands/deps.ts';
import { buildCommands } from '../../src/commands/index.ts';
import type { RetentionCommandDeps } from '../../src/commands/show-retention.ts';
import type { RestoreWish } from '../../src/commands/restore-commands.ts';
import type { AuditFact } from '../../src/domain/audit.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { catalogueOf, sixHourly, spec, stored } from '../chat/samples.ts';
import { nodeFacts } from '../domain/restore-facts.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { fakeEtcd } from '../fakes/etcd-client.ts';
import { fakeJobQueue } from '../fakes/job-queue.ts';
import { fakeScrubMemory } from '../fakes/scrub-memory.ts';
import { approvalsWorld } from './approvals.ts';
import { coderOf } from './coder.ts';
import { APPROVERS, requester } from './requests.ts';
import { nodeSpec, restorePolicy, retentionSpec } from './specs.ts';

const NODES = ['cp1', 'cp2', 'cp3'];

/** What the commands around restores need besides those of backups. Everybody of `approvalsWorld` is in the directory. */
export function restoreParts(world = approvalsWorld()) {
  const facts: AuditFact[] = [];
  const parts: Omit<RestoreCommandDeps & RetentionCommandDeps, Exclude<keyof CommandDeps, 'stores'>> = {
    coder: coderOf(),
    requests: world.requests,
    directory: world.directory,
    stepUp: world.stepUp,
    audit: { record: async (fact) => void facts.push(fact) },
    auditCopies: { disk: { name: 'disk /audit', read: async () => new Map<string, string>() }, store: undefined },
    announce: (request: RestoreRequest) => world.announce(request),
    stores: new Map(),
    retentionOf: () => retentionSpec(),
  };
  return { ...parts, facts };
}

/** The requester may ask, approvers approve, the operator of `approvalsWorld` operate. `change` overrides anything. */
export function restoreWorld(change: Partial<RestoreCommandDeps & RetentionCommandDeps> = {}) {
  const approvals = approvalsWorld();
  const { clock, log } = approvals;
  const queue = fakeJobQueue(clock);
  const lease = fakeClusterLease();
  const published: KeyturnEvent[] = [];
  const etcd = fakeEtcd({
    members: NODES.map((node, i) => ({ name: node, node, isLeader: i === 1 })),
    facts: { nodes: NODES.map((_, i) => nodeFacts(i + 1)), missing: [] },
    revision: 88_300n,
  });
  const { facts, ...parts } = restoreParts(approvals);
  let nonce = 0;
  const deps: RestoreCommandDeps & RetentionCommandDeps = {
    clusters: [
      { ...spec('prod-eu'), nodes: NODES.map((name) => nodeSpec(name)), restore: policyOf() },
      { ...spec('staging'), nodes: [nodeSpec('cp9')], restore: policyOf() },
    ],
    people: { request: [requester.id], approve: [APPROVERS], operate: ['S0OPS'] },
    command: '/etcd',
    etcd,
    catalogue: catalogueOf([stored()]),
    queue,
    lease,
    scrubMemory: fakeScrubMemory(),
    calendar: sixHourly,
    publish: async (event) => void published.push(event),
    clock,
    log,
    nonce: () => `3fa9c${(nonce += 1)}`,
    ...parts,
    ...change,
  };
  return { ...approvals, deps, etcd, queue, lease, facts, published, commands: buildCommands(deps) };
}

function policyOf() {
  return restorePolicy({
    approvals: { threshold: 2, groups: [APPROVERS], expiresMs: 1_800_000, stepUp: 'none', breakGlass: undefined },
  });
}

export function wish(change: Partial<RestoreWish> = {}): RestoreWish {
  return {
    cluster: 'prod-eu',
    snapshot: { cluster: 'prod-eu', id: '20261121T060000Z-17' },
    mode: 'all-members',
    reason: 'The namespace shop was deleted by mistake',
    onBehalfOf: undefined,
    breakGlass: false,
    confirmedSnapshotOf: undefined,
    origin: { channel: 'C1', user: requester.id },
    ...change,
  };
}

/** The KeyturnError that it ends with; fails the test when it ends well. */
export async function refusalOf(work: Promise<unknown>): Promise<KeyturnError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof KeyturnError) return error;
  throw new Error(`expected a refusal, got ${String(error)}`);
}
