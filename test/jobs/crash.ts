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

/** Dies at chance number `at` (from 1): each effect has one before it, and one between its happening and its answer. */
export function mortal(deps: RestoreDeps, at: number): Mortal {
  let chances = 0;
  let isDead = false;
  const chance = (): void => {
    chances += 1;
    if (chances === at) isDead = true;
    if (isDead) throw new Killed('killed');
  };
  const one = <F extends Call>(call: F): F =>
    (async (...args: Parameters<F>) => {
      chance();
      const answer = await call(...args);
      chance();
      return answer;
    }) as unknown as F;
  /** Its methods, each as an effect; what is no function stays. */
  const each = <T extends object>(target: T): T =>
    Object.fromEntries(
      Object.entries(target).map(([name, member]) => [name, typeof member === 'function' ? one(member as Call) : member]),
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
      publish: one(deps.publish),
      announce: one(deps.announce),
      shell: each({ connect: deps.shell.connect.bind(deps.shell) }),
      steps: { on: (...args) => each<NodeSteps>(deps.steps.on(...args)) },
      etcd: { open: one(deps.etcd.open) },
      apiServers: each(deps.apiServers),
      lease: {
        current: one(deps.lease.current),
        acquire: async (operation) => {
          chance();
          const lease = await deps.lease.acquire(operation);
          chance();
          return 'heldBy' in lease ? lease : { ...lease, release: one(lease.release) };
        },
      },
    },
  };
}
