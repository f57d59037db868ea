/** The world of approvals in memory: requests, people whose rights change, codes, and what was announced. */
import type { Person, RoleHolders } from '../../src/domain/permission.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { silentLog } from '../chat/samples.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeRestoreRequests } from '../fakes/restore-requests.ts';
import { fakeCodes, fakeStepUpRecords } from '../fakes/step-up.ts';
import { alice, APPROVERS, bob, carol, NOW, outsider, request, requester, somebody } from './requests.ts';

export const operator = somebody('U0OPS', { groups: ['S0OPS'] });
export const bot = somebody('U0BOT', { isBot: true, groups: [APPROVERS] });

export function approvalsWorld() {
  const members = new Map([requester, alice, bob, carol, outsider, operator, bot].map((who) => [who.id, who]));
  const announced: string[] = [];
  const looks: { readonly user: string; readonly fresh: boolean }[] = [];
  const codes = fakeCodes();
  const people: RoleHolders = { request: [], approve: [APPROVERS], operate: ['S0OPS'] };
  const requests = fakeRestoreRequests();
  const clock = fakeClock(NOW.toISOString());
  return {
    requests,
    clock,
    codes,
    people,
    announced,
    looks,
    log: silentLog,
    stepUp: { records: fakeStepUpRecords(), codes },
    announce: async (changed: RestoreRequest): Promise<void> => {
      announced.push(`${changed.version} ${changed.history.at(-1)?.action ?? ''} ${changed.state}`);
    },
    /** Groups count only among those asked for, as in Slack's own answer; unknown users are as deactivated. */
    directory: {
      async person(user: string, groupIds: readonly string[], fresh: boolean): Promise<Person> {
        looks.push({ user, fresh });
        const known = members.get(user) ?? somebody(user, { isDeactivated: true });
        return { ...known, groups: known.groups.filter((id) => groupIds.includes(id)) };
      },
    },
    /** From now on the directory says this of the person. */
    becomes(person: Person, change: Partial<Person>): void {
      members.set(person.id, { ...person, ...change });
    },
    async opened(change: Parameters<typeof request>[0] = {}): Promise<RestoreRequest> {
      const made = request(change);
      await requests.create(made);
      await requests.markTold(made);
      return made;
    },
  };
}

export type ApprovalsWorld = ReturnType<typeof approvalsWorld>;
