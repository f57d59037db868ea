/** Owns the answer to: what can this program do to the world? Every effect is on this page. */
import type { Duplex, Readable } from 'node:stream';
import type { AuditFact } from './domain/audit.ts';
import type { ClusterSpec, ClusterStatus, EtcdOnNode, MemberStatus, NodeSpec } from './domain/cluster.ts';
import type { KeyturnEvent } from './domain/event.ts';
import type { BackupJob, Job } from './domain/job.ts';
import type { JournalEntry, JournalEvent } from './domain/journal.ts';
import type { Person } from './domain/permission.ts';
import type { Fetch } from './domain/plan.ts';
import type { NodeFacts } from './domain/restore/facts.ts';
import type { RestoreRequest } from './domain/restore-request.ts';
import type { Problem } from './domain/error.ts';
import type { Encoding, SnapshotRecord } from './domain/snapshot.ts';
import type { SnapshotEntry, Stray } from './domain/snapshot-entry.ts';
import type { StepUpRecord } from './domain/step-up.ts';

export interface Clock {
  now(): Date;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** When cron expressions fire; pure, but a library knows it. Both throw config.invalid for a bad expression or zone. */
export interface CronCalendar {
  /** First run strictly after `after`. */
  next(expression: string, timezone: string, after: Date): Date;
  /** Last run at or before `at`. */
  previous(expression: string, timezone: string, at: Date): Date;
}

// ── Stores ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface StoredObject {
  readonly key: string;
  readonly size: number;
  readonly modifiedAt: Date;
}

export interface OpenUpload {
  readonly key: string;
  /** The store's own id of the upload. */
  readonly id: string;
  readonly startedAt: Date;
}

export type StoreKind = 's3' | 'folder' | 'sftp' | 'azure-blob';

/** One upload. Call `write` one at a time, then exactly one of `complete` and `abort`. */
export interface Upload {
  /** Takes a copy of `chunk` before it resolves; resolves when there is room for more. Parts are retried inside. */
  write(chunk: Uint8Array): Promise<void>;
  /** The object is visible only when this resolves. Throws store.*; then call `abort`. */
  complete(): Promise<StoredObject>;
  /** Safe at any time and twice; after it nothing of the upload is left. Throws store.* when the store is away. */
  abort(): Promise<void>;
}

/**
 * A place for snapshots. Every method throws KeyturnError store.*; all but `beginUpload` are safe to call twice.
 * An object that `list`, `read` or `stat` shows is whole: uploads become visible only when completed.
 */
export interface SnapshotStore {
  readonly name: string;
  readonly kind: StoreKind;
  /** Proves that the store can be listed, written and deleted in; leaves nothing behind. One line on what was found. */
  check(signal?: AbortSignal): Promise<string>;
  /** Starts an upload that replaces `key` when completed. */
  beginUpload(key: string, signal: AbortSignal): Promise<Upload>;
  /** Writes a small object at once (manifests). */
  put(key: string, body: Uint8Array): Promise<void>;
  /** The whole object; throws store.not-found. */
  get(key: string): Promise<Uint8Array>;
  /** The object as a stream; throws store.not-found. */
  read(key: string, signal: AbortSignal): Promise<Readable>;
  /** Undefined when there is none. */
  stat(key: string): Promise<StoredObject | undefined>;
  /** Every object whose key starts with `prefix`, in key order. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** No error when there is none. Throws store.locked when the store does not let go of it yet (object lock, immutability). */
  remove(key: string): Promise<void>;
  /**
   * Has the store itself keep the object, whoever wants to remove it, until it is taken off again; safe twice, and taking it
   * off is no error when the object is gone. False when this bucket or container has no such thing, which shows only when it
   * is asked: nothing keeps the object then. Throws store.*. Undefined where no store of this kind has it.
   */
  readonly legalHold?: ((key: string, on: boolean) => Promise<boolean>) | undefined;
  /** Uploads begun under `prefix` and neither completed nor aborted, by whomever. */
  openUploads(prefix: string): AsyncIterable<OpenUpload>;
  /** No error when it is gone already. */
  abortUpload(upload: OpenUpload): Promise<void>;
}

/** A store, or a manifest in it, that could not be read. Words are for people. */
export interface StoreProblem {
  readonly store: string;
  readonly message: string;
  readonly hint: string;
}

/** What is stored: names tell that it is there, manifests what it is. */
export interface SnapshotCatalogue {
  /**
   * What the names of objects tell, newest first. Stores that are away, or silent for long, are named in `problems`, and the
   * rest is still listed. Calls at the same time share one listing. Never throws for one store alone.
   */
  entries(cluster: string): Promise<{
    readonly entries: readonly SnapshotEntry[];
    readonly strays: readonly Stray[];
    /** Other tools' increments, which are no snapshots. */
    readonly increments: number;
    readonly problems: readonly StoreProblem[];
  }>;
  /**
   * The manifest of a snapshot, from the first of its copies that has a good one and that is not damaged. `problems`: what
   * is wrong with the others. Throws store.not-found when no copy has one (always for another tool's that nobody adopted),
   * snapshot.damaged when all were found damaged.
   */
  record(
    entry: SnapshotEntry,
  ): Promise<{ readonly record: SnapshotRecord; readonly problems: readonly StoreProblem[] }>;
}

/** Makes stored objects of snapshots, and snapshots of stored objects. Streams; memory stays flat. */
export interface SnapshotCoder {
  /**
   * How a new snapshot is to be kept, with the recipients that are configured now. Where the compression can't be had it is
   * done without; encryption never is.
   */
  encodingFor(compression: Exclude<Encoding['compression'], 'gzip'>): Encoding;
  /** The bytes of the object. Throws encryption.failed, compression.failed. Reuses no buffer. */
  encode(encoding: Encoding, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * The snapshot again; ends only when all of it was good. Throws snapshot.damaged for bytes that can't be read,
   * encryption.no-identity. Compressed alone, a bit that changes nothing of the snapshot may go unseen: hold the object
   * against its sha256 as well.
   */
  decode(encoding: Encoding, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Why what is encoded like this can't be read here (no identity that fits); undefined when it can. */
  obstacle(encoding: Encoding): Promise<Problem | undefined>;
}

// ── Nodes and etcd ───────────────────────────────────────────────────────────────────────────────────────────────────

/** A remote command that ran; a non-zero exit is a result, not an error. */
export interface ExecResult {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RemoteProcess {
  readonly stdout: Readable;
  /**
   * Resolves when it ended and its stdout was read to the end (stdout there is empty); rejects with ssh.lost,
   * node.sudo-denied, node.command-failed when its time was up, or the signal's reason.
   */
  readonly done: Promise<ExecResult>;
  /** Ends it; safe twice. */
  kill(): void;
}

export interface ExecOptions {
  /** Run as root, as `NodeSpec.become` says. Throws node.sudo-denied with the sudoers line that is missing. */
  readonly asRoot?: boolean;
  /** A stream is read as fast as the command reads; its error ends the command and is thrown. */
  readonly input?: string | Uint8Array | Readable;
  /** Milliseconds, Infinity for none; default 30,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A login on one node. Throws ssh.* and node.*; nothing is left running on the node when it is closed. */
export interface NodeConnection {
  readonly node: NodeSpec;
  /** Runs `argv` (no shell in between; arguments are quoted). */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** Runs `argv` and streams its output with backpressure. */
  spawn(argv: readonly string[], options?: ExecOptions): Promise<RemoteProcess>;
  /**
   * A TCP connection made on the node; when the login is lost it emits ssh.lost as its error. Throws ssh.forward-refused
   * when the node's sshd forbids it, ssh.unreachable when nothing answers there.
   */
  tunnel(host: string, port: number, signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

export interface NodeShell {
  /** Logs in, by way of the node's jump host where it has one. Throws ssh.*. */
  connect(node: NodeSpec, signal?: AbortSignal): Promise<NodeConnection>;
}

/** For whom something is done on a node. A token lower than the highest that this node has seen is refused there. */
export interface RestoreOnNode {
  readonly cluster: string;
  /** The request's id; names the folder on the node. Letters, digits, `.`, `_`, `-`. */
  readonly request: string;
  /** The lease's fencing token. */
  readonly token: number;
}

/** How a step stands on its node, by the node's own record. Times are the node's clock. */
export type StepState =
  | { readonly kind: 'not-started' }
  | { readonly kind: 'running'; readonly startedAt: Date }
  | {
      readonly kind: 'done';
      /** The script's exit code; 128 + n when signal n ended it. */
      readonly code: number;
      /** 'output': it printed too much. */
      readonly endedBy: 'itself' | 'deadline' | 'stop' | 'output';
      readonly startedAt: Date;
      readonly endedAt: Date;
    }
  /** It began, and nobody can tell how it ended; nothing of it runs any more. */
  | { readonly kind: 'vanished'; readonly why: 'rebooted' | 'killed'; readonly startedAt: Date };

export interface StepReport {
  readonly state: StepState;
  /** What it printed (both streams) from `offset` on, at most 256 KiB; the next look goes on at `offset + output.length`. */
  readonly output: Buffer;
  readonly offset: number;
  /** Bytes printed so far. */
  readonly outputSize: number;
}

/**
 * Steps of one restore on one node, as root. Each method throws ssh.*, node.sudo-denied, node.command-failed, lease.lost
 * (the node has seen a higher token), node.disk-full. A step goes on when the connection is lost or the bot dies.
 */
export interface NodeSteps {
  /**
   * Begins the step unless it was ever begun; safe to call any number of times, from several replicas at once. A step that
   * vanished is begun again only under another id. Throws node.step-refused when another step of this cluster runs on the
   * node, or when the step is known with another script. `deadlineMs`: then the node ends its process group. `unless`: a
   * script that only looks; where it exits 0, a step that was never begun is not, and the answer is 'not-started'. Answers
   * after `waitMs` (default 0), or as soon as it has ended.
   */
  start(
    step: string,
    script: string,
    options: {
      readonly deadlineMs: number;
      readonly unless?: string | undefined;
      readonly waitMs?: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<StepReport>;
  /** How it stands; answers after `waitMs` (default 0), or as soon as it has ended or printed beyond `offset` (default 0). */
  look(
    step: string,
    options?: { readonly offset?: number; readonly waitMs?: number; readonly signal?: AbortSignal },
  ): Promise<StepReport>;
  /** Ends its process group (TERM, after 5 s KILL). No error when it does not run; safe twice. */
  stop(step: string): Promise<StepReport>;
  /** Runs a short script to its end and keeps no record of it: for scripts that only look. Not fenced. */
  ask(script: string, options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<ExecResult>;
  /**
   * Puts a file in place: written beside it, size and sha256 checked on the node, then renamed. `bytes` is called only when
   * the file is not there yet. Safe twice; what was cut off starts anew. Also throws etcd.snapshot-corrupt when other bytes
   * arrived, and what `bytes` throws. `onBytes` hears how many were handed on so far.
   */
  fetch(
    file: Pick<Fetch, 'path' | 'size' | 'sha256'>,
    bytes: () => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>,
    options: { readonly signal: AbortSignal; readonly onBytes?: (total: number) => void },
  ): Promise<'fetched' | 'was-there'>;
}

/** Where scripts of plans are run. */
export interface StepRunner {
  on(connection: NodeConnection, restore: RestoreOnNode): NodeSteps;
}

/** The bytes of one snapshot as etcd gave them, trailer included. */
export interface SnapshotStream {
  readonly source: 'stream' | 'etcdctl';
  /** Why it is not 'stream', in words for people. */
  readonly fallbackReason: string | undefined;
  /** Ends only when the source said that all was sent (gRPC status 0); throws etcd.*, ssh.* otherwise. Reuses no buffer. */
  readonly chunks: AsyncIterable<Uint8Array>;
  close(): void;
}

/** A look into one etcd cluster through its nodes; close it. */
export interface EtcdSession {
  /** etcd as found on each node that could be reached. */
  readonly found: readonly EtcdOnNode[];
  /** Nodes that could not be reached or run no etcd, with why. */
  readonly missing: readonly { readonly node: string; readonly message: string; readonly hint: string }[];
  /** Live members; a member that does not answer has a `problem`. */
  status(): Promise<ClusterStatus>;
  /** What a restore must know of each node; `missing` are those that could not be looked at, with those of the session. */
  facts(signal?: AbortSignal): Promise<{
    readonly nodes: readonly NodeFacts[];
    readonly missing: EtcdSession['missing'];
  }>;
  /** etcd's own hash over all keys at this revision (uint32). It takes some 5 s a GiB. Throws etcd.*, ssh.*. */
  hashAt(member: MemberStatus, revision: bigint, signal?: AbortSignal): Promise<number>;
  /** Live keys and the store's revision, by this member. */
  countKeys(member: MemberStatus): Promise<{ readonly keys: bigint; readonly revision: bigint }>;
  openSnapshot(
    member: MemberStatus,
    options: {
      readonly signal: AbortSignal;
      readonly stallTimeoutMs: number;
      readonly rateLimit: number | undefined;
    },
  ): Promise<SnapshotStream>;
  close(): Promise<void>;
}

export interface EtcdClient {
  /** Throws when no node could be reached (the first node's ssh.* error) or none runs etcd (node.etcd-not-found). */
  open(cluster: ClusterSpec, signal?: AbortSignal): Promise<EtcdSession>;
}

/** One look at a kube-apiserver. Words are for people. */
export interface ApiServerLook {
  /** `/readyz` said ok; where nobody may ask that without rights, that it answers is all that is known, and `detail` says so. */
  readonly ready: boolean;
  readonly detail: string;
  /** Undefined where Keyturn has no rights to ask. */
  readonly nodes: { readonly ready: number; readonly total: number } | undefined;
  /** Of kube-system: those that run with all containers ready, of those that are not finished. */
  readonly systemPods: { readonly ready: number; readonly total: number } | undefined;
}

export interface ApiServers {
  /**
   * Asks the kube-apiserver on the node by its tunnel, with the admin's kubeconfig of the node where it has one (read with
   * `ask`, never kept). One that does not answer is a result; throws ssh.*, node.*.
   */
  look(
    connection: NodeConnection,
    options: { readonly port: number; readonly ask: NodeSteps['ask']; readonly signal: AbortSignal },
  ): Promise<ApiServerLook>;
}

// ── Queue, lease, memory ─────────────────────────────────────────────────────────────────────────────────────────────

export interface JobContext {
  /**
   * 1 for the first attempt; attempts that died with their process count. Above `attempts` when the last one died or
   * threw: the handler then only reports how it ended, and answers 'done'.
   */
  readonly attempt: number;
  readonly attempts: number;
  /** Aborted when the process is to stop or the job's lock is lost. */
  readonly signal: AbortSignal;
  /** What earlier attempts of this job remembered with `remember`, oldest first. */
  readonly remembered: readonly string[];
  /** Kept with the job in Redis before it resolves; survives kill -9. */
  remember(value: string): Promise<void>;
}

/**
 * What a handler answers: done, or try again later. A thrown error counts as 'again' (with backoff), and after the last
 * attempt the handler is called to report; thrown because the worker was told to stop it costs no attempt, and another
 * takes the job up at once.
 */
export type JobHandler = (job: Job, context: JobContext) => Promise<JobResult>;
export type JobResult =
  | { readonly kind: 'done' }
  /** Not now (the cluster is busy): again after `afterMs`; costs no attempt. */
  | { readonly kind: 'later'; readonly afterMs: number }
  /** Failed: again after `afterMs`, costs an attempt. */
  | { readonly kind: 'again'; readonly afterMs: number };

export interface JobQueue {
  /** Adds once: a second job of the same id is not added, as long as the first is remembered (days). */
  add(job: Job, options: { readonly attempts: number }): Promise<'added' | 'known'>;
  /** The backup of this cluster that waits or runs. */
  pendingBackup(cluster: string): Promise<BackupJob | undefined>;
  /**
   * Starts working; several processes may. Each lane (domain/lane.ts) has slots of its own: jobs of different lanes never
   * wait for each other, those of one lane run side by side, up to `concurrency`.
   */
  work(handler: JobHandler, options: { readonly concurrency: number }): Promise<Worker>;
  /** Throws queue.unavailable. */
  check(): Promise<string>;
  close(): Promise<void>;
}

export interface Worker {
  /** Aborts running jobs' signals, waits for them up to `graceMs`; what does not end is taken up by another worker. */
  stop(graceMs: number): Promise<void>;
}

/** Remembers the newest scheduled run that was queued for each cluster; never goes back. */
export interface TickMemory {
  lastQueuedRun(cluster: string): Promise<Date | undefined>;
  setLastQueuedRun(cluster: string, run: Date): Promise<void>;
}

/**
 * What is known of the reading of stored copies. It may be lost: then copies are read again, and damage is told of again.
 * Throws queue.unavailable. Every method is safe to call twice.
 */
export interface ScrubMemory {
  /** When copies of this cluster were last read, by a name that the caller gives each. */
  lastReads(cluster: string): Promise<ReadonlyMap<string, Date>>;
  /** Never goes back. */
  setRead(cluster: string, copy: string, at: Date): Promise<void>;
  /** Copies that are not there any more. */
  forget(cluster: string, copies: readonly string[]): Promise<void>;
  /** Under which operation a thing was told to people; undefined: it was not. */
  told(what: string): Promise<string | undefined>;
  /** Undefined: it is over, and would be told again. */
  setTold(what: string, operation: string | undefined): Promise<void>;
}

export interface Operation {
  readonly id: string;
  readonly kind: Job['kind'];
  readonly cluster: string;
  readonly startedAt: string;
}

export interface Lease {
  /** Grows with every lease of this cluster; goes into names so that a late writer can't overwrite. */
  readonly token: number;
  /** Aborted with lease.lost when it could not be renewed in time. */
  readonly lost: AbortSignal;
  /** Safe twice. */
  release(): Promise<void>;
}

/** One operation a cluster at a time, among all replicas. */
export interface ClusterLease {
  /** The lease, or who has it. The same operation takes its own lease over only once it has run out. */
  acquire(operation: Operation): Promise<Lease | { readonly heldBy: Operation }>;
  current(cluster: string): Promise<Operation | undefined>;
}

/**
 * What was begun and ended in a restore, append-only; any replica can read it and go on. Throws queue.unavailable, and
 * lease.lost for a token lower than the highest that this restore has seen.
 */
export interface RestoreJournal {
  /** Makes this token the highest, so that nobody with a lower one appends any more; answers all that was appended. Safe twice. */
  takeOver(request: string, token: number): Promise<readonly JournalEntry[]>;
  /** Resolves when it is kept. Not safe twice: it is appended twice. */
  append(request: string, token: number, event: JournalEvent): Promise<void>;
  /** Everything so far, oldest first; empty for an unknown restore. */
  read(request: string): Promise<readonly JournalEntry[]>;
}

/** What must be kept for good, before anybody is told. */
export interface AuditTrail {
  /** Resolves when `fact` is on disk; throws audit.failed. JSON; a retry after an error may leave it there twice. */
  record(fact: AuditFact): Promise<void>;
  /** Resolves when everything recorded so far is also in the store; throws store.*. Safe twice. */
  seal(): Promise<void>;
  close(): Promise<void>;
}

// ── Approvals ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Restore requests, kept for 400 days after their end; all replicas see the same. Throws queue.unavailable. */
export interface RestoreRequests {
  /**
   * Keeps a new request (version 1), unless its cluster has an open one: then the id of that one. An id is taken once,
   * whatever became of it. Safe to call twice with the same request.
   */
  create(
    request: RestoreRequest,
  ): Promise<{ readonly kind: 'created' } | { readonly kind: 'taken'; readonly by: string }>;
  read(id: string): Promise<RestoreRequest | undefined>;
  /**
   * Keeps `next` when the request stands at the version before it and is still open; false otherwise. One that `next`
   * ends makes room for another of its cluster. A call whose answer was lost is repeated inside and succeeds once.
   */
  compareAndSet(next: RestoreRequest): Promise<boolean>;
  /** Every request that something can still become of, oldest first. */
  open(): Promise<readonly RestoreRequest[]>;
  /** The open one and those that ended, newest first, `most` at most. */
  byCluster(cluster: string, most: number): Promise<readonly RestoreRequest[]>;
  /** Those whose newest version was made and not marked as told: whoever made it may have died before telling anyone. */
  untold(): Promise<readonly RestoreRequest[]>;
  /** Nothing happens when the request has changed since. Safe twice. */
  markTold(request: Pick<RestoreRequest, 'id' | 'version'>): Promise<void>;
}

/** What is known of each person's one-time codes. Throws queue.unavailable. */
export interface StepUpRecords {
  read(user: string): Promise<StepUpRecord | undefined>;
  /** Keeps `next` when the stored record has the version before it (0: none); false otherwise. Never forgotten. */
  compareAndSet(next: StepUpRecord): Promise<boolean>;
}

/** Secrets of one-time codes (RFC 6238) and what they say; secrets leave it sealed, and in the clear only once. */
export interface OneTimeCodes {
  /** A new secret for `user`, whom the authenticator will show as `label`. `secret` and `uri` are to be shown once. */
  newSecret(user: string, label: string): { readonly sealed: string; readonly secret: string; readonly uri: string };
  /**
   * The time step (30 s since 1970) whose code this is, among the present one and its two neighbours; undefined when it
   * fits none. Throws step-up.sealed when the secret was sealed for another user or with another key.
   */
  stepOf(user: string, sealed: string, code: string, now: Date): number | undefined;
}

// ── Telling people ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Hands an event on. Resolves when it can't be lost any more; never throws for Slack being away. */
export type Publish = (event: KeyturnEvent) => Promise<void>;

/** A message as it should be, and as Slack has it. One an object (an operation), edited through its life. */
export interface MessageRecord {
  readonly key: string;
  /** JSON state that a view renders; folded from events. */
  readonly state: unknown;
  /** Grows with each change of `state`. */
  readonly version: number;
  /** Where it stands in Slack and which version is there. */
  readonly sent: { readonly channel: string; readonly ts: string; readonly version: number } | undefined;
  /** Set before the first post, so that a crash between post and memory is looked into, not posted twice. */
  readonly postingSince: string | undefined;
}

export interface SentMessages {
  read(key: string): Promise<MessageRecord | undefined>;
  /** Compare-and-set; false when the stored version is not `expectedVersion` (0: none). */
  changeState(key: string, state: unknown, expectedVersion: number): Promise<boolean>;
  markPosting(key: string, since: Date): Promise<void>;
  /** Also ends `postingSince`. */
  markSent(key: string, sent: NonNullable<MessageRecord['sent']>): Promise<void>;
}

/** The queue of messages to deliver; in order, kept while Slack is away. */
export interface Outbox {
  /** Asks for the newest state of `key` to be delivered; asking twice before it happened is one delivery. */
  enqueue(key: string): Promise<void>;
  /**
   * `pauseMs`: nothing is delivered for so long, then this message again, first. A handler that throws is called again
   * for this key with backoff, while others go on. One delivery at a time among all replicas: `stillOurs` is false once
   * another replica may have taken this one over (the process hung for long), and then nothing may be sent any more.
   */
  deliver(
    handler: (key: string, stillOurs: () => boolean) => Promise<'delivered' | { readonly pauseMs: number }>,
  ): Promise<Worker>;
  close(): Promise<void>;
}

/** Who people are, asked of Slack. */
export interface PeopleDirectory {
  /** Groups are resolved among `groupIds`. `fresh`: not from a cache. Throws slack.refused. */
  person(userId: string, groupIds: readonly string[], fresh: boolean): Promise<Person>;
}

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
