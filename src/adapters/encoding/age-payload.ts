/**
 * Owns the payload of an age file: chunks of 64 KiB, each sealed with ChaCha20-Poly1305 under a key made of the file's key and a
 * nonce; the last one is marked, so that neither a cut nor an addition goes unseen. Source: age-encryption.org/v1, "Payload".
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';
import type { ByteReader } from './byte-reader.ts';

const CHUNK = 64 * 1024;
const TAG = 16;
const NONCE = 16;
const CIPHER = 'chacha20-poly1305';

/** The nonce, and all chunks sealed. Reuses no buffer. */
export async function* sealPayload(fileKey: Uint8Array, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const nonce = randomBytes(NONCE);
  const key = payloadKey(fileKey, nonce);
  yield nonce;
  let held: Uint8Array[] = [];
  let size = 0;
  let number = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    // The last chunk may be full, so a full one waits until it is known that more comes.
    while (size + rest.length > CHUNK) {
      const room = CHUNK - size;
      held.push(rest.subarray(0, room));
      yield seal(key, number, false, held);
      number += 1;
      rest = rest.subarray(room);
      held = [];
      size = 0;
    }
    if (rest.length > 0) held.push(rest);
    size += rest.length;
  }
  yield seal(key, number, true, held);
}

/** What was sealed; a chunk is given only when it is known to be good. Throws snapshot.damaged. */
export async function* openPayload(fileKey: Uint8Array, bytes: ByteReader): AsyncGenerator<Uint8Array> {
  const nonce = await bytes.read(NONCE);
  if (nonce.length < NONCE) throw damagedPart('cut off behind its header');
  const key = payloadKey(fileKey, nonce);
  for (let number = 0; ; number += 1) {
    const sealed = await bytes.read(CHUNK + TAG);
    const isLast = await bytes.isAtEnd();
    const chunk = open(key, number, isLast, sealed);
    if (chunk === undefined)
      throw damagedPart(`part ${number + 1}, after ${number * CHUNK} bytes, is not what was written, or is cut off`);
    if (chunk.length === 0 && number > 0) throw damagedPart('its last part is empty');
    yield chunk;
    if (isLast) return;
  }
}

function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** Eleven bytes of the chunk's number, and one that says whether it is the last. */
function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

function seal(key: Buffer, number: number, isLast: boolean, parts: readonly Uint8Array[]): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonceOf(number, isLast), { authTagLength: TAG });
  const sealed = parts.map((part) => cipher.update(part));
  cipher.final();
  return Buffer.concat([...sealed, cipher.getAuthTag()]);
}

function open(key: Buffer, number: number, isLast: boolean, sealed: Buffer): Buffer | undefined {
  if (sealed.length < TAG) return undefined;
  const decipher = createDecipheriv(CIPHER, key, nonceOf(number, isLast), { authTagLength: TAG });
  decipher.setAuthTag(sealed.subarray(-TAG));
  const chunk = decipher.update(sealed.subarray(0, -TAG));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return chunk;
}

function damagedPart(why: string): KeyturnError {
  return new KeyturnError('snapshot.damaged', `The encrypted bytes are damaged: ${why}.`, {
    hint: 'Use another copy or another snapshot.',
  });
}
