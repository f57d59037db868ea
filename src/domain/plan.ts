/**
 * Owns what a plan is: phases with a barrier after each, and in every phase the steps of all nodes side by side. It says
 * exactly what will be run where; people approve its digest, and only a plan of that digest is carried out.
 */
import { createHash } from 'node:crypto';
import type { RestoreMode } from './restore-policy.ts';
import type { Encoding, SnapshotRecord } from './snapshot.ts';

/** Version of the plan's form; a digest never fits a plan of another form. */
export const PLAN_FORMAT = 2;

/** In their order; `swap` is the first one that touches data. */
export type PhaseName =
  | 'check'
  | 'fetch'
  | 'prepare'
  | 'stop-apiservers'
  | 'stop-etcd'
  | 'prove-stopped'
  | 'swap'
  | 'start-etcd'
  | 'join-members'
  | 'prove-healthy'
  | 'start-apiservers'
  | 'restart-caches'
  | 'prove-serving';

/** A POSIX shell script, run as root on the node, detached from the login. Its text is what people approve. */
export interface NodeScript {
  readonly kind: 'script';
  readonly script: string;
}

/** The snapshot's bytes go from the store to `path` on the node; checked there against size and sha256. */
export interface Fetch {
  readonly kind: 'fetch';
  readonly path: string;
  readonly size: number;
  /** Lower-case hex, of the whole file. */
  readonly sha256: string;
}

/** Looked at from outside through the node's tunnel, nothing is changed: asked again until it holds or time is up. */
export type Proof =
  | { readonly kind: 'proof'; readonly proves: 'healthy' }
  | {
      readonly kind: 'proof';
      readonly proves: 'serving';
      /** Of kube-apiserver on this node. */
      readonly port: number;
    };

/**
 * What one node does in one phase. Ids are unique in a plan: `swap.cp1`, `stop-etcd.cp1`. Every script may be run again
 * after it was cut off: it first looks whether it is done (`done`), and undoing what was never done is no error.
 */
export interface Step {
  readonly id: string;
  readonly node: string;
  /** What people read: `Stop etcd`. */
  readonly title: string;
  readonly action: NodeScript | Fetch | Proof;
  /** Exits 0 when the step needs no doing any more; undefined: only its own record can tell. */
  readonly done: string | undefined;
  /** Takes the step back; undefined: nothing to take back. */
  readonly undo: string | undefined;
  readonly deadlineMs: number;
}

export interface Phase {
  readonly name: PhaseName;
  /** What people read: `Stop every kube-apiserver`. */
  readonly title: string;
  /**
   * 'together': all steps side by side. 'in-turn': one after the other in this order. 'last-alone': the last one when all
   * others are done (an etcd that leads and finds its peers gone has nobody to hand over to, which would take 7 s).
   */
  readonly order: 'together' | 'in-turn' | 'last-alone';
  readonly steps: readonly Step[];
}

/** The steps of a phase that are done side by side, one group after the other. */
export function groupsOf({ order, steps }: Pick<Phase, 'order' | 'steps'>): readonly (readonly Step[])[] {
  const groups = {
    together: () => [steps],
    'in-turn': () => steps.map((step) => [step]),
    'last-alone': () => [steps.slice(0, -1), steps.slice(-1)],
  };
  return groups[order]().filter((group) => group.length > 0);
}

export interface PlannedMember {
  readonly node: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  /**
   * uint64 as decimal: what the member's id must be afterwards. Undefined for a member that is added to the running
   * cluster: etcd mixes the time into its id.
   */
  readonly predictedId: string | undefined;
  /** Where this node's old data lie after the swap: absolute paths on the node. */
  readonly oldData: readonly string[];
}

export interface Plan {
  readonly format: typeof PLAN_FORMAT;
  readonly kind: 'restore';
  /** The request's id: names directories on the nodes. */
  readonly request: string;
  readonly cluster: string;
  /** uint64 as decimal, of the live cluster; undefined when no member answers. */
  readonly clusterId: string | undefined;
  /** Decimal ids of the live members, sorted. */
  readonly memberIds: readonly string[];
  readonly mode: RestoreMode;
  readonly snapshot: {
    readonly id: string;
    readonly cluster: string;
    /** ISO time: everything written after it is lost. */
    readonly takenAt: string;
    /** What lies in the store, and how it is made of the snapshot. */
    readonly object: SnapshotRecord['object'];
    readonly encoding: Encoding;
    /** Of the snapshot as etcd gave it. */
    readonly size: number;
    readonly sha256: string;
    /** Decimal. */
    readonly revision: string;
  };
  /** `--initial-cluster-token`: fresh for every restore. */
  readonly token: string;
  /** Decimal; undefined where the version of etcd has no `--bump-revision`. */
  readonly bumpRevision: string | undefined;
  /** sha256 of the cluster's part of the configuration. */
  readonly configVersion: string;
  readonly members: readonly PlannedMember[];
  /** What people must know before they approve, each a full sentence. */
  readonly warnings: readonly string[];
  readonly phases: readonly Phase[];
}

/** JSON with sorted names and no spaces; the same plan always gives the same text. Throws TypeError on what JSON can't hold. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
  }
  const text = typeof value === 'number' && !Number.isFinite(value) ? undefined : JSON.stringify(value);
  if (text === undefined) throw new TypeError(`A plan can't hold ${String(value)}.`);
  return text;
}

/** sha256 over the canonical plan, lower-case hex: what buttons carry and people approve. */
export function planDigest(plan: Plan): string {
  return sha256Of(plan);
}

/** sha256 over the canonical JSON of anything, lower-case hex. */
export function sha256Of(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex');
}
