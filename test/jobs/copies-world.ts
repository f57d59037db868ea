/** A world of fakes for tests of stored copies: the world of backups, with snapshots that lie in its stores already. */
import { createHash } from 'node:crypto';
import type { CopyEvent } from '../../src/domain/copy-event.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { manifestKey, objectKey, PLAIN, serialiseManifest, type SnapshotRecord } from '../../src/domain/snapshot.ts';
import type { CopyDeps } from '../../src/jobs/verify/deps.ts';
import { fakeSnapshot } from '../fakes/etcd-client.ts';
import type { MemoryStore } from '../fakes/memory-store.ts';
import { fakeScrubMemory } from '../fakes/scrub-memory.ts';
import { fakeCoder } from '../fakes/snapshot-coder.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { fakeWorld } from './world.ts';

export const ID = '20261121T050000Z-17';

/** A whole snapshot of etcd, as small as one can be. */
export const SMALL = fakeSnapshot(512 + 32);

export function copiesWorld() {
  const world = fakeWorld();
  const coder = fakeCoder();
  const scrubMemory = fakeScrubMemory();
  let newest: readonly RestoreRequest[] = [];
  const deps: CopyDeps = {
    ...world.deps,
    coder,
    scrubMemory,
    retentionOf: () => world.spec.retention,
    requests: { byCluster: async () => newest },
    scrub: { enabled: true, everyMs: 30 * 86_400_000, rateLimit: 1e15 },
  };
  return {
    ...world,
    deps,
    coder,
    scrubMemory,
    /** Now this is the cluster's newest restore request. */
    ask: (request: RestoreRequest | undefined) => (newest = request === undefined ? [] : [request]),
    told: <T extends CopyEvent['type']>(type: T) =>
      world.events.filter((event): event is Extract<CopyEvent, { type: T }> => event.type === type),
  };
}

export type CopiesWorld = ReturnType<typeof copiesWorld>;

/** Puts a copy of one snapshot into each of `stores`; `body` is the stored object of `snapshot`. */
export function stock(
  stores: readonly MemoryStore[],
  changes: Partial<SnapshotRecord> = {},
  { snapshot = SMALL, body = snapshot }: { readonly snapshot?: Uint8Array; readonly body?: Uint8Array } = {},
): SnapshotRecord {
  const { id = ID, cluster = 'prod-eu', encoding = PLAIN } = changes;
  const record = snapshotRecord({
    id,
    cluster,
    encoding,
    size: snapshot.length,
    sha256: sha256(snapshot),
    object: { key: objectKey(cluster, id, encoding), size: body.length, sha256: sha256(body) },
    ...changes,
  });
  for (const store of stores) {
    put(store, record.object.key, body);
    put(store, manifestKey(cluster, id), Buffer.from(serialiseManifest(record)));
  }
  return record;
}

export function put(store: MemoryStore, key: string, body: Uint8Array): void {
  store.objects.set(key, { body: Buffer.from(body), modifiedAt: new Date('2026-11-21T05:00:00.000Z') });
}

/** One bit of one byte becomes another. */
export function flip(store: MemoryStore, key: string, at = 0): void {
  const body = Buffer.from(bodyOf(store, key));
  body[at] = (body[at] ?? 0) ^ 1;
  put(store, key, body);
}

export function bodyOf(store: MemoryStore, key: string): Buffer {
  const object = store.objects.get(key);
  if (object === undefined) throw new Error(`${store.name} has no ${key}`);
  return object.body;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
