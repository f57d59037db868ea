/** The main job, from a slash command to an object that age and zstd open by themselves, and that etcd itself accepts. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest, type SnapshotRecord } from '../../src/domain/snapshot.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { control, type Control } from '../support/control.ts';
import { eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { asRootOn, localCluster } from '../support/local-env.ts';

const run = promisify(execFile);
let world: World;
let parts: Control;
let bot: Bot;
/** Identity files as age-keygen writes them; the bot has neither. */
let identities: readonly { readonly file: string; readonly recipient: string }[];

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  identities = await Promise.all(['first', 'second'].map((name) => newIdentity(join(world.dir, name))));
  const recipients = identities.map(({ recipient }) => recipient);
  bot = await world.startBot({ more: { encryption: { recipients } } });
});

afterAll(async () => world.close());

async function newIdentity(file: string): Promise<{ readonly file: string; readonly recipient: string }> {
  await run('age-keygen', ['-o', file]);
  const [, recipient = ''] = /public key: (\S+)/.exec(await readFile(file, 'utf8')) ?? [];
  return { file, recipient };
}

/** Asks for a backup and waits until it is told as verified; what the message says below its first line. */
async function backUp(cluster: string): Promise<string> {
  await world.workspace.runCommand('ada', 'etcd-backups', `/etcd backup ${cluster}`);
  const message = await world.workspace.waitForMessage(
    'etcd-backups',
    ({ text }) => text.includes(cluster) && text.includes('verified'),
    30_000,
  );
  return JSON.stringify(message.blocks);
}

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
  { version: '3.5', tool: 'etcdutl', dir: '/usr/bin', reader: 0 },
  { version: '3.4', tool: 'etcdctl', dir: '/opt/etcd-3.4', reader: 1 },
])('with etcd $version', ({ version, tool, dir, reader }) => {
  test('what is stored after /etcd backup is, decrypted by hand, what etcd would give, with every key in it', async () => {
    const cluster = localCluster(world.env, version);
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    for (let i = 0; i < 20; i++) await parts.cluster(cluster.name).etcdctl(['put', `/e2e/${i}`, `value ${i}`]);
    const count = await parts.cluster(cluster.name).etcdctl(['get', '', '--from-key', '--keys-only', '-w', 'json']);
    const keysInEtcd = countOf(count);

    expect(await backUp(cluster.name)).toMatch(/kB stored, compressed, encrypted to 2 recipients/);
    const record = await newestRecord(cluster.name);
    expect(Number(record.keys)).toBe(keysInEtcd);

    const object = await world.store.get(record.object.key);
    // The second store has the same, under the same names.
    expect(Buffer.from(await world.offsite.get(record.object.key)).equals(object)).toBe(true);
    expect(await keysIn(world.offsite, cluster.name)).toEqual(await keysIn(world.store, cluster.name));
    const stored = join(world.dir, 'object.db.zst.age');
    await writeFile(stored, object);
    const file = join(world.dir, 'by-hand.db');
    const decrypt = 'age -d -i "$1" "$2" | zstd -q -d > "$3"';
    await run('sh', ['-c', decrypt, 'sh', identities[reader]?.file ?? '', stored, file]);
    const snapshot = await readFile(file);
    const there = `/root/${record.id}.db`;
    await asRootOn(node, ['sh', '-c', 'cat > "$1"', 'sh', there], snapshot);
    const status = JSON.parse(
      await asRootOn(node, ['env', 'ETCDCTL_API=3', `${dir}/${tool}`, 'snapshot', 'status', there, '-w', 'json']),
    ) as { totalKey: number; totalSize: number; revision: number };
    // The database without its 32 bytes of trailer.
    expect(status.totalSize).toBe(snapshot.length - 32);
    expect(BigInt(status.revision)).toBeGreaterThanOrEqual(BigInt(record.revisionBefore));
    expect(BigInt(status.revision)).toBeLessThanOrEqual(BigInt(record.revisionAfter));

    expect(await keysAfterRestore(node, `${dir}/${tool}`, dir, there)).toBe(keysInEtcd);
    await Promise.all([stored, file].map((path) => rm(path)));
  });
});

test('with a passphrase, age asks for it and etcd accepts what comes out', async () => {
  const passphraseFile = join(world.dir, 'passphrase');
  await writeFile(passphraseFile, 'correct horse battery\n', { mode: 0o600 });
  await bot.stop();
  bot = await world.startBot({ more: { encryption: { passphraseFile } } });
  const { name, nodes } = localCluster(world.env, '3.5');
  const before = await newestRecord(name);
  await world.workspace.runCommand('ada', 'etcd-backups', `/etcd backup ${name}`);
  const record = await eventually('a newer snapshot', async () => {
    const newest = await newestRecord(name);
    return newest.id === before.id ? undefined : newest;
  });
  expect(record.encoding).toEqual({ compression: 'zstd', encryption: 'age', recipients: ['passphrase'] });

  const stored = join(world.dir, 'passphrase.db.zst.age');
  const packed = join(world.dir, 'passphrase.db.zst');
  await writeFile(stored, await world.store.get(record.object.key));
  // age asks its terminal alone: script gives it one.
  const asking = run('script', ['-q', '-e', '-c', `age -d -o ${packed} ${stored}`, '/dev/null'], { timeout: 30_000 });
  asking.child.stdin?.write('correct horse battery\n');
  await asking;
  const { stdout } = await run('zstd', ['-q', '-d', '-c', packed], { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 });
  const [node] = nodes;
  if (node === undefined) throw new Error('no node');
  await asRootOn(node, ['sh', '-c', 'cat > /root/passphrase.db'], stdout);
  const status = await asRootOn(node, ['etcdutl', 'snapshot', 'status', '/root/passphrase.db', '-w', 'json']);
  await asRootOn(node, ['rm', '/root/passphrase.db']);
  expect((JSON.parse(status) as { totalSize: number }).totalSize).toBe(stdout.length - 32);
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
