/** Backups that are encoded on their way: what is stored, what the manifest says of it, and what is left when they fail. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeAgeKey, type AgeKey } from '../../deploy/local/parts/age-key.ts';
import { manifestKey, parseManifest, possibleObjectKeys, type SnapshotRecord } from '../../src/domain/snapshot.ts';
import { runBackup } from '../../src/jobs/run-backup.ts';
import { inChunks } from '../contracts/snapshot-coder.ts';
import { fakeSnapshot } from '../fakes/etcd-client.ts';
import { coderOf } from '../support/coder.ts';
import { fakeWorld, job, jobContext } from './world.ts';

const NEVER = new AbortController().signal;
const EARLIER = '20261121T055900Z-7';

let dir: string;
let key: AgeKey;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keyturn-encoded-'));
  key = await writeAgeKey(join(dir, 'key'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function encodingWorld(...args: Parameters<typeof fakeWorld>) {
  const world = fakeWorld(...args);
  return { ...world, deps: { ...world.deps, coder: coderOf({ recipients: [key.recipient] }) } };
}

function storedRecord(events: ReturnType<typeof fakeWorld>['events']): SnapshotRecord {
  const told = events.find((event) => event.type === 'backup.stored');
  if (told?.type !== 'backup.stored') throw new Error('nothing was stored');
  return told.record;
}

describe('an encoded backup', () => {
  test('is read from etcd once, lies in every store alike, and is etcd’s own snapshot again when decoded', async () => {
    const { deps, stores, events, etcd } = encodingWorld();
    expect(await runBackup(job, jobContext(), deps)).toEqual({ kind: 'done' });
    expect(etcd.snapshotsOf).toHaveLength(1);
    const { object, encoding } = storedRecord(events);
    const [first, second] = stores.map((store) => store.objects.get(object.key)?.body ?? Buffer.alloc(0));
    expect(first).toEqual(second);
    const decoded = coderOf({ identityFiles: [key.file] }).decode(encoding, inChunks(first ?? Buffer.alloc(0)), NEVER);
    expect((await buffer(decoded)).equals(fakeSnapshot())).toBe(true);
  });

  test('has a manifest that tells of the object as it is stored, and of the snapshot as etcd gave it', async () => {
    const { deps, ceph, events } = encodingWorld();
    await runBackup(job, jobContext(), deps);
    const record = storedRecord(events);
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    const object = ceph.objects.get(record.object.key)?.body ?? Buffer.alloc(0);
    expect(record).toMatchObject({
      object: { key: `prod-eu/${record.id}.db.age`, size: object.length, sha256: sha256(object) },
      encoding: { compression: 'none', encryption: 'age', recipients: [key.recipient] },
      size: fakeSnapshot().length,
      sha256: sha256(fakeSnapshot()),
    });
    const manifest = String(ceph.objects.get(manifestKey('prod-eu', record.id))?.body);
    expect(parseManifest(manifest)).toEqual({ ok: true, record });
  });

  test('of bytes that are no snapshot is never stored', async () => {
    const bytes = Buffer.from(fakeSnapshot());
    bytes.writeUInt8(bytes.readUInt8(5000) ^ 1, 5000);
    const { deps, stores, events, etcd } = encodingWorld({ snapshot: bytes });
    await runBackup(job, jobContext({ attempt: 3 }), deps);
    expect(events.at(-1)).toMatchObject({ type: 'backup.failed', problem: { code: 'etcd.snapshot-corrupt' } });
    expect(stores.flatMap((store) => [...store.objects.keys()])).toEqual([]);
    expect([etcd.openSessions, etcd.openStreams]).toEqual([0, 0]);
  });

  test('that can not be encrypted is told, and leaves nothing', async () => {
    const { deps, stores, events, etcd } = fakeWorld();
    const coder = coderOf({ recipients: [`${key.recipient.slice(0, -6)}qqqqqq`] });
    await runBackup(job, jobContext({ attempt: 3 }), { ...deps, coder });
    expect(events.at(-1)).toMatchObject({ type: 'backup.failed', problem: { code: 'encryption.failed' } });
    expect(stores.flatMap((store) => [...store.objects.keys()])).toEqual([]);
    expect([etcd.openSessions, etcd.openStreams]).toEqual([0, 0]);
  });

  test('is found by the next attempt when the report was lost', async () => {
    const { deps, events, etcd } = encodingWorld();
    const context = jobContext();
    await runBackup(job, context, deps);
    events.length = 0;
    await runBackup(job, jobContext({ attempt: 2, remembered: context.remembered }), deps);
    expect(storedRecord(events).object.key).toMatch(/\.db\.age$/);
    expect(etcd.snapshotsOf).toHaveLength(1);
  });
});

test('what an attempt left is cleared by whatever name it had: the configuration may have changed since', async () => {
  const { deps, ceph } = encodingWorld();
  const keys = possibleObjectKeys('prod-eu', EARLIER);
  expect(keys.map((name) => name.slice(`prod-eu/${EARLIER}`.length))).toEqual([
    '.db',
    '.db.age',
    '.db.zst',
    '.db.zst.age',
  ]);
  for (const name of keys) {
    ceph.objects.set(name, { body: Buffer.from('half'), modifiedAt: new Date() });
    await ceph.beginUpload(name, NEVER);
  }
  await runBackup(job, jobContext({ attempt: 2, remembered: [EARLIER] }), deps);
  expect([...ceph.objects.keys()].filter((name) => name.includes(EARLIER))).toEqual([]);
  for await (const upload of ceph.openUploads('')) throw new Error(`left open: ${upload.key}`);
});
