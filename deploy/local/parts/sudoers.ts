/** Owns what Keyturn's SSH user may do as root on a node: the least that a backup needs, and the file that says so. */

/** The SSH user that the docs and the local nodes use. */
export const sshUser = 'keyturn';

/**
 * /etc/sudoers.d/keyturn, for sudo 1.9.10 or newer (it has regular expressions; wildcards would let `..` through).
 * Reading etcd's certificates, and how etcd was started where only root can see it. Nothing is written, nothing is run.
 */
export const sudoers = String.raw`# Keyturn reads etcd's certificates and start-up settings. It changes nothing.
keyturn ALL=(root) NOPASSWD: /usr/bin/cat ^/etc/kubernetes/pki/(etcd/)?[-a-z]+\.(crt|key)$
keyturn ALL=(root) NOPASSWD: /usr/bin/cat ^/proc/[0-9]+/environ$
`;
