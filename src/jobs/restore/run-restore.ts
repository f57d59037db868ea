/**
 * Owns one worker's part in a restore: the cluster's lease, the last look at plan and people or what another worker left,
 * and then forwards or backwards until it has ended. A worker that must stop leaves everything as it is for the next.
 */
import { KeyturnError, toProblem, type Problem } from '../../domain/error.ts';
import type { RestoreJob } from '../../domain/job.ts';
import { isOverdue, type RestoreRequest } from '../../domain/restore-request.ts';
import type { JobContext, JobResult, Lease } from '../../ports.ts';
import { planAgain } from '../../restore/plan-restore.ts';
import { beginRestore } from '../begin-restore.ts';
import { BUSY_WAIT_MS } from '../leftovers.ts';
import { takeBack } from './backwards.ts';
import { waitForDecision } from './decisions.ts';
import type { RestoreDeps } from './deps.ts';
import type { Execution } from './execution.ts';
import { finish } from './finish.ts';
import { goForward } from './forwards.ts';
import { Nodes } from './nodes.ts';
import { Halted, RestoreRecord } from './record.ts';

/** How long until it is looked again whether a plan can be made. */
const PLAN_WAIT_MS = 15_000;
/** Another worker had this restore, and its lease has not run out yet. */
const TAKE_OVER_WAIT_MS = 2_000;

/**
 * Carries an approved request out, or goes on with one that runs. It throws only when the process is to stop; what else
 * ends its part costs no attempt, since a cluster may be standing still.
 */
export async function runRestore(job: RestoreJob, context: JobContext, deps: RestoreDeps): Promise<JobResult> {
  try {
    return await attemptOnce(job, context, deps);
  } catch (error) {
    context.signal.throwIfAborted();
    deps.log.error(
      { err: causeOf(error), operation: job.request },
      'this worker stops here; the restore is gone on with',
    );
    return { kind: 'later', afterMs: TAKE_OVER_WAIT_MS };
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Halted ? error.cause : error;
}

async function attemptOnce(job: RestoreJob, context: JobContext, deps: RestoreDeps): Promise<JobResult> {
  const { cluster, request: id } = job;
  const known = await deps.requests.read(id);
  if (known === undefined || !isToDo(known, deps.clock.now())) return { kind: 'done' };
  const startedAt = deps.clock.now().toISOString();
  const lease = await deps.lease.acquire({ id, kind: 'restore', cluster, startedAt });
  if ('heldBy' in lease) {
    if (lease.heldBy.id === id) return { kind: 'later', afterMs: TAKE_OVER_WAIT_MS };
    await tellWaits(job, context, deps, busy(cluster, lease.heldBy.kind));
    return { kind: 'later', afterMs: BUSY_WAIT_MS };
  }
  deps.log.info({ operation: id, attempt: context.attempt, lease: lease.token }, 'this worker leads the restore');
  try {
    // As it stands now that nobody else has the cluster.
    const request = await deps.requests.read(id);
    if (request === undefined || !isToDo(request, deps.clock.now())) return { kind: 'done' };
    return request.state === 'approved'
      ? await begin(job, context, deps, lease, request)
      : await goOn(context, deps, lease, request);
  } finally {
    await lease.release();
  }
}

/** One whose time is up is ended by the watch over requests. */
function isToDo(request: RestoreRequest, now: Date): boolean {
  return ['approved', 'running', 'rolling-back'].includes(request.state) && !isOverdue(request, now);
}

/** That no plan can be made is no difference: it is tried again until the request expires. */
async function begin(
  job: RestoreJob,
  context: JobContext,
  deps: RestoreDeps,
  lease: Lease,
  request: RestoreRequest,
): Promise<JobResult> {
  const signal = AbortSignal.any([context.signal, lease.lost]);
  const planned = await planNow(deps, request, signal);
  if ('problem' in planned) {
    signal.throwIfAborted();
    await tellWaits(job, context, deps, planned.problem);
    return { kind: 'later', afterMs: PLAN_WAIT_MS };
  }
  signal.throwIfAborted();
  const begun = await beginRestore(deps, request.id, planned.plan);
  if (begun.kind === 'begun') return goOn(context, deps, lease, begun.request);
  deps.log.warn({ operation: request.id, problem: begun.problem }, 'the restore did not begin');
  const isStillToDo = begun.request !== undefined && isToDo(begun.request, deps.clock.now());
  return isStillToDo ? { kind: 'later', afterMs: TAKE_OVER_WAIT_MS } : { kind: 'done' };
}

async function planNow(deps: RestoreDeps, request: RestoreRequest, signal: AbortSignal) {
  const spec = deps.clusters.get(request.cluster);
  if (spec === undefined) return { problem: unknownCluster(request.cluster) };
  try {
    return await planAgain(deps, spec, request.plan, signal);
  } catch (error) {
    deps.log.warn({ err: error, operation: request.id }, 'the plan could not be made again');
    return { problem: toProblem(error, request.id) };
  }
}

/** From where the journal and the nodes say that it stands. */
async function goOn(context: JobContext, deps: RestoreDeps, lease: Lease, request: RestoreRequest): Promise<JobResult> {
  const halt = new AbortController();
  const signal = AbortSignal.any([context.signal, lease.lost, halt.signal]);
  const restore = { cluster: request.cluster, request: request.id, token: lease.token };
  const entries = await deps.journal.takeOver(request.id, lease.token);
  const record = new RestoreRecord(restore, entries, deps, signal);
  const spec = deps.clusters.get(request.cluster);
  if (spec === undefined) {
    const { message, hint } = unknownCluster(request.cluster);
    if (record.course.ended === undefined) await record.end('failed', `${message} ${hint}`);
  } else {
    const nodes = new Nodes(spec.nodes, restore, deps, signal);
    try {
      await untilEnded({ deps, spec, request: request.id, plan: request.plan, record, nodes, signal, halt });
    } finally {
      await nodes.close();
    }
  }
  const { ended } = record.course;
  if (ended === undefined) throw new Error(`Restore ${request.id} stopped without an end.`);
  const startedAt = request.startedAt ?? deps.clock.now().toISOString();
  await finish(deps, { request: request.id, plan: request.plan, startedAt }, record, ended);
  return { kind: 'done' };
}

/** Each turn is in the journal before it is acted on, so that a worker that goes on goes the same way. */
async function untilEnded(x: Execution): Promise<void> {
  for (;;) {
    const { ended, waiting, direction } = x.record.course;
    if (ended !== undefined) return;
    if (waiting !== undefined) await waitForDecision(x, waiting);
    else if (direction === 'forward') await goForward(x);
    else await takeBack(x);
  }
}

/** Told once for each reason. Throws when it can't be told: then it is tried again. */
async function tellWaits(job: RestoreJob, context: JobContext, deps: RestoreDeps, problem: Problem): Promise<void> {
  const told = `waits: ${problem.code} ${problem.message}`;
  if (context.remembered.includes(told)) return;
  const at = deps.clock.now().toISOString();
  await deps.publish({ type: 'restore.waits', at, operation: job.request, cluster: job.cluster, problem });
  await context.remember(told);
}

function busy(cluster: string, kind: string): Problem {
  return {
    code: 'cluster.busy',
    message: `${cluster} is busy with a ${kind}.`,
    hint: 'Wait: the restore begins by itself when that has ended.',
  };
}

function unknownCluster(name: string): KeyturnError {
  return new KeyturnError('cluster.unknown', `There is no cluster ${name} in the configuration any more.`, {
    hint: 'Put it back into the configuration; the runbook of this request says what can be done by hand.',
  });
}
