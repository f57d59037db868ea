/** Owns what the commands need of the world, and the two guards that all of them share: permission and patience. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import { groupsAmong, HOLDERS_OF, may, ROLE_FOR } from '../domain/permission.ts';
import type { Action, Person, Role, RoleHolders } from '../domain/permission.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import { within } from '../domain/within.ts';
import type {
  AuditTrail,
  Clock,
  ClusterLease,
  CronCalendar,
  EtcdClient,
  JobQueue,
  Log,
  OneTimeCodes,
  PeopleDirectory,
  Publish,
  RestoreRequests,
  ScrubMemory,
  SnapshotCatalogue,
  SnapshotCoder,
  SnapshotStore,
  StepUpRecords,
} from '../ports.ts';
import type { AuditCopy } from './verify-audit.ts';

export { within };

export interface CommandDeps {
  readonly clusters: readonly ClusterSpec[];
  readonly people: RoleHolders;
  /** The slash command, e.g. `/etcd`. */
  readonly command: string;
  readonly etcd: EtcdClient;
  readonly catalogue: SnapshotCatalogue;
  readonly stores: ReadonlyMap<string, SnapshotStore>;
  readonly queue: JobQueue;
  readonly lease: ClusterLease;
  readonly scrubMemory: Pick<ScrubMemory, 'lastReads'>;
  readonly calendar: CronCalendar;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly log: Log;
  /** A few random hexadecimal digits; makes the ids of two requests of the same millisecond differ. */
  readonly nonce: () => string;
}

/** What the commands around restores need besides. */
export interface RestoreCommandDeps extends CommandDeps {
  readonly coder: Pick<SnapshotCoder, 'obstacle'>;
  readonly requests: RestoreRequests;
  readonly directory: PeopleDirectory;
  readonly stepUp: { readonly records: StepUpRecords; readonly codes: OneTimeCodes };
  readonly audit: Pick<AuditTrail, 'record'>;
  readonly auditCopies: { readonly disk: AuditCopy; readonly store: AuditCopy | undefined };
  /** Tells that a request changed, and has it carried out once it is approved. */
  readonly announce: (request: RestoreRequest) => Promise<void>;
}

/** permission.denied, with the role that was missing, so that people can be told whom to ask. */
export class PermissionDenied extends KeyturnError {
  /** 'anyone': no role would help a bot, a guest or a deactivated user. */
  readonly role: Role;

  constructor(role: Role, message: string, hint: string) {
    super('permission.denied', message, { hint });
    this.role = role;
  }
}

/** Throws PermissionDenied when `actor` may not do `action`. */
export function requirePermission(deps: Pick<CommandDeps, 'people' | 'command'>, actor: Person, action: Action): void {
  if (may(actor, action, deps.people)) return;
  const what = `You may not use "${deps.command} ${action}"`;
  if (actor.isBot || actor.isGuest || actor.isDeactivated) {
    const why = 'bots, guests and deactivated users have no rights here';
    throw new PermissionDenied('anyone', `${what}: ${why}.`, 'Ask a full member of the workspace to do it.');
  }
  const role = ROLE_FOR[action];
  const hint = `Ask one of them, or have yourself added to people.${role} in Keyturn's configuration.`;
  throw new PermissionDenied(role, `${what}: it is for ${HOLDERS_OF[role]} only.`, hint);
}

/** As `requirePermission`, on what the directory says of the person this very moment. */
export async function requireFreshPermission(
  deps: Pick<RestoreCommandDeps, 'people' | 'command' | 'directory'>,
  user: string,
  action: Action,
): Promise<Person> {
  const role = ROLE_FOR[action];
  const groups = role === 'anyone' ? [] : groupsAmong(deps.people[role]);
  const person = await deps.directory.person(user, groups, true);
  requirePermission(deps, person, action);
  return person;
}

/** The configured cluster of that name; throws cluster.unknown. */
export function findCluster(deps: Pick<CommandDeps, 'clusters' | 'command'>, name: string): ClusterSpec {
  const spec = deps.clusters.find((c) => c.name === name);
  if (spec !== undefined) return spec;
  throw new KeyturnError('cluster.unknown', `There is no cluster "${name}" in Keyturn's configuration.`, {
    hint: `See what there is: ${deps.command} clusters`,
  });
}

/** What `work` gives within `ms`; then its signal is aborted and the error of `late` thrown. However it ends, it is aborted. */
export async function withPatience<T>(
  clock: Clock,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  late: () => Error,
): Promise<T> {
  const stop = new AbortController();
  try {
    return await within(clock, ms, work(stop.signal), late);
  } finally {
    stop.abort();
  }
}

/** Wraps a look-up so that calls for the same key at the same time, and for `ms` after, share one answer. */
export function shared<A, T>(
  clock: Clock,
  ms: number,
  keyOf: (argument: A) => string,
  look: (argument: A) => Promise<T>,
): (argument: A) => Promise<T> {
  const answers = new Map<string, { readonly answer: Promise<T>; until: number }>();
  return (argument) => {
    const now = clock.now().getTime();
    for (const [key, { until }] of answers) if (until <= now) answers.delete(key);
    const key = keyOf(argument);
    const known = answers.get(key);
    if (known !== undefined) return known.answer;
    const entry = { answer: look(argument), until: Infinity };
    answers.set(key, entry);
    entry.answer.then(
      () => (entry.until = clock.now().getTime() + ms),
      () => answers.delete(key), // failures are not kept
    );
    return entry.answer;
  };
}

/** `work` for each item, `width` at a time; results in the order of `items`. */
export async function inParallel<A, T>(
  items: readonly A[],
  width: number,
  work: (item: A) => Promise<T>,
): Promise<T[]> {
  const results = new Array<T>(items.length);
  const todo = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of todo) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  return results;
}
