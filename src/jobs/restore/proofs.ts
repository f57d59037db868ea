/** Owns how it is proven from outside that etcd is healthy and that the API serves, after a restore or after its undoing. */
import type { ClusterStatus } from '../../domain/cluster.ts';
import { KeyturnError, type Problem } from '../../domain/error.ts';
import type { Phase, Step } from '../../domain/plan.ts';
import { runIdOf } from '../../domain/restore-course.ts';
import {
  commonRevision,
  oldVerdict,
  restoredVerdict,
  whyNotOld,
  whyNotRestored,
  whyNotSame,
  type Unwell,
  type Verdict,
} from '../../domain/restore-health.ts';
import type { ApiServerLook, EtcdSession } from '../../ports.ts';
import type { Execution } from './execution.ts';
import type { Task } from './record.ts';
import { failureOf, orProblem, sideBySide, type Failure } from './steps.ts';

/** Between two looks: while the API is down at once again, later ever more rarely, a tenth of the time it has taken so far. */
const AGAIN_MS = { least: 100, most: 2_000 };
/** Pods that are not ready so long after the API served are told as a warning: they may have been broken before. */
const PODS_MS = 90_000;

/** A proof that is to be had for these nodes, in one phase. */
export interface Proving {
  readonly phase: Phase;
  readonly doing: Task['doing'];
  readonly steps: readonly Step[];
}

type EtcdLook = { readonly verdict: Verdict } | { readonly unwell: Unwell };

/** All nodes' steps share one look. The failures, by node. */
export async function proveHealthy(x: Execution, proving: Proving): Promise<readonly Failure[]> {
  const tasks = await beginProofs(x, proving);
  const startedAt = x.deps.clock.now().getTime();
  const until = startedAt + Math.max(0, ...tasks.map(({ step }) => step.deadlineMs));
  const look = tasks.length === 0 ? undefined : await untilWell(x, proving.doing, until);
  if (look !== undefined && 'verdict' in look) {
    await x.record.proven('healthy', look.verdict.verified, look.verdict.warnings);
  }
  for (const task of tasks) {
    const why = look !== undefined && 'unwell' in look ? look.unwell.get(task.step.node) : undefined;
    await endProof(x, task, startedAt, why === undefined ? undefined : notHealthy(task, why));
  }
  return failuresOf(x, proving);
}

/** Looks until it is well or time is up; what was last in the way. */
async function untilWell(x: Execution, doing: Task['doing'], until: number): Promise<EtcdLook> {
  const { clock } = x.deps;
  const startedAt = clock.now().getTime();
  const sessions = new Sessions(x);
  try {
    for (;;) {
      const look = await lookAtEtcd(x, doing, sessions);
      if ('verdict' in look || clock.now().getTime() >= until) return look;
      await sleepSince(x, startedAt);
    }
  } finally {
    await sessions.close();
  }
}

async function lookAtEtcd(x: Execution, doing: Task['doing'], sessions: Sessions): Promise<EtcdLook> {
  try {
    const session = await sessions.get();
    const status = await session.status();
    if (doing === 'undo') return lookAtOld(x, status);
    const unwell = first(whyNotRestored(x.plan, status), () => whyNotSame(x.plan, status, undefined));
    if (unwell.size > 0) return { unwell };
    const hashes = await hashesOf(session, status, x.signal);
    const differs = whyNotSame(x.plan, status, hashes);
    if (differs.size > 0) return { unwell: differs };
    return { verdict: restoredVerdict(x.plan, status, [...hashes.values()][0] ?? 0) };
  } catch (error) {
    x.signal.throwIfAborted();
    await sessions.close();
    const { message } = x.record.problemOf(error);
    if (!(error instanceof KeyturnError)) x.deps.log.warn({ err: error, operation: x.request }, 'etcd was not seen');
    return { unwell: new Map(x.plan.members.map(({ node }) => [node, message])) };
  }
}

function lookAtOld(x: Execution, status: ClusterStatus): EtcdLook {
  const why = whyNotOld(x.plan, status);
  if (why === undefined) return { verdict: oldVerdict(status) };
  return { unwell: new Map(x.plan.members.map(({ node }) => [node, why])) };
}

function first(unwell: Unwell, next: () => Unwell): Unwell {
  return unwell.size > 0 ? unwell : next();
}

async function hashesOf(
  session: EtcdSession,
  status: ClusterStatus,
  signal: AbortSignal,
): Promise<ReadonlyMap<bigint, number>> {
  const revision = commonRevision(status);
  const hash = async (member: ClusterStatus['members'][number]) =>
    [member.id, await session.hashAt(member, revision, signal)] as const;
  return new Map(await Promise.all(status.members.map(hash)));
}

/** One session as long as it sees every node's etcd running: what had not started when it was opened it never sees. */
class Sessions {
  readonly #x: Execution;
  #open: EtcdSession | undefined;

  constructor(x: Execution) {
    this.#x = x;
  }

  async get(): Promise<EtcdSession> {
    const isWhole =
      this.#open?.missing.length === 0 &&
      this.#open.found.length === this.#x.plan.members.length &&
      this.#open.found.every(({ pid }) => pid !== undefined);
    if (this.#open !== undefined && isWhole) return this.#open;
    await this.close();
    this.#open = await this.#x.deps.etcd.open(this.#x.spec, this.#x.signal);
    return this.#open;
  }

  /** Never throws. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.close().catch((error: unknown) => {
      this.#x.deps.log.warn({ err: error, operation: this.#x.request }, 'a session could not be closed');
    });
  }
}

/** Each node by itself. The failures, by node. */
export async function proveServing(x: Execution, proving: Proving): Promise<readonly Failure[]> {
  const tasks = await beginProofs(x, proving);
  await sideBySide(
    x,
    tasks.map((task) => async () => {
      const startedAt = x.deps.clock.now().getTime();
      let notServing: Problem | undefined;
      const problem = await orProblem(x, async () => {
        notServing = await untilServing(x, task, startedAt);
      });
      await endProof(x, task, startedAt, problem ?? notServing);
      return undefined;
    }),
  );
  return failuresOf(x, proving);
}

/** What keeps it from serving when time is up; undefined: it serves. What is around it may still be a warning. */
async function untilServing(x: Execution, { step }: Task, startedAt: number): Promise<Problem | undefined> {
  const { action, node, deadlineMs } = step;
  if (action.kind !== 'proof' || action.proves !== 'serving') throw new TypeError(`${step.id} proves something else.`);
  const { clock, apiServers } = x.deps;
  let readyAt: number | undefined;
  for (;;) {
    const look = await x.nodes.on(node, ({ connection, steps }) =>
      apiServers.look(connection, { port: action.port, ask: (...args) => steps.ask(...args), signal: x.signal }),
    );
    const now = clock.now().getTime();
    const isOver = now >= startedAt + deadlineMs;
    if (look.ready && readyAt === undefined) {
      readyAt = now;
      await provenServing(x, node, look);
    }
    if (look.ready && (isWhole(look) || isOver || now >= (readyAt ?? now) + PODS_MS)) {
      await x.record.proven('nothing', verifiedAround(look), warningsAround(look));
      return undefined;
    }
    if (isOver) return notReady(node, look.detail);
    await sleepSince(x, startedAt);
  }
}

/** Until the next look of a proof that was begun at `startedAt`. */
export async function sleepSince(
  { deps: { clock }, signal }: Pick<Execution, 'deps' | 'signal'>,
  startedAt: number,
): Promise<void> {
  const tenth = (clock.now().getTime() - startedAt) / 10;
  await clock.sleep(Math.min(AGAIN_MS.most, Math.max(AGAIN_MS.least, tenth)), signal);
}

/** The first time that this is journalled ends the downtime. */
export async function provenServing(x: Execution, node: string, { detail }: ApiServerLook): Promise<void> {
  await x.record.proven('serving', [`kube-apiserver on ${node} is ready (${detail.replace(/\.$/, '')}).`]);
}

function isWhole(look: ApiServerLook): boolean {
  return around(look).every(({ ready, total }) => ready >= total);
}

function around({ nodes, systemPods }: ApiServerLook) {
  return [
    ...(nodes === undefined ? [] : [{ what: 'nodes', ...nodes }]),
    ...(systemPods === undefined ? [] : [{ what: 'pods of kube-system', ...systemPods }]),
  ];
}

function verifiedAround(look: ApiServerLook): readonly string[] {
  return around(look).flatMap(({ what, ready, total }) =>
    total > 0 && ready >= total ? [`All ${total} ${what} are ready.`] : [],
  );
}

function warningsAround(look: ApiServerLook): readonly string[] {
  return around(look).flatMap(({ what, ready, total }) => {
    if (total === 0) return [`The API knows of no ${what}.`];
    return ready < total ? [`${ready} of ${total} ${what} are ready.`] : [];
  });
}

/** Those that are still to be proven, journalled as begun. */
async function beginProofs(x: Execution, { phase, doing, steps }: Proving): Promise<readonly Task[]> {
  const tasks = steps
    .map((step): Task => ({ phase: phase.name, step, doing }))
    .filter(({ step }) => x.record.course.standing(step.id, doing).outcome === undefined);
  for (const task of tasks) {
    if (x.record.course.standing(task.step.id, doing).open === undefined) {
      await x.record.begun(task, runOf(x, task), undefined);
    }
  }
  return tasks;
}

function runOf(x: Execution, { step, doing }: Task): string {
  const { open, begun } = x.record.course.standing(step.id, doing);
  return open ?? runIdOf(step.id, doing, begun + 1);
}

async function endProof(x: Execution, task: Task, startedAt: number, problem: Problem | undefined): Promise<void> {
  const durationMs = x.deps.clock.now().getTime() - startedAt;
  const outcome = problem === undefined ? ('done' as const) : ('failed' as const);
  await x.record.ended(task, runOf(x, task), { outcome, code: undefined, output: '', durationMs, problem });
}

/** As the journal has them: a worker before this one may have seen that some did not hold. */
function failuresOf(x: Execution, { phase, doing, steps }: Proving): readonly Failure[] {
  return steps.flatMap((step) => {
    const { outcome, why } = x.record.course.standing(step.id, doing);
    if (outcome !== 'failed') return [];
    const hint = `Look at the logs of etcd and kube-apiserver on ${step.node}.`;
    const problem: Problem = { code: 'etcd.unreachable', message: why ?? `${step.title} did not hold.`, hint };
    return [failureOf({ phase: phase.name, step, doing }, problem)];
  });
}

function notHealthy({ step }: Task, why: string): Problem {
  return {
    code: 'etcd.unreachable',
    message: `etcd on ${step.node} is not healthy: ${why}`,
    hint: `Look at the log of etcd on ${step.node}.`,
  };
}

function notReady(node: string, detail: string): Problem {
  return {
    code: 'node.command-failed',
    message: `kube-apiserver on ${node} is not ready: ${detail}`,
    hint: `Look at the log of kube-apiserver on ${node}.`,
  };
}
