/** A world in which restores are carried out: three nodes whose etcd and API go up and down as real scripts would have them. */
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { approveRestore } from '../../src/commands/review-restore.ts';
import type { ClusterSpec, MemberStatus } from '../../src/domain/cluster.ts';
import type { KeyturnEvent, RestoreEvent } from '../../src/domain/event.ts';
import type { CleanupJob, RestoreJob } from '../../src/domain/job.ts';
import type { PhaseName, Plan, Step } from '../../src/domain/plan.ts';
import type { RestorePolicy } from '../../src/domain/restore-policy.ts';
import { startJobId, type RestoreRequest } from '../../src/domain/restore-request.ts';
import type { NodeFacts } from '../../src/domain/restore/facts.ts';
import { manifestKey, objectKey, PLAIN, serialiseManifest, type Encoding } from '../../src/domain/snapshot.ts';
import type { RestoreDeps } from '../../src/jobs/restore/deps.ts';
import { runRestore } from '../../src/jobs/restore/run-restore.ts';
import type { ApiServerLook, EtcdClient, EtcdSession, JobContext, JobResult, SnapshotCoder } from '../../src/ports.ts';
import { planRestore } from '../../src/restore/plan-restore.ts';
import { nodeFacts, unit } from '../domain/restore-facts.ts';
import { hastyClock } from '../fakes/clock.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { fakeEtcd, fakeSnapshot, type FakeEtcdOptions } from '../fakes/etcd-client.ts';
import { memoryStore } from '../fakes/memory-store.ts';
import { fakeNodes } from '../fakes/node-shell.ts';
import { fakeRestoreJournal } from '../fakes/restore-journal.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { fakeStepRunner, type FakeScript, type FakeStepRunner } from '../fakes/step-runner.ts';
import { approvalsWorld } from '../support/approvals.ts';
import { coderOf } from '../support/coder.ts';
import { alice, bob, draft } from '../support/requests.ts';
import { openRequest } from '../../src/domain/restore-draft.ts';
import { clusterSpec, jobContext, silentLog } from './world.ts';

export const NODES = ['cp1', 'cp2', 'cp3'] as const;
const OLD_CLUSTER = 77n;
const NEW_CLUSTER = 4711n;

/** How one node stands. */
export interface Machine {
  etcd: boolean;
  api: boolean;
  data: 'old' | 'new';
  prepared: boolean;
}

/** What a script is for: several steps share one text, such as "start etcd". */
type Verb = `${PhaseName} ${'do' | 'undo' | 'done'}`;

/** What a test makes of a script before it does its work; undefined: it works. */
export type Meddle = (node: string, verb: Verb) => FakeScript | undefined;

const SAME: Partial<Record<Verb, Verb>> = {
  'start-etcd do': 'stop-etcd undo',
  'start-etcd undo': 'stop-etcd do',
  'start-apiservers do': 'stop-apiservers undo',
  'start-apiservers undo': 'stop-apiservers do',
};

export interface WorldOptions {
  readonly policy?: Partial<RestorePolicy>;
  readonly mode?: Plan['mode'];
  readonly nodes?: readonly string[];
  readonly withApi?: boolean;
  /** The stored snapshot is encoded by it, as `encoding` says. */
  readonly coder?: SnapshotCoder;
  readonly encoding?: Encoding;
}

const NEVER = new AbortController().signal;

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

export async function restoreWorld({
  policy = {},
  mode = 'all-members',
  nodes = NODES,
  withApi = true,
  coder = coderOf(),
  encoding = PLAIN,
}: WorldOptions = {}) {
  const base = clusterSpec();
  const spec: ClusterSpec = {
    ...base,
    nodes: base.nodes.filter(({ name }) => nodes.includes(name)),
    restore: { ...base.restore, ...policy },
  };
  const clock = hastyClock('2026-11-21T06:30:00.000Z');
  const machines = new Map<string, Machine>(
    nodes.map((node) => [node, { etcd: true, api: withApi, data: 'old', prepared: false }]),
  );
  const stores = [memoryStore('ceph', clock), memoryStore('nas', clock)] as const;
  const snapshot = fakeSnapshot();
  const object = await buffer(coder.encode(encoding, chunksOf(snapshot), NEVER));
  const record = snapshotRecord({
    cluster: spec.name,
    clusterId: String(OLD_CLUSTER),
    size: snapshot.length,
    sha256: sha256Of(snapshot),
    encoding,
    object: {
      key: objectKey(spec.name, '20261121T060000Z-17', encoding),
      size: object.length,
      sha256: sha256Of(object),
    },
  });
  for (const store of stores) {
    await store.put(record.object.key, object);
    await store.put(manifestKey(spec.name, record.id), Buffer.from(serialiseManifest(record)));
  }
  const facts: readonly NodeFacts[] = nodes.map((_, i) =>
    nodeFacts(i + 1, {
      etcd: { ...nodeFacts(i + 1).etcd, supervisor: unit('etcd') },
      ...(withApi ? {} : { apiServer: undefined }),
    }),
  );

  const etcd = fakeEtcd();
  const verbs = new Map<string, Verb>();
  /** Each script that did its work, as `node verb`, in order. */
  const worked: string[] = [];
  /** What must never happen, and did. */
  const sins: string[] = [];
  let meddle: Meddle = () => undefined;

  const all = (): readonly Machine[] => [...machines.values()];

  /** A restored member has started; which member leads, and whether they are a majority, follows from the machines. */
  function seen(plan: Plan | undefined): FakeEtcdOptions {
    const running = [...machines].filter(([, { etcd: runs }]) => runs);
    const [fresh, old] = ['new', 'old'].map((kind) => running.filter(([, { data }]) => data === kind));
    const isNew = plan !== undefined && (fresh?.length ?? 0) > (old?.length ?? 0);
    const like = (isNew ? fresh : old) ?? [];
    const hasLeader = like.length > nodes.length / 2;
    const members = nodes.map((node, i): Partial<MemberStatus> => {
      const isUp = like.some(([name]) => name === node);
      const down = { code: 'etcd.unreachable', message: `etcd on ${node} is down.`, hint: 'Start it.' };
      const predicted = BigInt(plan?.members[i]?.predictedId ?? 1000 + i);
      return {
        name: node,
        node,
        id: isNew ? predicted : BigInt(i + 1),
        peerUrls: facts[i]?.peerUrls ?? [],
        isLeader: hasLeader && like[0]?.[0] === node,
        problem: isUp ? undefined : down,
        revision: 1200n,
      };
    });
    return { members, clusterId: isNew ? NEW_CLUSTER : OLD_CLUSTER, facts: { nodes: facts, missing: [] } };
  }
  etcd.set(seen(undefined));

  const { plan } = await planRestore(
    { etcd, catalogue: catalogue(stores, () => spec.backup.stores) },
    { spec, request: 'r1', snapshot: record, mode, foreignSnapshotConfirmed: false },
    new AbortController().signal,
  );
  for (const phase of plan.phases) for (const step of phase.steps) learn(phase.name, step);

  function learn(phase: PhaseName, { node, action, done, undo }: Step): void {
    const put = (text: string | undefined, verb: Verb): void => {
      if (text !== undefined) verbs.set(`${node}\n${text}`, SAME[verb] ?? verb);
    };
    put(done, `${phase} done`);
    put(undo, `${phase} undo`);
    if (action.kind === 'script') put(action.script, `${phase} do`);
  }

  function run(node: string, script: string): FakeScript {
    const verb = verbs.get(`${node}\n${script}`);
    if (verb === undefined) return { code: 0 };
    const meddled = meddle(node, verb);
    if (meddled !== undefined) return meddled;
    const machine = machines.get(node);
    if (machine === undefined) throw new Error(`There is no node ${node}.`);
    const does = act(machine, verb);
    etcd.set(seen(plan));
    if (!verb.endsWith(' done') && (does.code ?? 0) === 0) worked.push(`${node} ${verb}`);
    return verb.endsWith(' done') ? does : { takesMs: 100, ...does };
  }

  function act(machine: Machine, verb: Verb): FakeScript {
    const no = (why: string): FakeScript => ({ code: 1, output: why });
    const when = (holds: boolean): FakeScript => (holds ? {} : { code: 1 });
    const set = (change: () => unknown): FakeScript => {
      change();
      return {};
    };
    const acts: Partial<Record<Verb, () => FakeScript>> = {
      'prepare do': () => set(() => (machine.prepared = true)),
      'prepare undo': () =>
        machine.data === 'new' ? no('the swap was not undone') : set(() => (machine.prepared = false)),
      'prepare done': () => when(machine.prepared || machine.data === 'new'),
      'fetch done': () => when(machine.prepared || machine.data === 'new'),
      'stop-apiservers do': () => set(() => (machine.api = false)),
      'stop-apiservers undo': () => set(() => (machine.api = true)),
      'stop-apiservers done': () => when(!machine.api),
      'start-apiservers done': () => when(machine.api),
      'stop-etcd do': () => set(() => (machine.etcd = false)),
      'stop-etcd undo': () => set(() => startEtcd(machine)),
      'stop-etcd done': () => when(!machine.etcd),
      'start-etcd done': () => when(machine.etcd),
      'prove-stopped do': () => (machine.etcd || machine.api ? no('Not stopped') : {}),
      'swap do': () => swap(machine, 'new'),
      'swap undo': () => swap(machine, 'old'),
      'swap done': () => when(machine.data === 'new'),
    };
    return acts[verb]?.() ?? {};
  }

  function swap(machine: Machine, to: Machine['data']): FakeScript {
    if (machine.etcd) return { code: 1, output: 'etcd runs: its data are not touched.' };
    if (to === 'new' && machine.data === 'old' && !machine.prepared) return { code: 1, output: 'nothing prepared' };
    if (to === 'new' && all().some(({ etcd: runs, data }) => runs && data === 'old'))
      sins.push('swap while old etcd runs');
    machine.data = to;
    return {};
  }

  /** Whoever starts one while another runs on other data has two clusters; a majority of each would be a disaster. */
  function startEtcd(machine: Machine): void {
    machine.etcd = true;
    for (const data of ['old', 'new'] as const) {
      const others = all().filter((each) => each.etcd && each.data !== data).length;
      const own = all().filter((each) => each.etcd && each.data === data).length;
      if (
        own > 0 &&
        others > 0 &&
        others + own > nodes.length - 1 &&
        others >= nodes.length / 2 &&
        own >= nodes.length / 2
      )
        sins.push('two clusters');
    }
    if (machine.data === 'new' && all().some(({ data }) => data === 'old'))
      sins.push('etcd started before all were swapped');
  }

  const runner: FakeStepRunner = fakeStepRunner(clock, run);
  const shell = fakeNodes(Object.fromEntries(nodes.map((node) => [node, {}])));
  const approvals = approvalsWorld();
  const lease = fakeClusterLease();
  const journal = fakeRestoreJournal();
  const events: KeyturnEvent[] = [];
  const { requests } = approvals;
  let looked: (node: string) => ApiServerLook | undefined = () => undefined;

  const session = (open: EtcdSession): EtcdSession => ({
    ...open,
    found: open.found.map((found) => ({ ...found, pid: machines.get(found.node)?.etcd === true ? 1 : undefined })),
  });
  const etcdHere: EtcdClient = { open: async (...args) => session(await etcd.open(...args)) };

  const deps: RestoreDeps = {
    clusters: new Map([[spec.name, spec]]),
    stores: new Map(stores.map((store) => [store.name, store])),
    catalogue: catalogue(stores, () => spec.backup.stores),
    coder,
    etcd: etcdHere,
    shell,
    steps: runner,
    journal,
    lease,
    requests,
    directory: approvals.directory,
    apiServers: {
      async look({ node }) {
        const told = looked(node.name);
        if (told !== undefined) return told;
        const ready =
          machines.get(node.name)?.api === true && all().filter((each) => each.etcd).length > nodes.length / 2;
        const counts = { ready: nodes.length, total: nodes.length };
        return { ready, detail: ready ? 'ok' : 'no answer', nodes: ready ? counts : undefined, systemPods: undefined };
      },
    },
    publish: async (event) => void events.push(event),
    announce: approvals.announce,
    clock,
    log: silentLog,
  };

  const policyOf = { ...spec.restore.approvals, groups: draft().policy.groups };
  const opened = openRequest(draft({ plan, policy: policyOf, now: clock.now() }));
  if (opened.kind !== 'ok') throw new Error(opened.message);
  await requests.create(opened.request);
  const { id, digest } = opened.request;
  for (const user of [alice.id, bob.id]) await approveRestore({ ...approvals, clock }, { request: id, digest, user });

  const request = async (): Promise<RestoreRequest> => {
    const kept = await requests.read(id);
    if (kept === undefined) throw new Error('The request is gone.');
    return kept;
  };
  const job: RestoreJob = { kind: 'restore', id: startJobId(await request()), cluster: spec.name, request: id };
  const cleanupJob: CleanupJob = {
    kind: 'cleanup',
    id: 'cleanup-1',
    cluster: spec.name,
    request: id,
    by: 'U0OPS',
    origin: undefined,
  };

  return {
    deps,
    spec,
    plan,
    job,
    cleanupJob,
    clock,
    machines,
    worked,
    sins,
    runner,
    shell,
    lease,
    journal,
    requests,
    approvals,
    stores,
    etcd,
    events,
    request,
    snapshot,
    /** Each script of the plan is asked for first; what it says is done in place of its work. */
    meddle(next: Meddle): void {
      meddle = next;
    },
    look(next: typeof looked): void {
      looked = next;
    },
    /** Works on the job, coming back as often as it says 'later', at most `times`. */
    async work(change: Partial<RestoreDeps> = {}, context: Partial<JobContext> = {}, times = 50): Promise<JobResult> {
      let result: JobResult = { kind: 'later', afterMs: 0 };
      const remembering = jobContext(context);
      for (let time = 0; time < times && result.kind === 'later'; time += 1) {
        if (time > 0) await clock.sleep(result.afterMs);
        result = await runRestore(job, remembering, { ...deps, ...change });
      }
      return result;
    },
    restoreEvents(): readonly RestoreEvent[] {
      return events.filter((event): event is RestoreEvent => event.type.startsWith('restore.'));
    },
    /** The last report that was told. */
    report() {
      const ended = events.findLast((event) => event.type === 'restore.ended');
      if (ended?.type !== 'restore.ended') throw new Error('No report was told.');
      return ended.report;
    },
  };
}

export type RestoreWorld = Awaited<ReturnType<typeof restoreWorld>>;
