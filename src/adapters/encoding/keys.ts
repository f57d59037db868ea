/** Owns the keys of encryption: who new snapshots are for, and what is here to open them again. Files are read each time they are needed. */
import { identityToRecipient, type Identity, type Recipient } from 'age-encryption';
import { readFile, stat } from 'node:fs/promises';
import { KeyturnError } from '../../domain/error.ts';
import { passphraseIdentity, passphraseRecipient } from './age-header.ts';

/** The section `encryption` of the configuration. */
export interface EncryptionOptions {
  /** age recipients, `age1…`. */
  readonly recipients: readonly string[];
  /** Instead of recipients; it also opens what was encrypted with it. */
  readonly passphraseFile: string | undefined;
  /** age identity files, and files with a passphrase of before. */
  readonly identityFiles: readonly string[];
}

/** How a manifest names the passphrase among recipients. */
export const PASSPHRASE = 'passphrase';

/** As manifests have them; empty: not encrypted. */
export function recipientsOf({ recipients, passphraseFile }: EncryptionOptions): readonly string[] {
  return passphraseFile === undefined ? [...new Set(recipients)] : [PASSPHRASE];
}

/** The library's form of recipients. Throws encryption.failed. */
export async function toRecipients(
  recipients: readonly string[],
  { passphraseFile }: EncryptionOptions,
): Promise<readonly (string | Recipient)[]> {
  return Promise.all(
    recipients.map(async (recipient) => {
      if (recipient !== PASSPHRASE) return recipient;
      if (passphraseFile === undefined) throw unusable('encryption.passphraseFile is not configured any more');
      const passphrase = passphraseIn(await readKeyFile(passphraseFile));
      if (passphrase === undefined) throw unusable(`${passphraseFile} holds no passphrase: it must be one line`);
      return passphraseRecipient(passphrase);
    }),
  );
}

/** Something that opens snapshots. */
export interface Key {
  readonly file: string;
  /** Whose snapshots it opens, as manifests name the recipient. */
  readonly recipient: string;
  readonly identity: Identity | string;
}

export interface Keys {
  readonly keys: readonly Key[];
  /** Files that hold no key, or can't be read; each a sentence. */
  readonly problems: readonly string[];
  /** Files that every user of this machine may read. */
  readonly loose: readonly { readonly file: string; readonly mode: string }[];
}

/** Everything that is here to open snapshots with. Never throws for a file. */
export async function readKeys({ identityFiles, passphraseFile }: EncryptionOptions): Promise<Keys> {
  const files = [...new Set([...identityFiles, ...(passphraseFile === undefined ? [] : [passphraseFile])])];
  const keys: Key[] = [];
  const problems: string[] = [];
  const loose: Keys['loose'][number][] = [];
  for (const file of files) {
    try {
      const found = await keysIn(file, await readKeyFile(file));
      keys.push(...found);
      const mode = (await stat(file)).mode & 0o777;
      if ((mode & 0o007) !== 0) loose.push({ file, mode: mode.toString(8).padStart(4, '0') });
    } catch (error) {
      if (!(error instanceof KeyturnError)) throw error;
      problems.push(error.message);
    }
  }
  return { keys, problems, loose };
}

/** Those of the keys that open what is encrypted to these recipients. */
export function fitting(keys: readonly Key[], recipients: readonly string[]): readonly Key[] {
  return keys.filter(({ recipient }) => recipients.includes(recipient));
}

const IDENTITY = /^AGE-SECRET-KEY-1/i;

async function keysIn(file: string, text: string): Promise<readonly Key[]> {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length > 0 && lines.every((line) => IDENTITY.test(line)))
    return Promise.all(lines.map((line) => identityOf(file, line)));
  const passphrase = passphraseIn(text);
  if (passphrase === undefined || /^(#|AGE-|age-encryption\.org)/i.test(passphrase))
    throw unusable(`${file} holds neither age identities (AGE-SECRET-KEY-1…) nor one line with a passphrase`);
  return [{ file, recipient: PASSPHRASE, identity: passphraseIdentity(passphrase) }];
}

async function identityOf(file: string, identity: string): Promise<Key> {
  try {
    return { file, recipient: await identityToRecipient(identity), identity };
  } catch {
    // What the library says of it has the secret in it.
    throw unusable(`${file} holds an age identity that is mistyped: its checksum is wrong`);
  }
}

function passphraseIn(text: string): string | undefined {
  const passphrase = text.replace(/\r?\n$/, '');
  return passphrase === '' || /[\r\n]/.test(passphrase) ? undefined : passphrase;
}

/** A key file is small. */
async function readKeyFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw unusable(`${file} can't be read (${code ?? message})`);
  }
}

function unusable(why: string): KeyturnError {
  return new KeyturnError('encryption.failed', `A key of the encryption can't be used: ${why}.`, {
    hint: 'Look at the section encryption of the configuration; "keyturn check" tries its files.',
  });
}
