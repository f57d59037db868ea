/** Owns what is told when a restore has ended: how, how long everything took, what was proven, where old data lie. */
import type { PhaseName } from './plan.ts';

export interface RestoreReport {
  /** 'undone': before the data were swapped, nothing was changed; 'failed': neither old nor new are known to serve. */
  readonly outcome: 'restored' | 'undone' | 'rolled-back' | 'failed';
  /** Why it is not 'restored', a full sentence and what to do. */
  readonly reason: string | undefined;
  /** ISO times. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** Each phase that was begun, in its order; a phase that was cut off has no end. */
  readonly phases: readonly {
    readonly name: PhaseName;
    readonly title: string;
    readonly startedAt: string;
    readonly endedAt: string | undefined;
  }[];
  /** From the first kube-apiserver's stop until one was seen to serve again; where there is none, etcd's. Milliseconds. */
  readonly downtimeMs: number | undefined;
  /** From the begin of the execution until all was proven. Milliseconds. */
  readonly recoveryMs: number | undefined;
  /** What was seen to hold, each a full sentence. */
  readonly verified: readonly string[];
  /** What is not as it should be, though the restore stands, each a full sentence. */
  readonly warnings: readonly string[];
  /** Absolute paths on the nodes. */
  readonly oldData: readonly { readonly node: string; readonly paths: readonly string[] }[];
}
