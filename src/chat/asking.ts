/** Owns what every answer needs: who asks, what their button carried, and what they are told when it goes wrong. */
import { PermissionDenied } from '../commands/deps.ts';
import type { Commands } from '../commands/index.ts';
import { KeyturnError, toProblem } from '../domain/error.ts';
import type { Problem } from '../domain/error.ts';
import { groupsAmong, ROLE_FOR } from '../domain/permission.ts';
import type { Action, Person, RoleHolders } from '../domain/permission.ts';
import type { Clock, Log, PeopleDirectory } from '../ports.ts';
import type { MessageView } from './blocks.ts';
import type { RememberOptions } from './remember.ts';
import type { Screen } from './screen.ts';
import { problemView } from './views/answers.ts';

export interface TalkOptions extends RememberOptions {
  readonly commands: Commands;
  readonly directory: PeopleDirectory;
  readonly people: RoleHolders;
  /** The slash command, e.g. `/etcd`. */
  readonly command: string;
  readonly channels: { readonly results: string };
  readonly screen: Screen;
  readonly clock: Clock;
  readonly log: Log;
  /** A short random id by which an internal error is found in the log. */
  readonly logId: () => string;
}

/** Who speaks, and where, as Slack's payload says. */
export interface Speaker {
  readonly user: string;
  readonly channel: string;
  /** Slack's leave to open one dialog, within three seconds. */
  readonly trigger: string;
}

/**
 * Who acts. What changes something is decided on fresh facts: someone may have left the group a moment ago. `fresh`: also
 * then, or not even then.
 */
export async function actor(
  { people, directory }: TalkOptions,
  user: string,
  action: Action,
  fresh: boolean = ROLE_FOR[action] !== 'anyone',
): Promise<Person> {
  const asked = ROLE_FOR[action] === 'anyone' && action !== 'help' ? [] : groupsAmong(Object.values(people).flat());
  return directory.person(user, asked, fresh);
}

// ── What a button carried ────────────────────────────────────────────────────────────────────────────────────────────

export type CarriedValue = Readonly<Record<string, unknown>>;

/** Undefined when it is no JSON object. */
export function parseValue(json: string): CarriedValue | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as CarriedValue) : undefined;
  } catch {
    return undefined;
  }
}

/** Throws command.invalid when it is not there. */
export function textOf(value: CarriedValue, name: string): string {
  const text = value[name];
  if (typeof text !== 'string') throw gone();
  return text;
}

export function gone(): KeyturnError {
  return new KeyturnError('command.invalid', 'This button does not work any more.', {
    hint: 'It is from an older version of Keyturn. Type the command again.',
  });
}

// ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The error as the one who asked sees it; what they can't use is in the log. */
export function explain(options: TalkOptions, error: unknown, asked: object): MessageView {
  const problem = problemOf(options, error, asked);
  const role = error instanceof PermissionDenied ? error.role : 'anyone';
  return problemView(problem, role === 'anyone' ? [] : options.people[role]);
}

export function problemOf({ log, logId }: TalkOptions, error: unknown, asked: object): Problem {
  const id = logId();
  const problem = toProblem(error, id);
  if (error instanceof KeyturnError) log.info({ ...asked, code: problem.code }, problem.message);
  else log.error({ ...asked, logId: id, err: error }, 'Internal error while answering');
  return problem;
}
