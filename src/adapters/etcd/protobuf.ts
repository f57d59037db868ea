/** Owns the few protobuf messages of etcd's API that Keyturn speaks (etcd: api/etcdserverpb/rpc.proto; same from 3.4 on). */
import type { MemberAnswer, StatusAnswer } from '../../domain/etcd-commands.ts';

/** Method paths of the gRPC services. */
export const METHODS = {
  status: '/etcdserverpb.Maintenance/Status',
  snapshot: '/etcdserverpb.Maintenance/Snapshot',
  memberList: '/etcdserverpb.Cluster/MemberList',
  range: '/etcdserverpb.KV/Range',
  hashKv: '/etcdserverpb.Maintenance/HashKV',
} as const;

/** StatusRequest, SnapshotRequest and MemberListRequest have no field that is set. */
export const EMPTY = new Uint8Array(0);

/** RangeRequest: from key "\0" to "\0" is every key; count_only, and linearizable: what is acknowledged is counted. */
export const COUNT_ALL_KEYS = Uint8Array.of(0x0a, 1, 0, 0x12, 1, 0, 0x48, 1);

/** HashKVRequest of this revision, which is positive. */
export function hashRequest(revision: bigint): Uint8Array {
  const bytes = [0x08];
  let rest = revision;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(rest)]);
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** One field of a message: an integer, or bytes. */
interface Field {
  readonly number: number;
  readonly int: bigint;
  readonly bytes: Uint8Array;
}

export function decodeStatus(message: Uint8Array): StatusAnswer {
  const fields = decode(message);
  const header = decode(bytes(fields, 1));
  return {
    clusterId: int(header, 1),
    memberId: int(header, 2),
    revision: int(header, 3),
    version: text(bytes(fields, 2)),
    dbSize: Number(int(fields, 3)),
    leader: int(fields, 4),
    raftIndex: int(fields, 5),
    raftTerm: int(fields, 6),
    raftAppliedIndex: int(fields, 7),
    errors: all(fields, 8).map(text),
    dbSizeInUse: Number(int(fields, 9)),
    isLearner: int(fields, 10) === 1n,
  };
}

export function decodeMemberList(message: Uint8Array): readonly MemberAnswer[] {
  return all(decode(message), 2).map((member) => {
    const fields = decode(member);
    return {
      id: int(fields, 1),
      name: text(bytes(fields, 2)),
      peerUrls: all(fields, 3).map(text),
      clientUrls: all(fields, 4).map(text),
      isLearner: int(fields, 5) === 1n,
    };
  });
}

export function decodeCount(message: Uint8Array): { readonly keys: bigint; readonly revision: bigint } {
  const fields = decode(message);
  return { keys: int(fields, 4), revision: int(decode(bytes(fields, 1)), 3) };
}

/** HashKVResponse: the hash is a uint32. */
export function decodeHash(message: Uint8Array): number {
  return Number(int(decode(message), 2));
}

/** All fields in order. Throws RangeError when the message is cut or not protobuf. */
export function decode(message: Uint8Array): readonly Field[] {
  const fields: Field[] = [];
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = view.getUint8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new RangeError('A varint of more than ten bytes.');
  };
  const take = (length: number): Uint8Array => {
    if (at + length > message.length) throw new RangeError('The message is cut.');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    const wire = tag & 7;
    if (wire === VARINT) fields.push({ number, int: varint(), bytes: EMPTY });
    else if (wire === BYTES) fields.push({ number, int: 0n, bytes: take(Number(varint())) });
    else if (wire === FIXED64) take(8);
    else if (wire === FIXED32) take(4);
    else throw new RangeError(`Wire type ${wire}.`);
  }
  return fields;
}

/** The last one counts, as protobuf says; 0 when there is none. */
function int(fields: readonly Field[], number: number): bigint {
  return fields.findLast((field) => field.number === number)?.int ?? 0n;
}

function bytes(fields: readonly Field[], number: number): Uint8Array {
  return fields.findLast((field) => field.number === number)?.bytes ?? EMPTY;
}

function all(fields: readonly Field[], number: number): readonly Uint8Array[] {
  return fields.filter((field) => field.number === number).map((field) => field.bytes);
}

function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}
