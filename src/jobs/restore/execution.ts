/** Owns what the parts of one restore share while it runs. */
import type { ClusterSpec } from '../../domain/cluster.ts';
import type { Plan } from '../../domain/plan.ts';
import type { RestoreDeps } from './deps.ts';
import type { Nodes } from './nodes.ts';
import type { RestoreRecord } from './record.ts';

/** One restore, as it is carried out by this worker under its lease. */
export interface Execution {
  readonly deps: RestoreDeps;
  readonly spec: ClusterSpec;
  readonly request: string;
  readonly plan: Plan;
  readonly record: RestoreRecord;
  readonly nodes: Nodes;
  /** Aborted when the process stops, the lease is lost, or one of the steps side by side can't go on. */
  readonly signal: AbortSignal;
  /** Ends all steps that are watched side by side. */
  readonly halt: AbortController;
}
