/** Coders as configurations would make them, for tests that only hand one on. */
import { snapshotCoder } from '../../src/adapters/encoding/coder.ts';
import type { EncryptionOptions } from '../../src/adapters/encoding/keys.ts';
import type { Log, SnapshotCoder } from '../../src/ports.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Without options nothing is encrypted. */
export function coderOf(options: Partial<EncryptionOptions> = {}): SnapshotCoder {
  return snapshotCoder({ recipients: [], passphraseFile: undefined, identityFiles: [], ...options }, { log: silent });
}
