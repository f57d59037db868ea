/** Owns which phases and steps a restore has, for every mix of static pods and systemd units. */
import { canBumpRevision, initialCluster, predictMemberId } from './etcd-commands.ts';
import {
  PLAN_FORMAT,
  type Phase,
  type PhaseName,
  type Plan,
  type PlannedMember,
  type Proof,
  type Step,
} from './plan.ts';
import {
  fetchChecks,
  lookScript,
  prepareEmptyScript,
  prepareScript,
  swapScript,
  type Scripts,
} from './restore/data-scripts.ts';
import type { NodeFacts, RestoreInput } from './restore/facts.ts';
import { joinScript, manifestCanJoin } from './restore/join-scripts.ts';
import { layoutOf, oldDataOf, type NodeLayout } from './restore/layout.ts';
import { apiServerScripts, etcdScripts, proveStoppedScript, restartCachesScript } from './restore/process-scripts.ts';
import { bytesNeeded, joinToolOf, refuse, restoreToolOf, restoringNodes, warningsOf } from './restore/refusals.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const MIB = 1024 ** 2;

/**
 * The plan of a restore. The same cluster, unchanged, gives the same plan again: nothing in it depends on the clock, on
 * process ids, on free space or on how far the live revision has moved since (but see `RestoreInput.stopLast`).
 * Throws plan.* with what to do next when none can be made.
 */
export function makeRestorePlan(input: RestoreInput): Plan {
  refuse(input);
  const { snapshot, status } = input;
  const plans = input.nodes.map((facts): NodePlan => ({ facts, layout: layoutOf(facts, input.request) }));
  return {
    format: PLAN_FORMAT,
    kind: 'restore',
    request: input.request,
    cluster: input.cluster,
    clusterId: status === undefined ? undefined : String(status.clusterId),
    memberIds: (status?.members ?? []).map(({ id }) => String(id)).sort(),
    mode: input.mode,
    snapshot: {
      id: snapshot.id,
      cluster: snapshot.cluster,
      takenAt: snapshot.takenAt,
      object: snapshot.object,
      encoding: snapshot.encoding,
      size: snapshot.size,
      sha256: snapshot.sha256,
      revision: snapshot.revisionBefore,
    },
    token: input.token,
    bumpRevision: bumpOf(input),
    configVersion: input.configVersion,
    members: plans.map((plan) => memberOf(plan, input)),
    warnings: warningsOf(input),
    phases: phasesOf(input, plans),
  };
}

/** The node whose etcd a plan stops last: give it as `stopLast` when the plan is made again. */
export function stopLastOf(plan: Plan): string | undefined {
  return plan.phases.find(({ name }) => name === 'stop-etcd')?.steps.at(-1)?.node;
}

interface NodePlan {
  readonly facts: NodeFacts;
  readonly layout: NodeLayout;
}

/** More revisions than a busy cluster makes in a week (etcd's docs: a week at 1,500 writes a second). */
const MARGIN = 1_000_000_000n;

/**
 * What is added to the snapshot's revision so that it lies above every revision that was ever served: in steps so coarse
 * that writes between request and execution do not change the plan, and at least one whole step above. Undefined when
 * a tool can't: then no node bumps, or their data would differ.
 */
function bumpOf(input: RestoreInput): string | undefined {
  if (!restoringNodes(input).every((facts) => canBumpRevision(restoreToolOf(facts).version))) return undefined;
  const gap = (input.liveRevision ?? 0n) - BigInt(input.snapshot.revisionBefore);
  return String(((gap > 0n ? gap : 0n) / MARGIN + 2n) * MARGIN);
}

function memberOf({ facts, layout }: NodePlan, input: RestoreInput): PlannedMember {
  const peerUrls = [...facts.peerUrls].sort();
  return {
    node: facts.node,
    name: facts.etcd.memberName,
    peerUrls,
    predictedId: restoringNodes(input).includes(facts) ? predictMemberId(peerUrls, input.token) : undefined,
    oldData: oldDataOf(layout),
  };
}

function clusterOf(nodes: readonly NodeFacts[]): string {
  return initialCluster(nodes.map(({ etcd, peerUrls }) => ({ name: etcd.memberName, peerUrls })));
}

const TITLES: Readonly<Record<PhaseName, readonly [phase: string, step: string]>> = {
  check: ['Check every node', 'Check tools, room and what is to be stopped'],
  fetch: ['Fetch the snapshot', 'Fetch the snapshot and check its sha256'],
  prepare: ['Restore beside the live data', 'Restore the snapshot into a new directory'],
  'stop-apiservers': ['Stop every kube-apiserver', 'Stop kube-apiserver'],
  'stop-etcd': ['Stop every etcd, the leader last', 'Stop etcd'],
  'prove-stopped': ['Prove that all are stopped', 'See that no process, container or port is left'],
  swap: ['Swap the data', 'Put the old data aside and the restored in their place'],
  'start-etcd': ['Start etcd', 'Start etcd'],
  'join-members': ['Add the other members', 'Add the member, start it empty, let it catch up'],
  'prove-healthy': ['Prove that etcd is healthy', 'See the member healthy, with its id, revision and hash'],
  'start-apiservers': ['Start every kube-apiserver', 'Start kube-apiserver'],
  'restart-caches': ['Restart what caches', 'Restart scheduler, controller-manager and kubelet'],
  'prove-serving': ['Prove that the API serves', 'See kube-apiserver ready'],
};

/** What a phase does on one node; undefined: nothing. */
type Make = (plan: NodePlan) => (Omit<Step, 'id' | 'node' | 'title'> & { readonly title?: string }) | undefined;

/** Phases without a step are left out. */
function phasesOf(input: RestoreInput, plans: readonly NodePlan[]): readonly Phase[] {
  const restoring = plans.filter(({ facts }) => restoringNodes(input).includes(facts));
  const joining = plans.filter((plan) => !restoring.includes(plan));
  const phase = (name: PhaseName, of: readonly NodePlan[], make: Make, order: Phase['order'] = 'together'): Phase => ({
    name,
    title: TITLES[name][0],
    order,
    steps: of.flatMap((plan): Step[] => {
      const made = make(plan);
      const node = plan.facts.node;
      return made === undefined ? [] : [{ id: `${name}.${node}`, node, title: TITLES[name][1], ...made }];
    }),
  });
  const stopOrder = leaderLast(plans, input);
  return [
    phase('check', plans, (plan) => stepOf(lookAt(plan, input), MINUTE)),
    phase('fetch', restoring, (plan) => fetchStep(plan, input)),
    phase('prepare', plans, (plan) => prepareStep(plan, input)),
    phase('stop-apiservers', plans, ({ facts, layout }) => stepOf(apiServerScripts(facts, layout)?.stop, 12 * MINUTE)),
    phase(
      'stop-etcd',
      stopOrder,
      ({ facts, layout }) => stepOf(etcdScripts(facts, layout).stop, 7 * MINUTE),
      'last-alone',
    ),
    phase('prove-stopped', plans, ({ facts }) => stepOf(proveStoppedScript(facts), 2 * MINUTE)),
    phase('swap', plans, ({ facts, layout }) => stepOf(swapScript(facts, layout), 2 * MINUTE)),
    phase('start-etcd', restoring, ({ facts, layout }) => stepOf(etcdScripts(facts, layout).start, 7 * MINUTE)),
    phase('join-members', joining, (plan) => joinStep(plan, plans, input), 'in-turn'),
    phase('prove-healthy', plans, () => proof({ kind: 'proof', proves: 'healthy' })),
    phase('start-apiservers', plans, ({ facts, layout }) =>
      stepOf(apiServerScripts(facts, layout)?.start, 12 * MINUTE),
    ),
    phase('restart-caches', plans, ({ facts }) => stepOf(restartCachesScript(facts), 4 * MINUTE)),
    phase('prove-serving', plans, ({ facts }) => servingStep(facts)),
  ].filter(({ steps }) => steps.length > 0);
}

function stepOf(scripts: Scripts | undefined, deadlineMs: number): ReturnType<Make> {
  if (scripts === undefined) return undefined;
  const { script, done, undo } = scripts;
  return { action: { kind: 'script', script }, done, undo, deadlineMs };
}

/** A static pod that failed once waits for up to five minutes before the kubelet starts it again. */
function proof(action: Proof): ReturnType<Make> {
  return { action, done: undefined, undo: undefined, deadlineMs: 7 * MINUTE };
}

function servingStep({ apiServer }: NodeFacts): ReturnType<Make> {
  return apiServer === undefined ? undefined : proof({ kind: 'proof', proves: 'serving', port: apiServer.port });
}

function lookAt({ facts }: NodePlan, input: RestoreInput): Scripts {
  const joins = !restoringNodes(input).includes(facts);
  const { supervisor } = facts.etcd;
  return lookScript(facts, {
    tools: [joins ? joinToolOf(facts) : restoreToolOf(facts)],
    bytes: bytesNeeded(input.snapshot.size),
    lines: joins && supervisor.kind === 'static-pod' ? [manifestCanJoin(supervisor.manifest)] : [],
  });
}

/** Two minutes, and what one byte in a MiB a second takes. */
function fetchStep({ layout }: NodePlan, { snapshot }: RestoreInput): ReturnType<Make> {
  const { size, sha256 } = snapshot;
  return {
    action: { kind: 'fetch', path: layout.snapshot, size, sha256 },
    ...fetchChecks(layout, sha256),
    deadlineMs: 2 * MINUTE + Math.ceil(size / MIB) * SECOND,
  };
}

function prepareStep({ facts, layout }: NodePlan, input: RestoreInput): ReturnType<Make> {
  if (!restoringNodes(input).includes(facts)) {
    const empty = stepOf(prepareEmptyScript(layout), MINUTE);
    return empty === undefined ? undefined : { ...empty, title: 'Make an empty data directory' };
  }
  const scripts = prepareScript(facts, layout, {
    tool: restoreToolOf(facts),
    memberName: facts.etcd.memberName,
    initialCluster: clusterOf(restoringNodes(input)),
    token: input.token,
    peerUrls: [...facts.peerUrls].sort(),
    bumpRevision: bumpOf(input),
  });
  return stepOf(scripts, copyMs(input));
}

/** Time to write the data once, on a slow disk: two minutes, and a second for every 10 MiB. */
function copyMs({ snapshot }: RestoreInput): number {
  return 2 * MINUTE + Math.ceil(snapshot.size / (10 * MIB)) * SECOND;
}

function joinStep(plan: NodePlan, plans: readonly NodePlan[], input: RestoreInput): ReturnType<Make> {
  const { facts, layout } = plan;
  const members = plans.slice(0, plans.indexOf(plan) + 1).map((other) => other.facts);
  const seconds = copyMs(input) / SECOND;
  const scripts = joinScript(facts, layout, {
    request: input.request,
    etcdctl: joinToolOf(facts).path,
    endpoints: members[0]?.etcd.advertiseClientUrls ?? [],
    initialCluster: clusterOf(members),
    seconds,
  });
  return stepOf(scripts, 9 * MINUTE + seconds * SECOND);
}

/** A leader that stops while others stop too waits 7 s for one of them to take over; stopped last it has nobody to ask. */
function leaderLast(plans: readonly NodePlan[], { status, stopLast }: RestoreInput): readonly NodePlan[] {
  const last = stopLast ?? status?.members.find(({ isLeader }) => isLeader)?.node;
  const isLast = ({ facts }: NodePlan): boolean => facts.node === last;
  return [...plans.filter((plan) => !isLast(plan)), ...plans.filter(isLast)];
}
