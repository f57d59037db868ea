/** Restore requests in memory. */
import { isOpen } from '../../src/domain/restore-request.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import type { RestoreRequests } from '../../src/ports.ts';

export function fakeRestoreRequests(): RestoreRequests {
  const kept = new Map<string, string>();
  const firsts = new Map<string, string>();
  const untold = new Map<string, number>();
  const parse = (text: string): RestoreRequest => JSON.parse(text) as RestoreRequest;
  const all = (): RestoreRequest[] => [...kept.values()].map(parse);
  const newestFirst = (a: RestoreRequest, b: RestoreRequest): number =>
    Date.parse(b.createdAt) - Date.parse(a.createdAt);

  return {
    async create(request) {
      const text = JSON.stringify(request);
      const first = firsts.get(request.id);
      if (first !== undefined) return first === text ? { kind: 'created' } : { kind: 'taken', by: request.id };
      const held = all().find(({ cluster, state }) => cluster === request.cluster && isOpen(state));
      if (held !== undefined) return { kind: 'taken', by: held.id };
      firsts.set(request.id, text);
      kept.set(request.id, text);
      untold.set(request.id, request.version);
      return { kind: 'created' };
    },
    async read(id) {
      const text = kept.get(id);
      return text === undefined ? undefined : parse(text);
    },
    async compareAndSet(next) {
      const text = kept.get(next.id);
      const known = text === undefined ? undefined : parse(text);
      if (known === undefined || known.version !== next.version - 1 || !isOpen(known.state)) return false;
      kept.set(next.id, JSON.stringify(next));
      untold.set(next.id, next.version);
      return true;
    },
    async open() {
      return all()
        .filter(({ state }) => isOpen(state))
        .sort((a, b) => newestFirst(b, a));
    },
    async byCluster(cluster, most) {
      return all()
        .filter((request) => request.cluster === cluster)
        .sort(newestFirst)
        .slice(0, Math.max(most, 1));
    },
    untold: async () => all().filter(({ id }) => untold.has(id)),
    async markTold({ id, version }) {
      if (untold.get(id) === version) untold.delete(id);
    },
  };
}
