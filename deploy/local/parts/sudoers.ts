/** Owns who Keyturn logs in as on the local nodes, and what it may do there as root: what the docs tell operators to allow. */
import { KUBEADM_FILES, sudoersFile } from '../../../src/adapters/etcd/sudoers.ts';

/** The SSH user that the docs and the local nodes use. */
export const sshUser = 'keyturn';

/** /etc/sudoers.d/keyturn on every local node. */
export const sudoers = sudoersFile(sshUser, KUBEADM_FILES);
