/** A worker of jobs on stored copies that dies: after so many of its effects nothing that it does reaches the world any more. */
import type { CopyDeps } from '../../src/jobs/verify/deps.ts';
import type { JobContext, SnapshotStore, Upload } from '../../src/ports.ts';
import { Killed } from './crash.ts';
import type { CopiesWorld } from './copies-world.ts';

type Call = (...args: never[]) => unknown;

const EFFECTS = new Set([
  'put',
  'remove',
  'setRead',
  'forget',
  'setTold',
  'add',
  'write',
  'complete',
  'abort',
  'remember',
]);

/** Dies at chance number `at` (from 1): each effect has one before it, and one between its happening and its answer. */
export function doomed(world: CopiesWorld, context: JobContext, at: number) {
  let chances = 0;
  const chance = (counts: boolean): void => {
    if (counts) chances += 1;
    if (chances >= at) throw new Killed('killed');
  };
  const one = <F extends Call>(call: F, counts: boolean): F =>
    (async (...args: Parameters<F>) => {
      chance(counts);
      const answer = await call(...args);
      chance(counts);
      return answer;
    }) as unknown as F;
  const each = <T extends object>(target: T): T =>
    Object.fromEntries(
      Object.entries(target).map(([name, member]) => [
        name,
        typeof member === 'function' && name !== 'list' && name !== 'openUploads'
          ? one(member as Call, EFFECTS.has(name))
          : member,
      ]),
    ) as T;
  const store = (target: SnapshotStore): SnapshotStore => ({
    ...each(target),
    async beginUpload(key, signal): Promise<Upload> {
      chance(true);
      const upload = await target.beginUpload(key, signal);
      chance(true);
      return each(upload);
    },
  });
  const deps: CopyDeps = {
    ...world.deps,
    stores: new Map([...world.deps.stores].map(([name, target]) => [name, store(target)])),
    scrubMemory: each(world.deps.scrubMemory),
    queue: each(world.deps.queue),
    publish: one(world.deps.publish, true),
  };
  return {
    deps,
    context: { ...context, remember: one((value: string) => context.remember(value), true) } satisfies JobContext,
    isDead: () => chances >= at,
  };
}
