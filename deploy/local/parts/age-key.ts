/** Owns the age key of the local default: made anew where there is none, as `age-keygen` would write it. */
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { writeFile } from 'node:fs/promises';

export interface AgeKey {
  /** `age1…` */
  readonly recipient: string;
  /** The identity file, for its owner alone. */
  readonly file: string;
}

export async function writeAgeKey(file: string): Promise<AgeKey> {
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  await writeFile(file, `# public key: ${recipient}\n${identity}\n`, { mode: 0o600 });
  return { recipient, file };
}
