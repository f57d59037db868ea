/** Owns what help says: every command, and whether the one who asks may use it. */
import { may, ROLE_FOR } from '../domain/permission.ts';
import type { Action, Person, Role } from '../domain/permission.ts';
import type { CommandDeps } from './deps.ts';
import { COMMAND_WORDS, usage } from './parse.ts';

export interface HelpReport {
  readonly command: string;
  readonly entries: readonly {
    readonly action: Action;
    readonly usage: string;
    readonly summary: string;
    readonly role: Role;
    readonly allowed: boolean;
  }[];
  /** A few names to try the commands with. */
  readonly clusters: readonly string[];
}

/** Help is for everyone, also for those who may do nothing: it tells them so. */
export function showHelp(deps: Pick<CommandDeps, 'people' | 'command' | 'clusters'>, actor: Person): HelpReport {
  return {
    command: deps.command,
    entries: COMMAND_WORDS.map((word) => ({
      action: word.action,
      usage: usage(word, deps.command),
      summary: word.summary,
      role: ROLE_FOR[word.action],
      allowed: word.action === 'help' || may(actor, word.action, deps.people),
    })),
    clusters: deps.clusters.slice(0, 5).map((c) => c.name),
  };
}
