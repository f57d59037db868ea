/**
 * Owns how the bytes of a snapshot are taken out of a gRPC stream of SnapshotResponse messages, however they are split:
 * a state machine that keeps a few counters and hands on slices of what it was given, so that no byte is copied.
 */

/** Message of at most this size: etcd sends blobs of 32 KiB, one that claims more is not etcd. */
const MAX_MESSAGE = 16 * 1024 * 1024;

/** SnapshotResponse (rpc.proto). */
const REMAINING_BYTES = 2;
const BLOB = 3;

type State = 'prefix' | 'tag' | 'varint' | 'length' | 'bytes';

export interface SnapshotDecoder {
  /** Returns the blob bytes in `chunk`, in order, as slices of it. Throws RangeError when it is no such stream. */
  push(chunk: Uint8Array): readonly Uint8Array[];
  /** True between two messages: the only place where a stream may end. */
  readonly atBoundary: boolean;
  /** The newest `remaining_bytes`; it reaches 0 before the last message, which carries the sha256. */
  readonly remaining: bigint | undefined;
}

export function snapshotDecoder(): SnapshotDecoder {
  let state: State = 'prefix';
  /** Bytes of the gRPC prefix seen so far, and its length field. */
  let prefixSeen = 0;
  let messageLeft = 0;
  let field = 0;
  let wire = 0;
  /** The varint that is being read. */
  let value = 0n;
  let shift = 0n;
  let bytesLeft = 0;
  let remaining: bigint | undefined;

  const nextField = (): void => {
    state = messageLeft === 0 ? 'prefix' : 'tag';
    value = 0n;
    shift = 0n;
  };

  /** A gRPC message: one byte for compression, four for the length. */
  const takePrefix = (byte: number): void => {
    if (prefixSeen === 0 && byte !== 0) throw new RangeError('A compressed message, which was not asked for.');
    if (prefixSeen > 0) messageLeft = messageLeft * 256 + byte;
    prefixSeen += 1;
    if (prefixSeen < 5) return;
    if (messageLeft > MAX_MESSAGE) throw new RangeError(`A message of ${messageLeft} bytes.`);
    prefixSeen = 0;
    // A field that is 0 is not sent.
    remaining = 0n;
    nextField();
  };

  const takeVarint = (byte: number): void => {
    if (shift > 63n) throw new RangeError('A varint of more than ten bytes.');
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    messageLeft -= 1;
    if (byte >= 0x80) {
      if (messageLeft === 0) throw new RangeError('A message ends within a field.');
      return;
    }
    if (state === 'tag') takeTag(Number(value));
    else if (state === 'length') takeBytes(Number(value));
    else {
      if (field === REMAINING_BYTES) remaining = BigInt.asUintN(64, value);
      nextField();
    }
  };

  const takeTag = (tag: number): void => {
    field = tag >>> 3;
    wire = tag & 7;
    value = 0n;
    shift = 0n;
    if (wire === 0) state = 'varint';
    else if (wire === 2) state = 'length';
    else if (wire === 1) takeBytes(8);
    else if (wire === 5) takeBytes(4);
    else throw new RangeError(`Wire type ${wire}.`);
    if (messageLeft === 0) throw new RangeError('A message ends within a field.');
  };

  const takeBytes = (length: number): void => {
    if (length > messageLeft) throw new RangeError('A field is longer than its message.');
    bytesLeft = length;
    if (length === 0) nextField();
    else state = 'bytes';
  };

  return {
    get atBoundary() {
      return state === 'prefix' && prefixSeen === 0;
    },
    get remaining() {
      return remaining;
    },
    push(chunk) {
      const blobs: Uint8Array[] = [];
      let at = 0;
      while (at < chunk.length) {
        if (state === 'bytes') {
          const end = Math.min(at + bytesLeft, chunk.length);
          if (field === BLOB && wire === 2) blobs.push(chunk.subarray(at, end));
          bytesLeft -= end - at;
          messageLeft -= end - at;
          at = end;
          if (bytesLeft === 0) nextField();
        } else {
          const byte = chunk[at] ?? 0;
          at += 1;
          if (state === 'prefix') takePrefix(byte);
          else takeVarint(byte);
        }
      }
      return blobs;
    },
  };
}
