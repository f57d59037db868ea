/** Owns what can be asked of one member of etcd on its own node, whichever way there is to it. */
import type { MemberAnswer, StatusAnswer } from '../../domain/etcd-commands.ts';
import type { SnapshotStream } from '../../ports.ts';

export interface SnapshotOptions {
  readonly signal: AbortSignal;
  readonly stallTimeoutMs: number;
  readonly rateLimit: number | undefined;
}

export interface HashOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Every method throws etcd.*, ssh.*, or the signal's reason; `close` ends all. */
export interface Member {
  status(): Promise<StatusAnswer>;
  memberList(): Promise<readonly MemberAnswer[]>;
  countKeys(): Promise<{ readonly keys: bigint; readonly revision: bigint }>;
  /** etcd's hash over all keys up to this revision, a uint32. */
  hashAt(revision: bigint, options: HashOptions): Promise<number>;
  openSnapshot(options: SnapshotOptions): Promise<SnapshotStream>;
  close(): void;
}
