/** A cluster's etcd that lives in memory: what its members say and give is set by the test. */
import { createHash } from 'node:crypto';
import type { ClusterSpec, ClusterStatus, EtcdOnNode, MemberStatus } from '../../src/domain/cluster.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { NodeFacts } from '../../src/domain/restore/facts.ts';
import type { EtcdClient, EtcdSession, SnapshotStream } from '../../src/ports.ts';

/** How etcd sends a snapshot: blobs of 32 KiB, the sha256 of all before as a last message. */
const BLOB = 32 * 1024;
const TRAILER = 32;

export interface FakeEtcdOptions {
  /** Default: `m1` on `cp1`, `m2` on `cp2`, `m3` on `cp3`; the first one leads. */
  readonly members?: readonly Partial<MemberStatus>[];
  /** A whole snapshot (see `fakeSnapshot`), or one of this many bytes, made while it is read. Default 64 KiB. */
  readonly snapshot?: Uint8Array | { readonly size: number };
  /** After so many bytes of a snapshot the stream throws this. */
  readonly failAt?: { readonly bytes: number; readonly error: KeyturnError };
  /** After so many bytes no more come; the stream throws etcd.stalled after the stall timeout. */
  readonly stallAt?: number;
  /** Streams that do not fail although `failAt` or `stallAt` says so: the second attempt, say, with 1. Default 0. */
  readonly failures?: number;
  /** Milliseconds between two blobs. Default none. */
  readonly delayMs?: number;
  readonly source?: SnapshotStream['source'];
  readonly fallbackReason?: string;
  readonly keys?: bigint;
  readonly revision?: bigint;
  readonly clusterId?: bigint;
  /** `open` throws this. */
  readonly openError?: KeyturnError;
  /** `status` throws this. */
  readonly statusError?: KeyturnError;
  readonly missing?: EtcdSession['missing'];
  /** Default: those of healthy members under systemd, on all nodes that are not missing. */
  readonly facts?: Awaited<ReturnType<EtcdSession['facts']>>;
  /** Default: the same for every member. */
  readonly hashOf?: (member: MemberStatus) => number;
}

export interface FakeEtcd extends EtcdClient {
  /** Sessions opened and not closed. */
  readonly openSessions: number;
  /** Streams opened and neither read to the end nor closed. */
  readonly openStreams: number;
  /** Members that a snapshot was read from, in order. */
  readonly snapshotsOf: readonly string[];
  /** Changes what is true from now on. */
  set(change: FakeEtcdOptions): void;
}

/** A snapshot as etcd would give it: bolt's magic in place, `size` a multiple of 512 plus 32, the right trailer. */
export function fakeSnapshot(size = 64 * 1024 + TRAILER): Uint8Array {
  return Buffer.concat([...snapshotBlobs(size)]);
}

/** The same bytes as `fakeSnapshot(size)`, made blob by blob; nothing big is held. */
export function* snapshotBlobs(size: number): Generator<Uint8Array> {
  const body = size - TRAILER;
  if (body <= 0 || body % 512 !== 0) throw new Error(`${size} is no size of a snapshot: it has to be n × 512 + 32.`);
  const hash = createHash('sha256');
  for (let at = 0; at < body; at += BLOB) {
    const blob = Buffer.alloc(Math.min(BLOB, body - at), (at / BLOB) % 251);
    if (at === 0) {
      blob.writeUInt32LE(0xed0cdaed, 16);
      blob.writeUInt32LE(2, 20);
    }
    hash.update(blob);
    yield blob;
  }
  yield hash.digest();
}

export function fakeEtcd(initial: FakeEtcdOptions = {}): FakeEtcd {
  let options = initial;
  let openSessions = 0;
  let failed = 0;
  const streams = new Set<SnapshotStream>();
  const snapshotsOf: string[] = [];

  const mayFail = (): boolean => {
    if (options.failAt === undefined && options.stallAt === undefined) return false;
    if (options.failures !== undefined && failed >= options.failures) return false;
    failed += 1;
    return true;
  };

  const openSnapshot: EtcdSession['openSnapshot'] = async (member, { signal, stallTimeoutMs, rateLimit }) => {
    signal.throwIfAborted();
    if (member.problem !== undefined) {
      throw new KeyturnError('etcd.unreachable', member.problem.message, { hint: member.problem.hint });
    }
    snapshotsOf.push(member.name);
    const { failAt, stallAt } = mayFail() ? options : {};
    const closed = new AbortController();
    const stop = AbortSignal.any([signal, closed.signal]);
    const blobs = blobsOf(options.snapshot ?? { size: 64 * 1024 + TRAILER });
    const delayMs = options.delayMs ?? 0;
    const stream: SnapshotStream = {
      source: options.source ?? 'stream',
      fallbackReason: options.fallbackReason,
      chunks: read(),
      close: () => {
        closed.abort(new KeyturnError('etcd.stream-broken', 'The stream was closed.', { hint: 'Open another.' }));
        streams.delete(stream);
      },
    };
    streams.add(stream);
    return stream;

    async function* read(): AsyncGenerator<Uint8Array> {
      try {
        let sent = 0;
        for (const blob of blobs) {
          stop.throwIfAborted();
          if (failAt !== undefined && sent + blob.length > failAt.bytes) {
            if (failAt.bytes > sent) yield blob.subarray(0, failAt.bytes - sent);
            throw failAt.error;
          }
          if (stallAt !== undefined && sent + blob.length > stallAt) {
            await pause(stallTimeoutMs, stop);
            throw new KeyturnError('etcd.stalled', `${member.name} sent nothing for ${stallTimeoutMs} ms.`, {
              hint: 'Look at the load of the node and of the network.',
            });
          }
          const forRate = rateLimit === undefined ? 0 : (blob.length / rateLimit) * 1000;
          if (delayMs + forRate > 0) await pause(delayMs + forRate, stop);
          yield blob;
          sent += blob.length;
        }
      } finally {
        streams.delete(stream);
      }
    }
  };

  return {
    get openSessions() {
      return openSessions;
    },
    get openStreams() {
      return streams.size;
    },
    snapshotsOf,
    set: (change) => {
      options = { ...options, ...change };
    },
    async open(cluster, signal) {
      signal?.throwIfAborted();
      if (options.openError !== undefined) throw options.openError;
      openSessions += 1;
      let closed = false;
      return {
        found: foundOn(cluster, membersOf(cluster, options)),
        missing: options.missing ?? [],
        status: async () => {
          if (options.statusError !== undefined) throw options.statusError;
          return statusOf(cluster, options);
        },
        facts: async (given) => {
          given?.throwIfAborted();
          return options.facts ?? { nodes: factsOf(cluster, options), missing: options.missing ?? [] };
        },
        hashAt: async (member, _revision, given) => {
          given?.throwIfAborted();
          return options.hashOf?.(member) ?? 3_735_928_559;
        },
        countKeys: async () => ({ keys: options.keys ?? 1000n, revision: options.revision ?? 4711n }),
        openSnapshot,
        close: async () => {
          if (!closed) openSessions -= 1;
          closed = true;
          for (const stream of [...streams]) stream.close();
        },
      };
    },
  };
}

function* blobsOf(snapshot: Uint8Array | { readonly size: number }): Generator<Uint8Array> {
  if (!(snapshot instanceof Uint8Array)) {
    yield* snapshotBlobs(snapshot.size);
    return;
  }
  for (let at = 0; at < snapshot.length; at += BLOB) yield snapshot.subarray(at, at + BLOB);
}

function statusOf(cluster: ClusterSpec, options: FakeEtcdOptions): ClusterStatus {
  const members = membersOf(cluster, options);
  return {
    clusterId: options.clusterId ?? 14841639068965178418n,
    leader: members.find((m) => m.isLeader)?.id,
    members,
  };
}

function membersOf(cluster: ClusterSpec, options: FakeEtcdOptions): readonly MemberStatus[] {
  const given =
    options.members ?? cluster.nodes.map((node, i) => ({ name: `m${i + 1}`, node: node.name, isLeader: i === 0 }));
  return given.map((member, i) => ({ ...plainMember(i, options), ...member }));
}

function plainMember(index: number, options: FakeEtcdOptions): MemberStatus {
  const n = index + 1;
  const snapshot = options.snapshot ?? { size: 64 * 1024 + TRAILER };
  const dbSize = (snapshot instanceof Uint8Array ? snapshot.length : snapshot.size) - TRAILER;
  return {
    id: 10276657743932975437n + BigInt(index),
    name: `m${n}`,
    node: `cp${n}`,
    peerUrls: [`https://192.0.2.${n}:2380`],
    clientUrls: [`https://192.0.2.${n}:2379`],
    isLearner: false,
    isLeader: false,
    problem: undefined,
    version: '3.5.16',
    dbSize,
    dbSizeInUse: dbSize,
    quota: 2 * 1024 ** 3,
    revision: options.revision ?? 4711n,
    raftTerm: 7n,
    raftIndex: 5000n,
    raftAppliedIndex: 5000n,
    alarms: [],
  };
}

function foundOn(cluster: ClusterSpec, members: readonly MemberStatus[]): readonly EtcdOnNode[] {
  return members.flatMap((member) => {
    if (!cluster.nodes.some((node) => node.name === member.node) || member.node === undefined) return [];
    return [
      {
        node: member.node,
        pid: member.problem === undefined ? 4242 : undefined,
        supervisor: { kind: 'systemd' as const, unit: 'etcd.service' },
        memberName: member.name,
        dataDir: '/var/lib/etcd',
        walDir: undefined,
        listenClientUrls: member.clientUrls,
        advertiseClientUrls: member.clientUrls,
        tls: {
          caFile: '/etc/etcd/pki/ca.crt',
          certFile: '/etc/etcd/pki/server.crt',
          keyFile: '/etc/etcd/pki/server.key',
        },
        quotaBytes: member.quota,
      },
    ];
  });
}

function factsOf(cluster: ClusterSpec, options: FakeEtcdOptions): readonly NodeFacts[] {
  const members = membersOf(cluster, options);
  return foundOn(cluster, members).map((etcd): NodeFacts => {
    const { version, peerUrls } = members.find(({ node }) => node === etcd.node) ?? plainMember(0, options);
    const tool = { version, from: 'node' } as const;
    return {
      node: etcd.node,
      etcd,
      etcdVersion: version,
      peerUrls,
      argv: ['/usr/bin/etcd', `--name=${etcd.memberName}`, `--data-dir=${etcd.dataDir}`],
      hasConfigFile: false,
      dataDir: {
        path: etcd.dataDir,
        uid: 0,
        gid: 0,
        isMountPoint: false,
        mountsInside: [],
        freeBytes: 100 * 1024 ** 3,
      },
      walDir: undefined,
      apiServer: undefined,
      scheduler: undefined,
      controllerManager: undefined,
      kubelet: undefined,
      runtime: undefined,
      tools: [
        { ...tool, name: 'etcdctl', path: '/usr/bin/etcdctl', sha256: 'c'.repeat(64) },
        { ...tool, name: 'etcdutl', path: '/usr/bin/etcdutl', sha256: 'd'.repeat(64) },
      ],
    };
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}
