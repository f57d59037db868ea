/**
 * Owns one run of retention, under the cluster's lease: each store is held against its policy, and what no rule keeps is
 * removed, unless it is so much that a person has to say so. Then what lies there and belongs to nothing is looked after.
 */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError, toProblem } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import type { RetentionJob } from '../domain/job.ts';
import { copyList } from '../domain/retention-event.ts';
import type { Question, RetentionEvent, StoreResult, StrayList } from '../domain/retention-event.ts';
import { bytesOf, keptByRule } from '../domain/retention-plan.ts';
import type { Planned, StorePlan } from '../domain/retention-plan.ts';
import type { JobContext, JobResult, Lease } from '../ports.ts';
import { lookAtRetention } from '../retention/look.ts';
import type { StoreLook } from '../retention/look.ts';
import { BUSY_WAIT_MS } from './leftovers.ts';
import { patiently } from './retention/deps.ts';
import type { RetentionDeps, Run } from './retention/deps.ts';
import { goneBefore, isRestOfBegun, rememberBegun } from './retention/begun.ts';
import { removeAll } from './retention/remove.ts';
import type { Removal } from './retention/remove.ts';
import { tidyStrays } from './retention/strays.ts';

/** A backup that is due waits for a run that is under way, but not for longer than this. */
const RUN_MS = 10 * 60_000;
/** Listing ten thousand snapshots in several stores takes seconds. */
const LOOK_MS = 3 * 60_000;
const LISTED_IN_QUESTION = 10;
const LOCKED_LISTED = 20;

/** What a store refuses is told, and the others are looked after. Throws when it is to stop, or nothing can be told. */
export async function runRetention(job: RetentionJob, context: JobContext, deps: RetentionDeps): Promise<JobResult> {
  const spec = deps.clusters.get(job.cluster);
  if (spec === undefined) return { kind: 'done' };
  const startedAt = deps.clock.now().toISOString();
  const lease = await deps.lease.acquire({ id: job.id, kind: 'retention', cluster: job.cluster, startedAt });
  if ('heldBy' in lease) return { kind: 'later', afterMs: BUSY_WAIT_MS };
  try {
    const ended =
      context.attempt > context.attempts ? interrupted(job) : await runOnce(job, context, deps, spec, lease);
    await deps.publish({
      ...base(job, deps),
      type: 'retention.done',
      after: job.after,
      confirmed: job.confirmed,
      ...ended,
    });
    deps.log.info({ operation: job.id, ...ended.total }, 'retention has run');
    return { kind: 'done' };
  } finally {
    await lease.release();
  }
}

type Ended = Pick<Extract<RetentionEvent, { type: 'retention.done' }>, 'stores' | 'total' | 'strays' | 'problem'>;

/** Stores one after the other: a copy that is removed here was looked at there before. */
async function runOnce(
  job: RetentionJob,
  context: JobContext,
  deps: RetentionDeps,
  spec: ClusterSpec,
  lease: Lease,
): Promise<Ended> {
  const run = runOf(job, context, deps, spec, lease);
  const stores = spec.backup.stores.join(', ');
  const look = await patiently(deps, stores, lookAtRetention(deps, spec), LOOK_MS).catch((error: unknown) => {
    if (error instanceof KeyturnError && error.code === 'store.unreachable') return toProblem(error, job.id);
    throw error;
  });
  run.throwIfEnded();
  if ('code' in look) return nothing(look);
  const results: { readonly result: StoreResult; readonly removed: readonly Planned[]; readonly plan: StorePlan }[] =
    [];
  for (const store of look.stores) {
    if (job.confirmed !== undefined && job.confirmed.store !== store.facts.store) continue;
    results.push({ ...(await runStore(run, job, context, store)), plan: store.plan });
  }
  const strays: StrayList | undefined = job.confirmed === undefined ? await tidyStrays(run, look) : undefined;
  return { stores: results.map(({ result }) => result), total: totalOf(results), strays, problem: undefined };
}

function runOf(job: RetentionJob, context: JobContext, deps: RetentionDeps, spec: ClusterSpec, lease: Lease): Run {
  const throwIfEnded = (): void => {
    context.signal.throwIfAborted();
    lease.lost.throwIfAborted();
  };
  return {
    id: job.id,
    spec,
    deps,
    throwIfEnded,
    async mayGoOn() {
      throwIfEnded();
      const holder = await deps.lease.current(spec.name);
      if (holder?.id !== job.id) throw notOurs(spec.name);
      throwIfEnded();
    },
    until: new Date(deps.clock.now().getTime() + RUN_MS),
  };
}

async function runStore(
  run: Run,
  job: RetentionJob,
  context: JobContext,
  look: StoreLook,
): Promise<{ readonly result: StoreResult; readonly removed: readonly Planned[] }> {
  const { plan, blocked, isListed } = look;
  // A store that can't be listed says nothing of what an earlier attempt removed.
  const before = isListed ? goneBefore(context, plan) : [];
  const none = (change: Partial<StoreResult>) => ({
    result: { ...resultOf(plan, NOTHING_REMOVED, before), isKnown: isListed, ...change },
    removed: before,
  });
  const store = run.deps.stores.get(plan.store);
  if (store === undefined || blocked !== undefined) return none({ problem: blocked, isKnown: false });
  if (plan.goes.length === 0) return none({});
  const { confirmed } = job;
  const goesOn = isRestOfBegun(context, plan);
  if (confirmed !== undefined && confirmed.digest !== plan.digest && !goesOn) {
    if (plan.mustAsk) await ask(run, plan, confirmed.by);
    return none({ asks: plan.mustAsk, problem: notConfirmed(plan.store) });
  }
  if (confirmed === undefined && plan.mustAsk && !goesOn) {
    await ask(run, plan, undefined);
    return none({ asks: true });
  }
  const begins = { store: plan.store, policy: plan.policy, removes: copyList(plan.goes), confirmed };
  await run.deps.publish({ ...base(job, run.deps), type: 'retention.begins', ...begins });
  await rememberBegun(context, plan);
  const removal = await removeAll(run, store, plan);
  return { result: resultOf(plan, removal, before), removed: [...before, ...removal.removed] };
}

const NOTHING_REMOVED: Removal = { removed: [], locked: [], problem: undefined };

function resultOf(plan: StorePlan, { removed, locked, problem }: Removal, before: readonly Planned[]): StoreResult {
  const [first] = locked;
  return {
    store: plan.store,
    policy: plan.policy,
    removed: copyList([...before, ...removed]),
    keeps: plan.keeps.length + plan.goes.length - removed.length,
    keptBy: keptByRule(plan.keeps),
    locked: first && {
      count: locked.length,
      ids: locked.slice(0, LOCKED_LISTED).map(({ planned }) => planned.id),
      message: first.message,
    },
    asks: false,
    problem,
    isKnown: true,
  };
}

async function ask(run: Run, plan: StorePlan, notNow: string | undefined): Promise<void> {
  const { goes, keeps, store, policy, digest } = plan;
  const question: Question = {
    store,
    policy,
    digest,
    total: goes.length + keeps.length,
    oldest: goes.at(-1)?.takenAt ?? '',
    newest: goes[0]?.takenAt ?? '',
    removes: copyList(goes, LISTED_IN_QUESTION),
    notNow,
  };
  const { id: operation, spec, deps } = run;
  const at = deps.clock.now().toISOString();
  await deps.publish({ type: 'retention.asks', at, operation, cluster: spec.name, ...question });
}

/** A snapshot in two stores is one that is left. */
function totalOf(
  results: readonly { readonly removed: readonly Planned[]; readonly plan: StorePlan }[],
): Ended['total'] {
  const left = new Set<string>();
  for (const { removed, plan } of results) {
    const gone = new Set(removed.map(({ id }) => id));
    for (const { id } of [...plan.keeps, ...plan.goes]) if (!gone.has(id)) left.add(id);
  }
  const removed = results.flatMap((each) => each.removed);
  return { removed: new Set(removed.map(({ id }) => id)).size, bytes: bytesOf(removed), keeps: left.size };
}

function base({ id, cluster }: RetentionJob, { clock }: RetentionDeps) {
  return { at: clock.now().toISOString(), operation: id, cluster };
}

/** The last word of a job whose every attempt was cut off. */
function interrupted({ cluster }: RetentionJob): Ended {
  const problem: Problem = {
    code: 'job.interrupted',
    message: `Retention of ${cluster} was cut off each time that it ran.`,
    hint: "Look at Keyturn's log. Nothing is lost: the run after the next backup goes on.",
  };
  return nothing(problem);
}

function nothing(problem: Problem): Ended {
  return { stores: [], total: { removed: 0, bytes: 0, keeps: 0 }, strays: undefined, problem };
}

function notOurs(cluster: string): KeyturnError {
  return new KeyturnError('lease.lost', `The lease of ${cluster} is somebody else's now.`, {
    hint: 'Wait: whoever has it goes on, and retention runs again after the next backup.',
  });
}

function notConfirmed(store: string): Problem {
  return toProblem(
    new KeyturnError(
      'retention.not-now',
      `What would go from ${store} now is not what was confirmed; nothing was removed.`,
      {
        hint: 'Look at the new list, and confirm that.',
      },
    ),
    '',
  );
}
