/**
 * Owns the one error type that people see: what happened, where, and what to do next.
 * Anything else that is thrown is a bug and is shown as "internal error" with a log id.
 */

/** Stable codes: tests, metrics and retry decisions use these, never the text. */
export type ErrorCode =
  | 'config.invalid'
  | 'cluster.unknown'
  | 'cluster.busy'
  | 'permission.denied'
  | 'command.unknown'
  | 'command.invalid'
  | 'ssh.unreachable' // TCP or SSH handshake did not come about, or nothing listens where a tunnel should end
  | 'ssh.host-key' // unknown or changed host key
  | 'ssh.algorithms' // no algorithm that both sides know, or that is allowed
  | 'ssh.auth' // the server refused our key, agent or password
  | 'ssh.lost' // an established connection broke
  | 'ssh.forward-refused' // AllowTcpForwarding no
  | 'node.command-failed' // a command on the node could not be run (not: ran and exited non-zero)
  | 'node.sudo-denied'
  | 'node.step-refused' // the node does not begin a step: another runs, or it knows the step with another script
  | 'node.disk-full'
  | 'node.etcd-not-found' // no etcd process and no manifest or unit that starts one
  | 'etcd.unreachable'
  | 'etcd.tls' // certificate expired, wrong CA, wrong name
  | 'etcd.auth' // client certificate refused, or user/role refused
  | 'etcd.no-leader'
  | 'etcd.no-member' // no member fit to be read (all learners, lagging or down)
  | 'etcd.stalled' // no byte for the stall timeout
  | 'etcd.stream-broken' // the stream ended early or with a gRPC status other than 0
  | 'etcd.snapshot-corrupt' // sha256 trailer, size or magic does not fit
  | 'store.unreachable'
  | 'store.credentials'
  | 'store.not-found' // no such bucket, folder or object
  | 'store.full'
  | 'store.refused' // any other final refusal by the store
  | 'store.corrupt' // what was read back is not what was written
  | 'store.locked' // the store does not let go of an object: object lock, legal hold, immutability
  | 'snapshot.unknown' // no snapshot of that name
  | 'snapshot.damaged' // a stored copy, or its manifest, is not what was written; another read gives the same
  | 'compression.failed'
  | 'encryption.failed'
  | 'encryption.no-identity' // none of the configured identities opens it
  | 'retention.not-now' // what was confirmed is not what would be removed now
  | 'queue.unavailable'
  | 'lease.lost' // someone else may hold the cluster now; stop at once
  | 'plan.node-missing' // a member of the cluster was not reached, or runs on a node that is not configured
  | 'plan.no-tool' // no etcdctl or etcdutl of the right version on a node
  | 'plan.no-space'
  | 'plan.foreign-snapshot' // a snapshot of another cluster, and nobody confirmed that it is meant
  | 'plan.unsupported' // no plan can be made for how the cluster is laid out
  | 'job.timeout' // total time limit of the operation
  | 'job.interrupted' // the process was told to stop, or was killed
  | 'slack.refused'
  | 'request.unknown' // no restore request of that id (any more)
  | 'request.invalid' // a restore request that can't be made like this
  | 'request.open-already' // the cluster has an open restore request
  | 'request.not-now' // the state of the request does not allow it
  | 'request.expired'
  | 'request.void' // the plan no longer fits the cluster, or is not the one that was approved
  | 'request.other-plan' // the digest that was sent is not the request's
  | 'request.contended' // others changed the request under every attempt to change it
  | 'review.not-counted' // this person's review does not count
  | 'review.already' // this person has approved, or has nothing to take back
  | 'review.code-needed' // an approval here wants a one-time code
  | 'step-up.not-enrolled'
  | 'step-up.wrong-code'
  | 'step-up.used-code' // the code, or a newer one, was accepted before
  | 'step-up.locked' // too many wrong codes in a row
  | 'step-up.not-now' // enrolling is not possible as things stand
  | 'step-up.sealed' // a stored secret can't be opened with the configured key
  | 'audit.failed' // an entry could not be kept: nothing may go on that it would have told of
  | 'internal';

/** The JSON form of an error, as events, messages and the queue carry it. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export class KeyturnError extends Error {
  override readonly name = 'KeyturnError';
  readonly code: ErrorCode;
  /** What to do next, as an imperative sentence; never empty. */
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint: string; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** Anything thrown, as people may see it: unknown errors keep their text for the log only. */
export function toProblem(error: unknown, logId: string): Problem {
  if (error instanceof KeyturnError) return { code: error.code, message: error.message, hint: error.hint };
  return { code: 'internal', message: 'Internal error.', hint: `Look for "${logId}" in Keyturn's log.` };
}
