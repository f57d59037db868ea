/** Retention on a real S3 server: hundreds of snapshots, what must stay, what lies about, and how long it takes. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
import { showRetention } from '../../src/commands/show-retention.ts';
import { serialiseHold } from '../../src/domain/hold.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import { holdKey, manifestKey, objectKey, serialiseManifest, snapshotId } from '../../src/domain/snapshot.ts';
import type { RetentionDeps } from '../../src/jobs/retention/deps.ts';
import { runRetention } from '../../src/jobs/run-retention.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { sharedS3, startTestS3, type TestS3 } from '../adapters/stores/swift.ts';
import { person, sixHourly } from '../chat/samples.ts';
import { fakeClusterLease } from '../fakes/cluster-lease.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { JOB } from '../jobs/retention-world.ts';
import { clusterSpec, jobContext, silentLog } from '../jobs/world.ts';
import { restoreWorld } from '../support/restore-world.ts';
import { retentionSpec } from '../support/specs.ts';

const CLUSTER = 'prod-eu';
const COUNT = 200;
const HOUR = 3_600_000;
/** On the hour, so that a day has 24. */
const NEWEST = Math.floor(Date.now() / HOUR) * HOUR;
const POLICY = { last: 10, daily: 5 };
/** As if the grace had been over for long: the server rounds its times up to seconds. */
const PASSED = -10_000;

let own: TestS3 | undefined;
let store: SnapshotStore;
const events: KeyturnEvent[] = [];
const spec = clusterSpec({ stores: ['swift'] }, CLUSTER);

const idOf = (age: number): string => snapshotId(new Date(NEWEST - age * HOUR), COUNT - age);

async function put(age: number): Promise<void> {
  const id = idOf(age);
  const takenAt = new Date(NEWEST - age * HOUR).toISOString();
  await store.put(objectKey(CLUSTER, id), Buffer.alloc(100));
  await store.put(
    manifestKey(CLUSTER, id),
    Buffer.from(serialiseManifest(snapshotRecord({ cluster: CLUSTER, id, takenAt }))),
  );
}

beforeAll(async () => {
  const options = sharedS3(`retention-${randomBytes(4).toString('hex')}`);
  own = options === undefined ? await startTestS3() : undefined;
  store = s3Store(options ?? (own as TestS3).options, systemClock);
  const ages = Array.from({ length: COUNT }, (_, age) => age).values();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const age of ages) await put(age);
    }),
  );
});

afterAll(async () => own?.remove());

function depsWith(mostAtOnce: number): RetentionDeps {
  return {
    clusters: new Map([[CLUSTER, spec]]),
    stores: new Map([[store.name, store]]),
    catalogue: catalogue([store], () => [store.name]),
    requests: { open: async () => [] as RestoreRequest[] },
    retentionOf: () => retentionSpec({ policy: POLICY, mostAtOnce, strayGraceMs: PASSED }),
    lease: fakeClusterLease(),
    publish: async (event) => void events.push(event),
    clock: systemClock,
    log: silentLog,
  };
}

async function keys(): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(`${CLUSTER}/`)) found.push(key);
  return found;
}

test('a dry run of hundreds takes no more than a moment, and changes nothing', async () => {
  const base = restoreWorld().deps;
  const deps = {
    ...base,
    ...depsWith(0.5),
    catalogue: { ...base.catalogue, ...depsWith(0.5).catalogue },
    calendar: sixHourly,
  };
  const begun = performance.now();
  const report = await showRetention({ ...deps, clusters: [spec] }, person('U1'), CLUSTER);
  expect(performance.now() - begun).toBeLessThan(3_000);
  expect(report.snapshots).toHaveLength(COUNT);
  const [row] = report.stores;
  expect(row).toMatchObject({ asks: true, goes: { count: COUNT - (row?.keeps ?? 0) } });
  expect(await keys()).toHaveLength(2 * COUNT);
});

test('asks before so many go, and removes them once somebody has said so; strays go, held ones stay', async () => {
  const held = { format: 1, reason: 'audit', by: 'U1', at: new Date(NEWEST).toISOString() } as const;
  await store.put(holdKey(CLUSTER, idOf(150)), Buffer.from(serialiseHold(held)));
  const stray = objectKey(CLUSTER, snapshotId(new Date(NEWEST - 1_000 * HOUR), 1));
  await store.put(stray, Buffer.alloc(10));
  const other = `${CLUSTER}/etcd-snapshot-20200101.db`;
  await store.put(other, Buffer.alloc(10));
  const upload = await store.beginUpload(
    objectKey(CLUSTER, snapshotId(new Date(NEWEST), 7777)),
    new AbortController().signal,
  );
  await upload.write(Buffer.alloc(6 * 1024 * 1024));

  expect(await runRetention(JOB, jobContext(), depsWith(0.5))).toEqual({ kind: 'done' });
  const asked = events.find((event) => event.type === 'retention.asks');
  if (asked === undefined) throw new Error('nobody was asked');
  expect(await keys()).not.toContain(stray);
  expect((await keys()).length).toBe(2 * COUNT + 2);
  for await (const { key } of store.openUploads(`${CLUSTER}/`)) throw new Error(`upload ${key} is still open`);
  await upload.abort();

  const confirmed = { store: store.name, digest: asked.digest, by: 'U1' };
  await runRetention({ ...JOB, id: 'confirmed', after: undefined, confirmed }, jobContext(), depsWith(0.5));
  const done = events.at(-1);
  expect(done).toMatchObject({
    type: 'retention.done',
    stores: [{ removed: { count: asked.removes.count }, problem: undefined }],
  });
  const left = await keys();
  const manifests = left.filter((key) => key.endsWith('.manifest.json'));
  expect(manifests).toHaveLength(COUNT - asked.removes.count);
  for (const age of [0, 1, 9, 150]) {
    expect(left).toContain(manifestKey(CLUSTER, idOf(age)));
    expect(left).toContain(objectKey(CLUSTER, idOf(age)));
  }
  expect(left).toContain(other);
  expect(left).toHaveLength(2 * manifests.length + 2);

  await runRetention({ ...JOB, id: 'again' }, jobContext(), depsWith(0.5));
  expect(await keys()).toEqual(left);
});
