/** Owns how snapshots become what is stored, and snapshots again: compressed with zstd, then encrypted for age recipients. */
import { KeyturnError, toProblem } from '../../domain/error.ts';
import type { Problem } from '../../domain/error.ts';
import type { Encoding } from '../../domain/snapshot.ts';
import type { Log, SnapshotCoder } from '../../ports.ts';
import { makeHeader, openHeader } from './age-header.ts';
import { openPayload, sealPayload } from './age-payload.ts';
import { ByteReader } from './byte-reader.ts';
import { through } from './filter.ts';
import { gzip } from './gzip.ts';
import { fitting, PASSPHRASE, readKeys, recipientsOf, toRecipients, type EncryptionOptions } from './keys.ts';
import { findZstd, noZstd, type Zstd } from './zstd.ts';

/** `zstd` is looked for each time it is needed. */
export function snapshotCoder(
  options: EncryptionOptions,
  { log, zstd = findZstd }: { readonly log: Log; readonly zstd?: () => Zstd | undefined },
): SnapshotCoder {
  const obstacle = async ({ compression, encryption, recipients }: Encoding): Promise<Problem | undefined> => {
    if (compression === 'zstd' && zstd() === undefined) return toProblem(noZstd(), '');
    if (encryption === 'none') return undefined;
    const { keys, problems } = await readKeys(options);
    if (fitting(keys, recipients).length > 0) return undefined;
    return toProblem(noIdentity(recipients, problems), '');
  };
  const filterOf = (compression: 'zstd' | 'gzip'): Pick<Zstd, 'compress' | 'decompress'> =>
    compression === 'gzip' ? gzip : needed(zstd());
  return {
    obstacle,
    encodingFor(wanted) {
      const recipients = recipientsOf(options);
      // A backup that is larger than it had to be is better than none.
      const isMissing = wanted === 'zstd' && zstd() === undefined;
      if (isMissing) log.warn({ hint: noZstd().hint }, 'there is no zstd here: snapshots are stored uncompressed');
      const encryption = recipients.length === 0 ? 'none' : 'age';
      return { compression: isMissing ? 'none' : wanted, encryption, recipients };
    },
    encode({ compression, encryption, recipients }, chunks, signal) {
      const packed = compression === 'none' ? chunks : through(() => filterOf(compression).compress(), chunks, signal);
      return encryption === 'none' ? packed : encrypt(recipients, packed, options);
    },
    decode(encoding, chunks, signal) {
      const packed = encoding.encryption === 'none' ? chunks : decrypt(encoding.recipients, chunks, options);
      const { compression } = encoding;
      if (compression === 'none') return packed;
      return through(() => filterOf(compression).decompress(), packed, signal);
    },
  };
}

async function* encrypt(
  recipients: readonly string[],
  chunks: AsyncIterable<Uint8Array>,
  options: EncryptionOptions,
): AsyncGenerator<Uint8Array> {
  const { header, fileKey } = await headerFor(recipients, options);
  yield header;
  yield* sealPayload(fileKey, chunks);
}

/** Throws encryption.failed. */
export async function headerFor(recipients: readonly string[], options: EncryptionOptions) {
  const usable = await toRecipients(recipients, options);
  try {
    return await makeHeader(usable);
  } catch (error) {
    throw new KeyturnError('encryption.failed', `Nothing can be encrypted for ${recipients.join(', ')}.`, {
      hint: 'See that each of encryption.recipients is what age-keygen printed as public key.',
      cause: error,
    });
  }
}

async function* decrypt(
  recipients: readonly string[],
  chunks: AsyncIterable<Uint8Array>,
  options: EncryptionOptions,
): AsyncGenerator<Uint8Array> {
  const { keys, problems } = await readKeys(options);
  const mine = fitting(keys, recipients);
  if (mine.length === 0) throw noIdentity(recipients, problems);
  const bytes = new ByteReader(chunks);
  try {
    const fileKey = await openHeader(
      bytes,
      mine.map(({ identity }) => identity),
    );
    if (fileKey === undefined) throw badHeader(recipients);
    yield* openPayload(fileKey, bytes);
  } finally {
    bytes.close();
  }
}

function needed(zstd: Zstd | undefined): Zstd {
  if (zstd === undefined) throw noZstd();
  return zstd;
}

function noIdentity(recipients: readonly string[], problems: readonly string[]): KeyturnError {
  const isPassphrase = recipients.includes(PASSPHRASE);
  const whose = isPassphrase ? 'with a passphrase' : `to ${recipients.join(', ')}`;
  const why = ['The snapshot is encrypted', whose, 'and nothing here opens it.'].join(' ');
  return new KeyturnError('encryption.no-identity', [why, ...problems].join(' '), {
    hint: `Put the ${isPassphrase ? 'file with the passphrase' : 'identity file'} on the machine that runs Keyturn and name it in encryption.identityFiles, or decrypt by hand.`,
  });
}

/** With a passphrase, another one than it was encrypted with looks the same. */
function badHeader(recipients: readonly string[]): KeyturnError {
  const other = recipients.includes(PASSPHRASE) ? ', or it was encrypted with another passphrase' : '';
  return new KeyturnError('snapshot.damaged', `The header of the encryption is not what was written${other}.`, {
    hint: 'Use another copy or another snapshot.',
  });
}
