/** Owns which algorithms are offered to a machine: what OpenSSH still trusts, and what it gave up only where that is allowed. */
import type { Algorithms, CipherAlgorithm, KexAlgorithm, ServerHostKeyAlgorithm } from 'ssh2';
import { KeyturnError } from '../../domain/error.ts';
import { hostKeyAlgorithms, type PresentedKey } from './host-key.ts';

/** aes128-gcm first: the fastest one where the processor knows AES, and authenticated. */
const CIPHERS: CipherAlgorithm[] = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
];

/** Gone from OpenSSH's defaults: SHA-1 in the key exchange (8.2 and before) and in host keys (8.8), CBC (6.7). */
const LEGACY: Readonly<{ kex: KexAlgorithm[]; hostKey: ServerHostKeyAlgorithm[]; cipher: CipherAlgorithm[] }> = {
  kex: ['diffie-hellman-group14-sha1', 'diffie-hellman-group-exchange-sha1', 'diffie-hellman-group1-sha1'],
  hostKey: ['ssh-rsa'],
  cipher: ['aes256-cbc', 'aes128-cbc', '3des-cbc'],
};

/** What is known of the machine's way to speak. */
interface Speaker {
  /** Also offer what OpenSSH gave up. Undefined: nobody can be asked to allow that for this machine. */
  readonly legacyAlgorithms?: boolean;
}

/** What to offer in a handshake with a host that already presented the keys in `seen`, the best first. */
export function algorithmsFor({ legacyAlgorithms }: Speaker, seen: readonly PresentedKey[]): Algorithms {
  const serverHostKey: ServerHostKeyAlgorithm[] = hostKeyAlgorithms(seen);
  if (legacyAlgorithms !== true) return { cipher: CIPHERS, serverHostKey };
  return {
    cipher: [...CIPHERS, ...LEGACY.cipher],
    serverHostKey: seen.some(({ type }) => type === 'ssh-rsa') ? serverHostKey : [...serverHostKey, ...LEGACY.hostKey],
    kex: { append: LEGACY.kex, prepend: [], remove: [] },
  };
}

/** ssh2 tells it by its text alone; a test guards it. */
const MISMATCH = /^Handshake failed: no matching (.+)$/;

export function isMismatch(error: Error): boolean {
  return MISMATCH.test(error.message);
}

/** `who`: the machine as people know it. */
export function noCommonAlgorithm({ legacyAlgorithms }: Speaker, who: string, error: Error): KeyturnError {
  const what = MISMATCH.exec(error.message)?.[1] ?? 'algorithm';
  return new KeyturnError('ssh.algorithms', `${who} and Keyturn know no common ${what}.`, {
    hint:
      legacyAlgorithms === false
        ? 'Update its SSH server. If that is not possible and its network is trusted, set legacyAlgorithms: true for it.'
        : 'Update its SSH server, or allow in its configuration what OpenSSH offers by default.',
    cause: error,
  });
}
