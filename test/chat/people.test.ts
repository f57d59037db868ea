/** Who people are, as Slack says. */
import { describe, expect, test } from 'vitest';
import { peopleDirectory } from '../../src/chat/people.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { fakeClock } from '../fakes/clock.ts';
import { silentLog } from './samples.ts';

function refused(error: string): Error {
  return Object.assign(new Error(error), { code: 'slack_webapi_platform_error', data: { error } });
}

function world(users: Record<string, object | Error>, groups: Record<string, string[] | Error> = {}) {
  const clock = fakeClock();
  const calls: string[] = [];
  const give = (what: string, value: unknown): Promise<never> => {
    calls.push(what);
    if (value instanceof Error) return Promise.reject(value);
    return Promise.resolve(value) as Promise<never>;
  };
  const slack = {
    users: {
      info: ({ user }: { user: string }) => {
        const found = users[user] ?? refused('user_not_found');
        return give(user, found instanceof Error ? found : { user: found });
      },
    },
    usergroups: {
      users: {
        list: ({ usergroup }: { usergroup: string }) => {
          const found = groups[usergroup] ?? refused('no_such_subteam');
          return give(usergroup, found instanceof Error ? found : { users: found });
        },
      },
    },
  };
  return { clock, calls, directory: peopleDirectory({ slack, clock, log: silentLog }) };
}

describe('a person', () => {
  test('has a name, and the groups among those asked for', async () => {
    const { directory } = world(
      { U1: { name: 'ada', profile: { display_name: '', real_name: 'Ada Lovelace' } } },
      { S1: ['U1', 'U2'], S2: ['U2'] },
    );
    expect(await directory.person('U1', ['S1', 'S2'], false)).toEqual({
      id: 'U1',
      name: 'Ada Lovelace',
      isBot: false,
      isGuest: false,
      isDeactivated: false,
      groups: ['S1'],
    });
  });

  test.each([
    [{ is_bot: true }, { isBot: true }],
    [{ is_restricted: true }, { isGuest: true }],
    [{ is_ultra_restricted: true }, { isGuest: true }],
    [{ is_stranger: true }, { isGuest: true }],
    [{ deleted: true }, { isDeactivated: true }],
  ])('%j', async (user, expected) => {
    expect(await world({ U1: user }).directory.person('U1', [], false)).toMatchObject(expected);
  });

  test('that Slack does not know has no rights', async () => {
    expect(await world({}).directory.person('U1', [], false)).toMatchObject({ isDeactivated: true, groups: [] });
  });

  test('a group that does not exist gives nobody rights', async () => {
    expect((await world({ U1: {} }).directory.person('U1', ['S1'], false)).groups).toEqual([]);
  });

  test.each([
    ['users.info', { U1: refused('internal_error') }, { S1: ['U1'] }],
    ['usergroups.users.list', { U1: {} }, { S1: refused('missing_scope') }],
  ])('when %s fails nobody is taken for anybody', async (_, users, groups) => {
    const error: unknown = await world(users, groups)
      .directory.person('U1', ['S1'], false)
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(KeyturnError);
    expect(error).toMatchObject({ code: 'slack.refused' });
  });
});

describe('answers are kept for a minute', () => {
  test('and not longer', async () => {
    const { directory, calls, clock } = world({ U1: {} }, { S1: ['U1'] });
    await Promise.all([directory.person('U1', ['S1'], false), directory.person('U1', ['S1'], false)]);
    expect(calls).toEqual(['U1', 'S1']);
    await clock.advance(59_000);
    await directory.person('U1', ['S1'], false);
    expect(calls).toHaveLength(2);
    await clock.advance(1001);
    await directory.person('U1', ['S1'], false);
    expect(calls).toHaveLength(4);
  });

  test('but not when fresh facts are asked for: who left the group a moment ago has left it', async () => {
    const groups = { S1: ['U1'] };
    const { directory } = world({ U1: {} }, groups);
    expect((await directory.person('U1', ['S1'], false)).groups).toEqual(['S1']);
    groups.S1 = [];
    expect((await directory.person('U1', ['S1'], false)).groups).toEqual(['S1']);
    expect((await directory.person('U1', ['S1'], true)).groups).toEqual([]);
    expect((await directory.person('U1', ['S1'], false)).groups).toEqual([]);
  });

  test('failures are not kept', async () => {
    const users: Record<string, object | Error> = { U1: refused('internal_error') };
    const { directory } = world(users);
    await expect(directory.person('U1', [], false)).rejects.toThrow();
    users['U1'] = { name: 'ada' };
    expect((await directory.person('U1', [], false)).name).toBe('ada');
  });
});
