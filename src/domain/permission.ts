/** Owns who may do what, as a table that command, button and help all consult. */

/**
 * What a person can ask for. `withdraw`, `cancel` and `decide` mean the requests of others: one's own can always be taken back.
 * `prune`: the word that retention waits for before it removes much at once.
 * Whose approval counts for a request is frozen into it; `approve` says whom the configuration has in mind.
 */
export type Action =
  | 'help'
  | 'clusters'
  | 'status'
  | 'snapshots'
  | 'verify'
  | 'hold'
  | 'release'
  | 'backup'
  | 'approvals'
  | 'restore'
  | 'runbook'
  | 'audit'
  | 'cleanup'
  | 'retention'
  | 'prune'
  | 'enrol'
  | 'approve'
  | 'withdraw'
  | 'cancel'
  | 'decide';

/** The groups of `people` in the configuration; 'anyone' is every full member of the workspace. */
export type Role = 'anyone' | 'request' | 'approve' | 'operate';

export const ROLE_FOR: Readonly<Record<Action, Role>> = {
  help: 'anyone',
  clusters: 'anyone',
  status: 'anyone',
  snapshots: 'anyone',
  verify: 'operate',
  hold: 'operate',
  release: 'operate',
  backup: 'operate',
  approvals: 'anyone',
  restore: 'request',
  runbook: 'anyone',
  audit: 'anyone',
  cleanup: 'operate',
  retention: 'anyone',
  prune: 'operate',
  enrol: 'approve',
  approve: 'approve',
  withdraw: 'operate',
  cancel: 'operate',
  decide: 'operate',
};

/** What the holders of a role are called. */
export const HOLDERS_OF: Readonly<Record<Role, string>> = {
  anyone: 'full members of the workspace',
  request: 'requesters',
  approve: 'approvers',
  operate: 'operators',
};

/** Slack user ids (`U…`, `W…`) and user group ids (`S…`) that have a role. */
export type RoleHolders = Readonly<Record<Exclude<Role, 'anyone'>, readonly string[]>>;

/** What the directory says of a person. */
export interface Person {
  readonly id: string;
  readonly name: string;
  readonly isBot: boolean;
  readonly isGuest: boolean;
  readonly isDeactivated: boolean;
  /** Ids of the user groups among those asked for that the person is in now. */
  readonly groups: readonly string[];
}

/** The user groups among holders, each once: those in which the directory looks for a person. */
export function groupsAmong(ids: readonly string[]): readonly string[] {
  return [...new Set(ids.filter((id) => id.startsWith('S')))];
}

/** Bots, guests and deactivated users may do nothing; everyone else what their role allows. */
export function may(person: Person, action: Action, holders: RoleHolders): boolean {
  if (person.isBot || person.isGuest || person.isDeactivated) return false;
  const role = ROLE_FOR[action];
  if (role === 'anyone') return true;
  return holders[role].some((id) => id === person.id || person.groups.includes(id));
}
