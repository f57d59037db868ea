/** Owns who Keyturn logs in as on the local nodes, and what it may do there as root: what the docs tell operators to allow. */
import { sudoersFile } from '../../../src/adapters/etcd/sudoers.ts';
import { stepSudoers } from '../../../src/adapters/ssh/detached.ts';

/** The SSH user that the docs and the local nodes use. */
export const sshUser = 'keyturn';

/** Files below /etc/sudoers.d: one for backups, which lets it read `files`, and one for restores. */
export function sudoRules(files: readonly string[]): Record<string, string> {
  return {
    [`/etc/sudoers.d/${sshUser}`]: sudoersFile(sshUser, files),
    [`/etc/sudoers.d/${sshUser}-steps`]: stepSudoers(sshUser),
  };
}
