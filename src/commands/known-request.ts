/** Owns how a restore is found by the id that somebody typed, and what is said when there is none. */
import { KeyturnError } from '../domain/error.ts';
import type { RestoreRequest } from '../domain/restore-request.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { inParallel } from './deps.ts';
import { nearest } from './nearest.ts';

type Deps = Pick<RestoreCommandDeps, 'requests' | 'clusters' | 'command'>;

const NEWEST_OF_EACH = 5;
const NAMED = 3;
const CLUSTERS_AT_ONCE = 8;

/** Throws request.unknown with the likeliest id, or the newest ones; queue.unavailable. */
export async function knownRequest(deps: Deps, id: string): Promise<RestoreRequest> {
  const request = await deps.requests.read(id);
  if (request !== undefined) return request;
  throw new KeyturnError('request.unknown', `There is no restore ${id.slice(0, 60)} (any more).`, {
    hint: await hintFor(deps, id),
  });
}

async function hintFor(deps: Deps, id: string): Promise<string> {
  const lists = await inParallel(deps.clusters, CLUSTERS_AT_ONCE, ({ name }) =>
    deps.requests.byCluster(name, NEWEST_OF_EACH),
  );
  const newest = lists.flat().sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
  const near = nearest(
    id,
    newest.map((request) => request.id),
  );
  if (near !== undefined) return `Did you mean ${near}?`;
  if (newest.length === 0) return `No restore was asked for yet. Ask for one: ${deps.command} restore <cluster>`;
  const named = newest.slice(0, NAMED).map((request) => `${request.id} (${request.cluster})`);
  return `The newest are: ${named.join(', ')}. They are kept for 400 days.`;
}
