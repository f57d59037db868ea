/** Owns what Keyturn needs root for on a node; documentation, the local nodes and error messages all quote it from here. */
import { ETCDCTL, etcdctl, snapshotSave } from '../../domain/etcd-commands.ts';
import type { EtcdctlAccess } from '../../domain/etcd-commands.ts';
import { sudoersLine } from '../../domain/sudoers.ts';

/** Why each kind of line is there. Nothing but files is read, and nothing is written. */
export const NEEDS_ROOT = [
  { command: 'cat /proc/<pid of etcd>/environ', why: "etcd's flags that are set by environment variables" },
  { command: 'cat <etcd’s certificates and key>', why: 'to speak TLS with etcd; read into memory, never stored' },
  { command: 'cat <manifest or environment file>', why: 'to tell what etcd would be when it is stopped; optional' },
  { command: 'etcdctl … (four fixed commands)', why: 'only where sshd does not allow TCP forwarding' },
] as const;

/** kubeadm's files; other installations name theirs. */
export const KUBEADM_FILES = [
  '/etc/kubernetes/manifests/etcd.yaml',
  '/etc/kubernetes/pki/etcd/ca.crt',
  '/etc/kubernetes/pki/etcd/server.crt',
  '/etc/kubernetes/pki/etcd/server.key',
] as const;

/** Process ids have up to seven digits. A `*` would match spaces and slashes too, and so every file. */
const PIDS = [1, 2, 3, 4, 5, 6, 7].map((digits) => '[0-9]'.repeat(digits));

/** Folder of the FIFO: twelve hexadecimal digits that nobody can guess. */
export const FIFO_DIGITS = 12;
const FIFO_PATTERN = `/tmp/keyturn-${'[0-9a-f]'.repeat(FIFO_DIGITS)}/x.db`;

/** What `/etc/sudoers.d/keyturn` has to say for `user`: the files that only root may read, and etcd's environment. */
export function sudoersFile(user: string, files: readonly string[] = KUBEADM_FILES): string {
  const environments = PIDS.map((pid) => sudoersLine(user, '/usr/bin/cat', [{ pattern: `/proc/${pid}/environ` }]));
  return [...environments, ...files.map((file) => sudoersLine(user, '/usr/bin/cat', [file]))].map(addNewline).join('');
}

/** The lines that the fall-back needs besides: etcdctl with these certificates, asking and saving to the FIFO alone. */
export function etcdctlSudoers(user: string, access: EtcdctlAccess, path = '/usr/bin/etcdctl'): string {
  const [, ...common] = etcdctl(access, []);
  const asking = Object.values(ETCDCTL).map((command) => sudoersLine(user, path, [...common, ...command]));
  return [...asking, saveLine(user, access, path)].map(addNewline).join('');
}

/** The line for `snapshot save`, whose path is another one each time. */
export function saveLine(user: string, access: EtcdctlAccess, path = '/usr/bin/etcdctl'): string {
  const [, ...common] = etcdctl(access, snapshotSave(''));
  return sudoersLine(user, path, [...common.slice(0, -1), { pattern: FIFO_PATTERN }]);
}

function addNewline(line: string): string {
  return `${line}\n`;
}
