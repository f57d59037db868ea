/** A coder that leaves plain snapshots as they are; its encryption is a header and flipped bits, so that tests can spoil it. */
import { KeyturnError } from '../../src/domain/error.ts';
import { PLAIN } from '../../src/domain/snapshot.ts';
import type { SnapshotCoder } from '../../src/ports.ts';

const HEADER = Buffer.from('fake encryption\n');

export interface FakeCoder extends SnapshotCoder {
  /** Whether there is an identity; at first there is. */
  hasIdentity: boolean;
}

export function fakeCoder(): FakeCoder {
  const flipped = (chunk: Uint8Array): Uint8Array => chunk.map((byte) => byte ^ 0x5a);
  return {
    hasIdentity: true,
    encodingFor: () => PLAIN,
    async *encode({ encryption }, chunks) {
      if (encryption === 'age') yield HEADER;
      for await (const chunk of chunks) yield encryption === 'age' ? flipped(chunk) : chunk;
    },
    async *decode({ encryption }, chunks) {
      let header = encryption === 'age' ? HEADER.length : 0;
      for await (const chunk of chunks) {
        const skipped = Math.min(header, chunk.length);
        const at = HEADER.length - header;
        if (!HEADER.subarray(at, at + skipped).equals(chunk.subarray(0, skipped))) throw spoilt();
        header -= skipped;
        yield encryption === 'age' ? flipped(chunk.subarray(skipped)) : chunk;
      }
    },
    async obstacle({ encryption }) {
      if (encryption === 'none' || this.hasIdentity) return undefined;
      return { code: 'encryption.no-identity', message: 'No identity opens it.', hint: 'Configure one.' };
    },
  };
}

function spoilt(): KeyturnError {
  return new KeyturnError('snapshot.damaged', 'The header is not right.', { hint: 'Choose another copy.' });
}
