/** What tests do to a restore while it runs: scripts that fail, people who decide, and what is to be seen of it afterwards. */
import { KeyturnError } from '../../src/domain/error.ts';
import { decide } from '../../src/domain/restore-execution.ts';
import type { Decision } from '../../src/domain/restore-request.ts';
import { changeRequest } from '../../src/restore/change-request.ts';
import { alice } from '../support/requests.ts';
import type { Meddle, RestoreWorld } from './restore-world.ts';

export const LOST = new KeyturnError('ssh.lost', 'The connection broke.', { hint: 'Look at the network.' });

export function data(world: RestoreWorld): readonly string[] {
  return [...world.machines.values()].map(
    (machine) => `${machine.data}${machine.etcd ? '' : ' etcd down'}${machine.api ? '' : ' api down'}`,
  );
}

/** A script on a node fails, without having done anything, the first `times` times. */
export function failing(node: string, verb: Parameters<Meddle>[1], times = Infinity): Meddle {
  let left = times;
  return (on, what) => {
    if (on !== node || what !== verb || left <= 0) return undefined;
    left -= 1;
    return { code: 3, output: 'it is\nno good\n' };
  };
}

/** Once, when a script is begun on a node. */
export function when(node: string, verb: Parameters<Meddle>[1], act: () => void): Meddle {
  let isDone = false;
  return (on, what) => {
    if (on === node && what === verb && !isDone) {
      isDone = true;
      act();
    }
    return undefined;
  };
}

export async function decideOn(world: RestoreWorld, what: Decision): Promise<void> {
  await changeRequest(world.deps, 'r1', async (request, now) =>
    decide(request, { person: alice, permitted: false, what, now }),
  );
}

/** Someone decides as soon as it waits, in this order. */
export function deciding(world: RestoreWorld, ...decisions: readonly Decision[]) {
  const left = [...decisions];
  const requests: RestoreWorld['requests'] = {
    ...world.requests,
    async read(id) {
      const request = await world.requests.read(id);
      const next = request?.waiting === undefined ? undefined : left.shift();
      if (next === undefined) return request;
      await decideOn(world, next);
      return world.requests.read(id);
    },
  };
  return { requests };
}

export function turns(world: RestoreWorld): readonly string[] {
  return world.restoreEvents().flatMap((event) => (event.type === 'restore.turned' ? [event.to] : []));
}
