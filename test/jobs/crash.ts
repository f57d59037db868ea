/** A worker that dies: after so many of its effects nothing that it does reaches the world any more. */
import type { RestoreDeps } from '../../src/jobs/restore/deps.ts';
import type { NodeSteps } from '../../src/ports.ts';

export class Killed extends Error {}

export interface Mortal {
  readonly deps: RestoreDeps;
  /** How often it could have died so far. */
  readonly chances: number;
  readonly isDead: boolean;
}

type Call = (...args: never[]) => unknown;

/** What changes something; to die between two looks is to die before the next change. */
const LOOKS = new Set(['read', 'open', 'untold', 'byCluster', 'look', 'ask', 'connect', 'current']);

/** Dies at chance number `at` (from 1): each effect has one before it, and one between its happening and its answer. */
export function mortal(deps: RestoreDeps, at: number): Mortal {
  let chances = 0;
  let isDead = false;
  const chance = (counts: boolean): void => {
    if (counts) chances += 1;
    if (counts && chances === at) isDead = true;
    if (isDead) throw new Killed('killed');
  };
  const one = <F extends Call>(call: F, counts = true): F =>
    (async (...args: Parameters<F>) => {
      chance(counts);
      const answer = await call(...args);
      chance(counts);
      return answer;
    }) as unknown as F;
  /** Its methods, each as an effect or a look; what is no function stays. */
  const each = <T extends object>(target: T): T =>
    Object.fromEntries(
      Object.entries(target).map(([name, member]) => [
        name,
        typeof member === 'function' ? one(member as Call, !LOOKS.has(name)) : member,
      ]),
    ) as T;

  return {
    get chances() {
      return chances;
    },
    get isDead() {
      return isDead;
    },
    deps: {
      ...deps,
      requests: each(deps.requests),
      journal: each(deps.journal),
      publish: one((event) => deps.publish(event)),
      announce: one((request) => deps.announce(request)),
      shell: { connect: one((...args) => deps.shell.connect(...args), false) },
      steps: { on: (...args) => each<NodeSteps>(deps.steps.on(...args)) },
      etcd: { open: one((...args) => deps.etcd.open(...args), false) },
      apiServers: each(deps.apiServers),
      lease: {
        current: one((cluster) => deps.lease.current(cluster), false),
        acquire: async (operation) => {
          chance(true);
          const lease = await deps.lease.acquire(operation);
          chance(true);
          return 'heldBy' in lease ? lease : { ...lease, release: one(() => lease.release()) };
        },
      },
    },
  };
}
