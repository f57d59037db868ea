/**
 * One byte that flips in what is stored, on a real S3 server and a real folder: verify, scrub and restore each refuse that copy and
 * say what is wrong, and the repair makes it anew.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { folderStore } from '../../src/adapters/stores/folder.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
import { SCRUB_LEASE } from '../../src/domain/job.ts';
import { damageKey, manifestKey, objectKey, serialiseManifest, snapshotId } from '../../src/domain/snapshot.ts';
import type { Encoding, SnapshotRecord } from '../../src/domain/snapshot.ts';
import type { CopyDeps } from '../../src/jobs/verify/deps.ts';
import { runRepair } from '../../src/jobs/verify/run-repair.ts';
import { runScrub } from '../../src/jobs/verify/run-scrub.ts';
import { runVerify } from '../../src/jobs/verify/run-verify.ts';
import { findSnapshot } from '../../src/stored/read-snapshots.ts';
import type { SnapshotCoder, SnapshotStore } from '../../src/ports.ts';
import { sharedS3, startTestS3, type TestS3 } from '../adapters/stores/swift.ts';
import { fakeSnapshot } from '../fakes/etcd-client.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { copiesWorld, sha256 } from '../jobs/copies-world.ts';
import { clusterSpec, jobContext } from '../jobs/world.ts';
import { coderOf } from '../support/coder.ts';

const CLUSTER = 'prod-eu';
const SIGNAL = new AbortController().signal;
const SNAPSHOT = fakeSnapshot(512 * 700 + 32);

let own: TestS3 | undefined;
let dir = '';
let s3: SnapshotStore;
let folder: SnapshotStore;
let coder: SnapshotCoder;
let recipient = '';

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keyturn-flipped-'));
  const shared = sharedS3(`flipped-${randomBytes(4).toString('hex')}`);
  own = shared === undefined ? await startTestS3() : undefined;
  s3 = s3Store(shared ?? (own as TestS3).options, systemClock);
  folder = folderStore({ name: 'folder', path: dir }, systemClock);
  const identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  await writeFile(join(dir, 'identity.txt'), `${identity}\n`, { mode: 0o600 });
  coder = coderOf({ recipients: [recipient], identityFiles: [join(dir, 'identity.txt')] });
});

afterAll(async () => {
  await own?.remove();
  await rm(dir, { recursive: true, force: true });
});

function world() {
  const fakes = copiesWorld();
  const spec = clusterSpec({ stores: [s3.name, folder.name] }, CLUSTER);
  const deps: CopyDeps = {
    ...fakes.deps,
    coder,
    clusters: new Map([[CLUSTER, spec]]),
    stores: new Map([s3, folder].map((store) => [store.name, store])),
    catalogue: catalogue([s3, folder], () => spec.backup.stores),
  };
  return { ...fakes, deps };
}

/** A snapshot as a backup would have left it, in both stores. */
async function stock(encoding: Encoding, token: number): Promise<SnapshotRecord> {
  const id = snapshotId(new Date('2026-11-21T05:00:00.000Z'), token);
  const body = await buffer(coder.encode(encoding, pieces(SNAPSHOT), SIGNAL));
  const record = snapshotRecord({
    ...{ id, cluster: CLUSTER, encoding, size: SNAPSHOT.length, sha256: sha256(SNAPSHOT) },
    object: { key: objectKey(CLUSTER, id, encoding), size: body.length, sha256: sha256(body) },
  });
  for (const store of [s3, folder]) {
    await store.put(record.object.key, body);
    await store.put(manifestKey(CLUSTER, id), Buffer.from(serialiseManifest(record)));
  }
  return record;
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

async function flip(store: SnapshotStore, key: string, where: number): Promise<void> {
  const body = Buffer.from(await store.get(key));
  const at = Math.min(body.length - 1, Math.floor(where * body.length));
  body[at] = (body[at] ?? 0) ^ 0x10;
  await store.put(key, body);
}

async function remove({ id, object }: SnapshotRecord): Promise<void> {
  for (const store of [s3, folder])
    for (const key of [manifestKey(CLUSTER, id), object.key, damageKey(CLUSTER, id)]) await store.remove(key);
}

describe.each<readonly [string, () => Encoding]>([
  ['plain', () => ({ compression: 'none', encryption: 'none', recipients: [] })],
  ['compressed and encrypted', () => ({ compression: 'zstd', encryption: 'age', recipients: [recipient] })],
])('of a snapshot that is kept %s', (_, encoding) => {
  const job = { kind: 'verify', cluster: CLUSTER, origin: { channel: 'C1', user: 'U1' }, askedAt: '' } as const;

  test('any byte of object or manifest that flips is found by verify, marked, and made anew', async () => {
    const record = await stock(encoding(), 1);
    const wholes = [0, 0.001, 0.3, 0.77, 0.9999];
    let flips = 0;
    for (const store of [s3, folder]) {
      for (const key of [record.object.key, manifestKey(CLUSTER, record.id)]) {
        for (const where of wholes) {
          const w = world();
          await flip(store, key, where);
          flips += 1;
          await runVerify({ ...job, id: `verify-${flips}`, snapshot: record.id }, jobContext(), w.deps);
          const verdicts = w.told('verify.ended')[0]?.copies.map((each) => [each.store, each.verdict.kind]);
          expect(verdicts).toEqual([s3, folder].map((each) => [each.name, each === store ? 'damaged' : 'whole']));
          expect(w.told('copy.damaged')).toMatchObject([{ store: store.name, isRepaired: true }]);
          // Nobody restores from the damaged copy; the good one is still offered.
          expect((await findSnapshot(w.deps.catalogue, CLUSTER, record.id)).sha256).toBe(record.sha256);
          const [repair] = w.queue.jobs;
          if (repair?.job.kind !== 'repair') throw new Error('no repair was queued');
          await runRepair(repair.job, jobContext(), w.deps);
          expect(w.told('copy.repaired')).toHaveLength(1);
          expect(await store.stat(damageKey(CLUSTER, record.id))).toBe(undefined);
        }
      }
    }
    await remove(record);
  });

  test('the scrub finds it too; with every copy damaged a restore is refused, and says so', async () => {
    const record = await stock(encoding(), 2);
    for (const store of [s3, folder]) await flip(store, record.object.key, 0.5);
    const w = world();
    await runScrub({ kind: 'scrub', id: 'scrub-1', cluster: SCRUB_LEASE }, jobContext(), w.deps);
    expect(w.told('copy.damaged').map(({ store, whole }) => [store, whole])).toEqual(
      [s3, folder].map(({ name }) => [name, []]),
    );
    await expect(findSnapshot(w.deps.catalogue, CLUSTER, record.id)).rejects.toMatchObject({
      code: 'snapshot.damaged',
      message: expect.stringContaining('found damaged') as string,
    });
    await remove(record);
  });
});
