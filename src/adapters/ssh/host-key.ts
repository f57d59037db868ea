/** Owns the pinning of host keys: a host is who the configuration says it is, or it is not talked to. */
import { createHash } from 'node:crypto';
import { KeyturnError } from '../../domain/error.ts';

/** A key as a host presented it, in OpenSSH's words: `ssh-ed25519 SHA256:…`. */
export interface PresentedKey {
  readonly type: string;
  readonly fingerprint: string;
}

/** Host key algorithms of a handshake, newest first, by the type of key that they use. */
const ALGORITHMS = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
} as const;

type HostKeyAlgorithm = (typeof ALGORITHMS)[keyof typeof ALGORITHMS][number];

/** What to offer in a handshake with a host that already presented the keys in `seen`; empty: nothing is left to ask for. */
export function hostKeyAlgorithms(seen: readonly PresentedKey[]): HostKeyAlgorithm[] {
  return Object.entries(ALGORITHMS).flatMap(([type, algorithms]) =>
    seen.some((key) => key.type === type) ? [] : [...algorithms],
  );
}

/** `key` is the public key in SSH's wire format: a length and the name of its type come first (RFC 4253, 6.6). */
export function presentedKey(key: Buffer): PresentedKey {
  const length = key.readUInt32BE(0);
  return {
    type: key.toString('latin1', 4, 4 + length),
    fingerprint: `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`,
  };
}

export function isPinned(key: PresentedKey, pinned: readonly string[]): boolean {
  return pinned.some((pin) => pin.replace(/=+$/, '') === key.fingerprint);
}

export function refusedHostKey(
  who: string,
  presented: readonly PresentedKey[],
  pinned: readonly string[],
): KeyturnError {
  const shown = presented.map((key) => `${key.type} ${key.fingerprint}`).join(', ');
  const type = presented[0]?.type.replace(/^ssh-|^ecdsa-.*/, (found) => (found === 'ssh-' ? '' : 'ecdsa')) ?? 'ed25519';
  const look = `ssh-keygen -lf /etc/ssh/ssh_host_${type}_key.pub`;
  if (pinned.length === 0) {
    return new KeyturnError(
      'ssh.host-key',
      `The host key of ${who} is not known yet: expected key: none configured; presented: ${shown}.`,
      {
        hint: `Run "${look}" on the machine itself. If it prints the same fingerprint, set hostKey of this machine to it.`,
      },
    );
  }
  return new KeyturnError(
    'ssh.host-key',
    `${who} shows another host key than configured: expected ${pinned.join(' or ')}; presented: ${shown}.`,
    {
      hint:
        `Someone may be in between, or the machine was set up anew. Run "${look}" on the machine itself; ` +
        'change hostKey of this machine only if it prints the presented fingerprint.',
    },
  );
}
