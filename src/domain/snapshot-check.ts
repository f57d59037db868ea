/**
 * Owns what makes bytes a whole etcd snapshot: a bbolt file whose last 32 bytes are the sha256 of all before them.
 * etcd: server/etcdserver/api/v3rpc/maintenance.go appends the trailer; bbolt pages are a multiple of 512 bytes.
 */
import { createHash } from 'node:crypto';
import { KeyturnError } from './error.ts';

const TRAILER = 32;
/** bbolt's first meta page: 16 bytes of page header, then magic and version, little-endian. */
const MAGIC_AT = 16;
const BOLT_MAGIC = 0xed0cdaed;
const BOLT_VERSION = 2;
const HEAD = MAGIC_AT + 8;

export interface CheckedSnapshot {
  /** Bytes, trailer included. */
  readonly size: number;
  /** Of the whole, trailer included; lower-case hex. */
  readonly sha256: string;
}

/** Follows a snapshot while it is read; holds its head and the last chunk, which must not change after it was handed in. */
export class SnapshotCheck {
  readonly #hash = createHash('sha256');
  readonly #head = Buffer.alloc(HEAD);
  /** What may have the trailer in it, and so is not in the hash yet: at least 32 bytes, once there were so many. */
  #held: Uint8Array = new Uint8Array(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  update(chunk: Uint8Array): void {
    if (this.#size < HEAD) this.#head.set(chunk.subarray(0, HEAD - this.#size), this.#size);
    this.#size += chunk.length;
    if (chunk.length >= TRAILER) {
      this.#hash.update(this.#held);
      this.#held = chunk;
      return;
    }
    const both = Buffer.concat([this.#held.subarray(-TRAILER), chunk]);
    this.#hash.update(this.#held.subarray(0, -TRAILER));
    this.#held = both;
  }

  /** Call once, at the end. Throws etcd.snapshot-corrupt. */
  finish(): CheckedSnapshot {
    if (this.#size % 512 !== TRAILER) throw corrupt(`its size of ${this.#size} bytes is not that of a whole snapshot`);
    if (this.#head.readUInt32LE(MAGIC_AT) !== BOLT_MAGIC || this.#head.readUInt32LE(MAGIC_AT + 4) !== BOLT_VERSION)
      throw corrupt('it does not begin like an etcd database');
    const trailer = this.#held.subarray(-TRAILER);
    this.#hash.update(this.#held.subarray(0, -TRAILER));
    const content = this.#hash.copy().digest();
    if (!content.equals(trailer)) throw corrupt('its sha256 trailer does not fit its content');
    return { size: this.#size, sha256: this.#hash.update(trailer).digest('hex') };
  }
}

function corrupt(why: string): KeyturnError {
  return new KeyturnError('etcd.snapshot-corrupt', `The snapshot is not good: ${why}.`, {
    hint: 'Back up again; if it happens again, look at the disk and the log of the member that was read.',
  });
}
