/** A coder without keys, files or processes: what it stores is the snapshot's complement between a salt and a sha256. */
import { createHash, randomBytes } from 'node:crypto';
import { KeyturnError } from '../../src/domain/error.ts';
import { isPlain, type Encoding } from '../../src/domain/snapshot.ts';
import type { SnapshotCoder } from '../../src/ports.ts';

/** How the fake says that it encodes. */
export const FAKE_ENCODING: Encoding = { compression: 'none', encryption: 'age', recipients: ['age1fake'] };

const SALT = 8;
const SUM = 32;

export interface FakeCoder extends SnapshotCoder {
  /** Whether what is encoded can be read here; tests may change it. */
  hasIdentity: boolean;
}

export function fakeCoder({ hasIdentity = true } = {}): FakeCoder {
  const noIdentity = new KeyturnError('encryption.no-identity', 'Nothing here opens it.', {
    hint: 'Name its identity in encryption.identityFiles.',
  });
  return {
    hasIdentity,
    encodingFor: () => FAKE_ENCODING,
    encode: (encoding, chunks) => (isPlain(encoding) ? chunks : sealed(chunks)),
    decode: (encoding, chunks) => (isPlain(encoding) ? chunks : opened(chunks)),
    async obstacle(encoding) {
      return this.hasIdentity || isPlain(encoding) ? undefined : noIdentity;
    },
  };
}

async function* sealed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const salt = randomBytes(SALT);
  const hash = createHash('sha256').update(salt);
  yield salt;
  for await (const chunk of chunks) {
    const changed = complementOf(chunk);
    hash.update(changed);
    yield changed;
  }
  yield hash.digest();
}

async function* opened(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let left = SALT;
  let held = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const all = Buffer.concat([held, chunk]);
    const known = all.subarray(0, Math.max(0, all.length - SUM));
    held = all.subarray(known.length);
    hash.update(known);
    const payload = known.subarray(left);
    left -= known.length - payload.length;
    if (payload.length > 0) yield complementOf(payload);
  }
  if (left > 0 || !hash.digest().equals(held)) {
    throw new KeyturnError('snapshot.damaged', 'The encoded bytes are damaged.', { hint: 'Use another copy.' });
  }
}

function complementOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => ~byte));
}
