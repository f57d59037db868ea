/** Owns the removal of what an ended restore left on the nodes, under the cluster's lease, node by node. */
import { KeyturnError, toProblem, type Problem } from '../domain/error.ts';
import type { RestoreEvent } from '../domain/event.ts';
import type { CleanupJob } from '../domain/job.ts';
import type { Plan } from '../domain/plan.ts';
import { cleanupScript, forgetStepsScript, whyKept } from '../domain/restore/cleanup.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import type { JobContext, JobResult, Lease } from '../ports.ts';
import { BUSY_WAIT_MS } from './leftovers.ts';
import type { RestoreDeps } from './restore/deps.ts';
import { Nodes } from './restore/nodes.ts';
import { untilEnded } from './restore/watch.ts';

/** Removing takes the time that the disk takes. */
const REMOVE_MS = 15 * 60_000;
const ASK_MS = 60_000;
/** Requests of the cluster among which the newest restore is looked for. */
const MOST_REQUESTS = 1_000;

type Cleaned = Extract<RestoreEvent, { type: 'restore.cleaned' }>;

/** What could not be removed is told with why; somebody may ask again. Throws when it is to stop, or nothing can be told. */
export async function runCleanup(job: CleanupJob, context: JobContext, deps: RestoreDeps): Promise<JobResult> {
  const { id, cluster, by, origin } = job;
  const startedAt = deps.clock.now().toISOString();
  const lease = await deps.lease.acquire({ id, kind: 'cleanup', cluster, startedAt });
  if ('heldBy' in lease) return { kind: 'later', afterMs: BUSY_WAIT_MS };
  try {
    const request = await deps.requests.read(job.request);
    if (request === undefined) return { kind: 'done' };
    const kept = whyKept(request, await deps.requests.byCluster(cluster, MOST_REQUESTS));
    const result = kept === undefined ? await cleanNodes(request, context, deps, lease) : refusedOn(request, kept);
    const at = deps.clock.now().toISOString();
    await deps.publish({ type: 'restore.cleaned', at, operation: request.id, cluster, by, origin, ...result });
    deps.log.info({ operation: request.id, failed: result.failed.length }, 'an ended restore was cleaned up');
    return { kind: 'done' };
  } finally {
    await lease.release();
  }
}

function refusedOn({ plan }: RestoreRequest, why: string): Pick<Cleaned, 'removed' | 'failed'> {
  const problem: Problem = { code: 'request.not-now', message: why, hint: 'Ask again after a newer restore.' };
  return { removed: [], failed: plan.members.map(({ node }) => ({ node, problem })) };
}

async function cleanNodes(
  request: RestoreRequest,
  context: JobContext,
  deps: RestoreDeps,
  lease: Lease,
): Promise<Pick<Cleaned, 'removed' | 'failed'>> {
  const signal = AbortSignal.any([context.signal, lease.lost]);
  const restore = { cluster: request.cluster, request: request.id, token: lease.token };
  const nodes = new Nodes(deps.clusters.get(request.cluster)?.nodes ?? [], restore, deps, signal);
  const removed: Cleaned['removed'][number][] = [];
  const failed: Cleaned['failed'][number][] = [];
  try {
    for (const { node } of request.plan.members) {
      try {
        removed.push({ node, paths: await cleanNode(request.plan, node, nodes, deps, lease.token, signal) });
      } catch (error) {
        signal.throwIfAborted();
        deps.log.warn({ err: error, operation: request.id, node }, 'a node could not be cleaned up');
        failed.push({ node, problem: toProblem(error, request.id) });
      }
    }
  } finally {
    await nodes.close();
  }
  return { removed, failed };
}

/** The paths that were removed. Each attempt runs under an id of its own: to remove twice does no harm. */
async function cleanNode(
  plan: Plan,
  node: string,
  nodes: Nodes,
  deps: RestoreDeps,
  token: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const script = cleanupScript(plan, node);
  const run = `cleanup-${token}`;
  const deadlineMs = REMOVE_MS;
  let paths: readonly string[] = [];
  if (script !== undefined) {
    const begun = await nodes.on(node, ({ steps }) => steps.start(run, script, { deadlineMs }));
    const report = await untilEnded(nodes, deps.clock, { node, run, deadlineMs, signal }, begun);
    const { output } = await nodes.on(node, ({ steps }) => steps.look(run));
    if (report.state.kind !== 'done' || report.state.code !== 0) throw notRemoved(node, output.toString('utf8'));
    paths = output.toString('utf8').split('\n').filter(Boolean);
  }
  const forget = forgetStepsScript(plan.request);
  const { code, stderr } = await nodes.on(node, ({ steps }) => steps.ask(forget, { timeoutMs: ASK_MS, signal }));
  if (code !== 0) throw notRemoved(node, stderr);
  return paths;
}

function notRemoved(node: string, output: string): KeyturnError {
  const said = output.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  const message = `Not all could be removed on ${node}${said === '' ? '.' : `: ${said}`}`;
  return new KeyturnError('node.command-failed', message, { hint: `Look at ${node}, and ask for the clean-up again.` });
}
