/** Owns what `keyturn check` says of compression and encryption: can new snapshots be made, and can they be opened here? */
import { KeyturnError } from '../../domain/error.ts';
import { PLAIN } from '../../domain/snapshot.ts';
import { headerFor } from './coder.ts';
import { through } from './filter.ts';
import { fitting, PASSPHRASE, readKeys, recipientsOf, type EncryptionOptions } from './keys.ts';
import { findZstd, noZstd } from './zstd.ts';

export interface Found {
  readonly found: string;
  readonly warning: string | undefined;
}

/** Throws encryption.failed when nothing could be encrypted, encryption.no-identity when a key file can't be used. */
export async function checkEncryption(options: EncryptionOptions): Promise<Found> {
  const recipients = recipientsOf(options);
  const { keys, problems, loose } = await readKeys(options);
  if (recipients.length > 0) await headerFor(recipients, options);
  if (problems.length > 0)
    throw new KeyturnError('encryption.no-identity', problems.join(' '), {
      hint: 'Correct or remove it in encryption.identityFiles: what is encrypted for it can’t be restored from here.',
    });
  const warnings = [
    ...(recipients.length > 0 && fitting(keys, recipients).length === 0
      ? [
          'No identity here opens them: their restore is refused on this machine until encryption.identityFiles has one.',
        ]
      : []),
    ...loose.map(({ file, mode }) => `Every user of this machine may read ${file} (mode ${mode}): chmod 600 ${file}`),
  ];
  return { found: words(recipients, keys.length), warning: warnings.length === 0 ? undefined : warnings.join(' ') };
}

function words(recipients: readonly string[], keys: number): string {
  const here = `${keys === 0 ? 'no' : keys} ${keys === 1 ? 'identity' : 'identities'} here`;
  if (recipients.length === 0) return `new snapshots are not encrypted, ${here}`;
  if (recipients[0] === PASSPHRASE) return `new snapshots with a passphrase, ${here}`;
  return `new snapshots to ${recipients.length} recipient${recipients.length === 1 ? '' : 's'}, ${here}`;
}

/** Compresses something and looks at it again. */
export async function checkCompression(signal: AbortSignal): Promise<Found> {
  const zstd = findZstd();
  if (zstd === undefined)
    return { found: 'no zstd, snapshots are stored uncompressed', warning: `${noZstd().message} ${noZstd().hint}` };
  const said = JSON.stringify(PLAIN);
  const packed = through(() => zstd.compress(), once(Buffer.from(said)), signal);
  const back: Uint8Array[] = [];
  for await (const chunk of through(() => zstd.decompress(), packed, signal)) back.push(chunk);
  if (Buffer.concat(back).toString() !== said)
    throw new KeyturnError('compression.failed', `${zstd.name} gives back other bytes than it was given.`, {
      hint: 'Install another zstd.',
    });
  return { found: `zstd, by ${zstd.name}`, warning: undefined };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
