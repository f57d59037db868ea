/** The main job, from a slash command to an object that etcd itself accepts. */
import { writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest, type SnapshotRecord } from '../../src/domain/snapshot.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { control, type Control } from '../support/control.ts';
import { startWorld, type World } from '../support/bot.ts';
import { asRootOn, localCluster } from '../support/local-env.ts';

const run = promisify(execFile);
let world: World;
let parts: Control;

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  await world.startBot();
});

afterAll(async () => world.close());

async function newestRecord(cluster: string): Promise<SnapshotRecord> {
  const records: SnapshotRecord[] = [];
  for await (const { key } of world.store.list(`${cluster}/`)) {
    if (!key.endsWith('.manifest.json')) continue;
    const parsed = parseManifest(Buffer.from(await world.store.get(key)).toString());
    if (parsed.ok) records.push(parsed.record);
  }
  const newest = records.at(-1);
  if (newest === undefined) throw new Error(`no snapshot of ${cluster}`);
  return newest;
}

async function keysIn(store: SnapshotStore, cluster: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(`${cluster}/`)) keys.push(key);
  return keys;
}

describe.each([
  { version: '3.5', tool: 'etcdutl', dir: '/usr/bin' },
  { version: '3.4', tool: 'etcdctl', dir: '/opt/etcd-3.4' },
])('with etcd $version', ({ version, tool, dir }) => {
  test('what is stored after /etcd backup is what etcd would give, with every key in it', async () => {
    const cluster = localCluster(world.env, version);
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    for (let i = 0; i < 20; i++) await parts.cluster(cluster.name).etcdctl(['put', `/e2e/${i}`, `value ${i}`]);
    const count = await parts.cluster(cluster.name).etcdctl(['get', '', '--from-key', '--keys-only', '-w', 'json']);
    const keysInEtcd = countOf(count);

    await world.workspace.runCommand('ada', 'etcd-backups', `/etcd backup ${cluster.name}`);
    await world.workspace.waitForMessage(
      'etcd-backups',
      (message) => message.text.includes(cluster.name) && message.text.includes('verified'),
      30_000,
    );
    const record = await newestRecord(cluster.name);
    expect(Number(record.keys)).toBe(keysInEtcd);

    const object = await world.store.get(record.object.key);
    // The second store has the same, under the same names.
    expect(Buffer.from(await world.offsite.get(record.object.key)).equals(object)).toBe(true);
    expect(await keysIn(world.offsite, cluster.name)).toEqual(await keysIn(world.store, cluster.name));
    const file = join(world.dir, `${record.id}.db`);
    await writeFile(file, object);
    const there = `/root/${record.id}.db`;
    await asRootOn(node, ['sh', '-c', 'cat > "$1"', 'sh', there], Buffer.from(object));
    const status = JSON.parse(
      await asRootOn(node, ['env', 'ETCDCTL_API=3', `${dir}/${tool}`, 'snapshot', 'status', there, '-w', 'json']),
    ) as { totalKey: number; totalSize: number; revision: number };
    // The database without its 32 bytes of trailer.
    expect(status.totalSize).toBe(object.length - 32);
    expect(BigInt(status.revision)).toBeGreaterThanOrEqual(BigInt(record.revisionBefore));
    expect(BigInt(status.revision)).toBeLessThanOrEqual(BigInt(record.revisionAfter));

    expect(await keysAfterRestore(node, `${dir}/${tool}`, dir, there)).toBe(keysInEtcd);
    await run('rm', [file]);
  });
});

/** Restores by hand into a directory of its own, starts an etcd on it, and counts. */
async function keysAfterRestore(
  node: Parameters<typeof asRootOn>[0],
  tool: string,
  dir: string,
  file: string,
): Promise<number> {
  const script = `
    set -e
    export ETCDCTL_API=3
    data=/root/restored-$$
    trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf $data' EXIT
    ${tool} snapshot restore "$1" --data-dir $data >/dev/null 2>&1
    ${dir}/etcd --data-dir $data --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \\
      --listen-peer-urls http://127.0.0.1:12380 >/dev/null 2>&1 &
    pid=$!
    for i in $(seq 100); do
      ${dir}/etcdctl --endpoints http://127.0.0.1:12379 endpoint health >/dev/null 2>&1 && break
      sleep 0.1
    done
    ${dir}/etcdctl --endpoints http://127.0.0.1:12379 get '' --from-key --keys-only -w json`;
  const answer = await asRootOn(node, ['sh', '-c', script, 'sh', file]);
  return countOf(answer);
}

/** `count` of what etcdctl prints of a Range. */
function countOf(json: string): number {
  return (JSON.parse(json) as { count: number }).count;
}
