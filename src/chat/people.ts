/** Owns who people are, as Slack says: their rights hang on it, so answers are not kept for long. */
import { KeyturnError } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { Clock, Log, PeopleDirectory } from '../ports.ts';
import { refusalOf } from './slack-error.ts';

/** The part of Slack's Web API that is asked; a WebClient fits. */
export interface PeopleApi {
  readonly users: { info(query: { user: string }): Promise<{ user?: SlackUser }> };
  readonly usergroups: { users: { list(query: { usergroup: string }): Promise<{ users?: string[] }> } };
}

interface SlackUser {
  readonly name?: string;
  readonly real_name?: string;
  readonly deleted?: boolean;
  readonly is_bot?: boolean;
  readonly is_restricted?: boolean;
  readonly is_ultra_restricted?: boolean;
  readonly is_stranger?: boolean;
  readonly profile?: { readonly display_name?: string; readonly real_name?: string };
}

const KEPT_MS = 60_000;
const KEPT_AT_MOST = 5000;
const UNKNOWN_USER = new Set(['user_not_found', 'users_not_found', 'user_not_visible']);
const UNKNOWN_GROUP = new Set(['no_such_subteam', 'subteam_not_found', 'invalid_subteam']);

export function peopleDirectory(options: {
  readonly slack: PeopleApi;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}): PeopleDirectory {
  const { slack, clock, log } = options;
  const userOf = remembering(clock, (user) => askUser(slack, user));
  const membersOf = remembering(clock, (group) => askGroup(slack, log, group));
  return {
    async person(userId, groupIds, fresh) {
      const [user, ...members] = await Promise.all([
        userOf(userId, fresh),
        ...groupIds.map((group) => membersOf(group, fresh)),
      ]);
      return toPerson(
        userId,
        user,
        groupIds.filter((_, i) => members[i]?.includes(userId)),
      );
    },
  };
}

/** An unknown user is told as a deactivated one: no rights. */
function toPerson(id: string, user: SlackUser | undefined, groups: readonly string[]): Person {
  const name = [user?.profile?.display_name, user?.real_name, user?.profile?.real_name, user?.name].find((n) => !!n);
  return {
    id,
    name: name ?? id,
    isBot: user?.is_bot === true || id === 'USLACKBOT',
    isGuest: user?.is_restricted === true || user?.is_ultra_restricted === true || user?.is_stranger === true,
    isDeactivated: user === undefined || user.deleted === true,
    groups,
  };
}

async function askUser(slack: PeopleApi, user: string): Promise<SlackUser | undefined> {
  try {
    return (await slack.users.info({ user })).user;
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal?.kind !== 'rate-limited' && refusal !== undefined && UNKNOWN_USER.has(refusal.reason)) return undefined;
    throw cantAsk(error);
  }
}

async function askGroup(slack: PeopleApi, log: Log, usergroup: string): Promise<readonly string[]> {
  try {
    return (await slack.usergroups.users.list({ usergroup })).users ?? [];
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal?.kind === 'rate-limited' || refusal === undefined || !UNKNOWN_GROUP.has(refusal.reason)) {
      throw cantAsk(error);
    }
    log.warn({ usergroup }, 'A user group of the configuration does not exist in Slack: nobody has rights by it');
    return [];
  }
}

function cantAsk(error: unknown): KeyturnError {
  return new KeyturnError('slack.refused', "Slack did not say who you are, so your rights can't be checked.", {
    hint: 'Try again in a minute. If it stays like this, run "keyturn check": it tests the token and its scopes.',
    cause: error,
  });
}

/** Keeps answers for a minute; those who ask at once share one question. Failures are not kept. */
function remembering<T>(
  clock: Pick<Clock, 'now'>,
  ask: (id: string) => Promise<T>,
): (id: string, fresh: boolean) => Promise<T> {
  const known = new Map<string, { readonly answer: Promise<T>; readonly at: number }>();
  return (id, fresh) => {
    const now = clock.now().getTime();
    const entry = known.get(id);
    if (entry !== undefined && !fresh && now - entry.at < KEPT_MS) return entry.answer;
    const answer = ask(id);
    if (known.size >= KEPT_AT_MOST) known.clear();
    known.set(id, { answer, at: now });
    answer.catch(() => known.delete(id));
    return answer;
  };
}
