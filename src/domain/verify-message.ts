/** Owns what the one message of a verification says through its life: events folded into a state that a view renders. */
import type { VerifyEvent } from './copy-event.ts';
import type { CheckedCopy } from './copy-verdict.ts';
import type { Problem } from './error.ts';
import type { Origin } from './job.ts';

export type VerifyPhase =
  | { readonly kind: 'queued' }
  | {
      readonly kind: 'reading';
      readonly takenAt: string;
      readonly copies: readonly { readonly store: string; readonly size: number }[];
      /** Which copy is read, and how far. */
      readonly now: { readonly store: string; readonly bytes: number } | undefined;
    }
  | { readonly kind: 'ended'; readonly copies: readonly CheckedCopy[]; readonly adoptedAs: string | undefined }
  | { readonly kind: 'failed'; readonly problem: Problem };

/** JSON, so that it can be kept anywhere. */
export interface VerifyMessage {
  readonly kind: 'verify';
  readonly operation: string;
  readonly cluster: string;
  readonly snapshot: string;
  /** Undefined when the first events were lost. */
  readonly origin: Origin | undefined;
  readonly phase: VerifyPhase;
  /** ISO time of the newest event folded in. */
  readonly at: string;
}

const RANK: Readonly<Record<VerifyPhase['kind'], number>> = { queued: 0, reading: 1, ended: 2, failed: 2 };

/** The message after `event`; `before` itself when that changes nothing: seen already, or overtaken by a later one. */
export function foldVerify(before: VerifyMessage | undefined, event: VerifyEvent): VerifyMessage | undefined {
  const phase = phaseOf(before, event);
  if (phase === undefined || (before !== undefined && !isNews(before, phase, event.at))) return before;
  const { operation, cluster, snapshot, at } = event;
  const origin = ('origin' in event ? event.origin : undefined) ?? before?.origin;
  return { kind: 'verify', operation, cluster, snapshot, origin, phase, at };
}

/** A worker that takes the reading up anew begins it again; what has ended stays so. */
function isNews(before: VerifyMessage, { kind }: VerifyPhase, at: string): boolean {
  const [old, now] = [RANK[before.phase.kind], RANK[kind]];
  return now > old || (now === old && kind === 'reading' && at > before.at);
}

function phaseOf(before: VerifyMessage | undefined, event: VerifyEvent): VerifyPhase | undefined {
  switch (event.type) {
    case 'verify.queued':
      return { kind: 'queued' };
    case 'verify.started':
      return { kind: 'reading', takenAt: event.takenAt, copies: event.copies, now: undefined };
    case 'verify.progress':
      return before?.phase.kind === 'reading'
        ? { ...before.phase, now: { store: event.store, bytes: event.bytes } }
        : undefined;
    case 'verify.ended':
      return { kind: 'ended', copies: event.copies, adoptedAs: event.adoptedAs };
    case 'verify.failed':
      return { kind: 'failed', problem: event.problem };
  }
}
