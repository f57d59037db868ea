/** What every EtcdClient has to keep to: the fake and the one on real etcd. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ClusterSpec, MemberStatus } from '../../src/domain/cluster.ts';
import { pickMember } from '../../src/domain/cluster.ts';
import type { EtcdClient, EtcdSession, SnapshotStream } from '../../src/ports.ts';

export interface EtcdClientUnderTest {
  readonly client: EtcdClient;
  /** A healthy cluster with an etcd on every node, and at least one key. */
  readonly cluster: ClusterSpec;
  /** The same cluster, none of whose nodes can be reached. */
  readonly unreachable: { readonly client: EtcdClient; readonly cluster: ClusterSpec };
}

const READING = { signal: new AbortController().signal, stallTimeoutMs: 10_000, rateLimit: undefined };

export async function readAll(stream: SnapshotStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream.chunks) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Size, trailer and bolt's magic, as etcd's own tools would check them. */
export function expectWholeSnapshot(bytes: Buffer): void {
  expect(bytes.length % 512).toBe(32);
  const body = bytes.subarray(0, -32);
  expect(createHash('sha256').update(body).digest('hex')).toBe(bytes.subarray(-32).toString('hex'));
  expect(bytes.readUInt32LE(16)).toBe(0xed0cdaed);
}

export function etcdClientContract(setUp: () => Promise<EtcdClientUnderTest>): void {
  let under: EtcdClientUnderTest;
  let session: EtcdSession;
  let member: MemberStatus;

  beforeAll(async () => {
    under = await setUp();
    session = await under.client.open(under.cluster);
    const picked = pickMember(await session.status());
    if (picked === undefined) throw new Error('No member is fit to be read.');
    member = picked;
  });
  afterAll(() => session.close());

  test('etcd is found on every node', () => {
    expect(session.found.map(({ node }) => node)).toEqual(under.cluster.nodes.map(({ name }) => name));
    expect(session.missing).toEqual([]);
    for (const { pid, tls, quotaBytes } of session.found) {
      expect(pid).toBeGreaterThan(0);
      expect(tls?.keyFile).toMatch(/^\//);
      expect(quotaBytes).toBeGreaterThan(0);
    }
  });

  test('every member is told with its node, one of them leads', async () => {
    const { clusterId, leader, members } = await session.status();
    expect(clusterId).toBeGreaterThan(0n);
    expect(members.map(({ node }) => node).sort()).toEqual(under.cluster.nodes.map(({ name }) => name).sort());
    expect(members.filter(({ isLeader }) => isLeader).map(({ id }) => id)).toEqual([leader]);
    for (const { problem, version, dbSize, revision, raftIndex, alarms } of members) {
      expect({ problem, alarms }).toEqual({ problem: undefined, alarms: [] });
      expect(version).toMatch(/^3\.\d+\.\d+$/);
      expect(dbSize).toBeGreaterThan(0);
      expect(revision).toBeGreaterThan(0n);
      expect(raftIndex).toBeGreaterThan(0n);
    }
  });

  test('keys are counted with the revision they are of', async () => {
    const { keys, revision } = await session.countKeys(member);
    expect(keys).toBeGreaterThan(0n);
    expect(revision).toBeGreaterThanOrEqual(member.revision);
  });

  test('facts are told of every node, in the order of the configuration', async () => {
    const { nodes, missing } = await session.facts();
    expect(missing).toEqual([]);
    expect(nodes.map(({ node }) => node)).toEqual(under.cluster.nodes.map(({ name }) => name));
    const { members } = await session.status();
    for (const { node, etcd, etcdVersion, peerUrls, argv, dataDir, kubelet, tools } of nodes) {
      const own = members.find((each) => each.node === node);
      expect({ etcdVersion, peerUrls }).toEqual({ etcdVersion: own?.version, peerUrls: own?.peerUrls });
      expect(etcd).toEqual(session.found.find((each) => each.node === node));
      expect(argv[0]).toMatch(/^\/.*\/etcd$/);
      expect(dataDir.path).toBe(etcd.dataDir);
      expect(dataDir.freeBytes).toBeGreaterThan(0);
      expect(kubelet).toBeUndefined();
      for (const { version, path, from, sha256 } of tools) {
        expect(version).toMatch(/^3\.\d+\.\d+$/);
        expect(path).toMatch(/^\//);
        expect(from).toBe('node');
        expect(sha256).toMatch(/^[0-9a-f]{64}$/);
      }
      expect(tools.map(({ name }) => name)).toEqual(expect.arrayContaining(['etcdctl', 'etcdutl']));
    }
  });

  test("facts that are not waited for end with the signal's reason", async () => {
    await expect(session.facts(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  });

  test('every member has the same hash at the same revision', async () => {
    const { members } = await session.status();
    const revision = members.map((each) => each.revision).reduce((a, b) => (a < b ? a : b));
    const hashes = await Promise.all(members.map((each) => session.hashAt(each, revision)));
    expect(new Set(hashes).size).toBe(1);
    expect(hashes[0]).toBeGreaterThan(0);
    expect(hashes[0]).toBeLessThan(2 ** 32);
  });

  test("a hash that is not waited for ends with the signal's reason", async () => {
    const hashing = session.hashAt(member, member.revision, AbortSignal.abort(new Error('enough')));
    await expect(hashing).rejects.toThrow('enough');
  });

  test('a snapshot is whole, its trailer included, and a second one may be read beside it', async () => {
    const streams = await Promise.all([session.openSnapshot(member, READING), session.openSnapshot(member, READING)]);
    for (const bytes of await Promise.all(streams.map(readAll))) expectWholeSnapshot(bytes);
    for (const stream of streams) stream.close();
  });

  test('a rate limit holds a snapshot back', async () => {
    const rateLimit = member.dbSize * 2;
    const started = performance.now();
    const bytes = await readAll(await session.openSnapshot(member, { ...READING, rateLimit }));
    expectWholeSnapshot(bytes);
    expect(performance.now() - started).toBeGreaterThan((bytes.length / rateLimit) * 1000 * 0.9);
  });

  test("an aborted snapshot ends with the signal's reason", async () => {
    const controller = new AbortController();
    const stream = await session.openSnapshot(member, { ...READING, signal: controller.signal, rateLimit: 1000 });
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await expect(readAll(stream)).rejects.toThrow('enough');
  });

  test('a snapshot that is closed can not be mistaken for a whole one', async () => {
    const stream = await session.openSnapshot(member, { ...READING, rateLimit: 1000 });
    setTimeout(() => stream.close(), 50);
    await expect(readAll(stream)).rejects.toMatchObject({ code: 'etcd.stream-broken' });
  });

  test('a reader that stops early leaves the session fit for use', async () => {
    const stream = await session.openSnapshot(member, READING);
    for await (const chunk of stream.chunks) if (chunk.length > 0) break;
    expect((await session.countKeys(member)).keys).toBeGreaterThan(0n);
  });

  test('closing the session ends its snapshots, and may be done twice', async () => {
    const other = await under.client.open(under.cluster);
    const stream = await other.openSnapshot(member, { ...READING, rateLimit: 1000 });
    const reading = readAll(stream);
    setTimeout(() => void other.close(), 50);
    await expect(reading).rejects.toMatchObject({ code: expect.stringMatching(/^(etcd|ssh)\./) as string });
    await other.close();
  });

  test('a cluster none of whose nodes answers is told by the first of them', async () => {
    const { client, cluster } = under.unreachable;
    await expect(client.open(cluster)).rejects.toMatchObject({ code: 'ssh.unreachable' });
  });
}
