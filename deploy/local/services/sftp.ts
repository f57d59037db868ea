/** Owns the local SFTP server: OpenSSH's sshd from the nodes' root file system, which lets one user into one folder. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { loaderOf, programOf } from '../parts/programs.ts';
import { startContained, type ServerHands } from './contained.ts';

export interface SftpOptions {
  /** Data, keys, configuration and log; made when missing, kept when stopped. */
  readonly dir: string;
  /** What `ensureRootfs('node')` answers. */
  readonly rootfs: string;
  /** Network namespace to live in, by name or path; its loopback must be up. Undefined: the caller's own. */
  readonly netns?: string;
  /** Address to listen on; default 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** Keep data in memory, at most so many bytes (and lose it when stopped): how a store gets full. */
  readonly sizeLimit?: number;
  /** Default ed25519. */
  readonly hostKeyType?: 'ed25519' | 'rsa';
  /** Lines of sshd_config that come first, and so count. */
  readonly sshdConfig?: readonly string[];
  /** Requests that the server is made not to know, such as `posix-rename`: how others than OpenSSH are. */
  readonly unknownRequests?: readonly string[];
}

export interface LocalSftp extends ServerHands {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** As the user sees it. */
  readonly path: string;
  /** The same folder on this machine; not with `sizeLimit`. */
  readonly folder: string;
  /** The user's private key. */
  readonly keyFile: string;
  /** `SHA256:…` */
  readonly hostKey: string;
}

/** Of the nodes' root file system. */
const USER = 'keyturn';
const UID = 1000;
const FOLDER = 'etcd-backup';

/** Starts sshd and resolves when it listens (about 50 ms). It ends with this process, however that ends. */
export async function startSftp(options: SftpOptions): Promise<LocalSftp> {
  const { dir, rootfs, port, host = '127.0.0.1', sizeLimit } = options;
  // The user's rights are looked at by sshd: it must be able to read its key's public half, and own its folder.
  const etc = join(dir, 'etc');
  await mkdir(etc, { recursive: true, mode: 0o755 });
  for (const name of ['data', 'root']) await mkdir(join(dir, name), { recursive: true, mode: 0o755 });
  const keyFile = join(dir, 'user_key');
  const hostKey = await makeKey(rootfs, join(etc, 'host_key'), options.hostKeyType ?? 'ed25519');
  await makeKey(rootfs, keyFile, 'ed25519');
  await writeFile(join(etc, 'authorized_keys'), await readFile(`${keyFile}.pub`), { mode: 0o644 });
  await writeFile(join(etc, 'sshd_config'), configuration(options, host), { mode: 0o600 });
  const { hands } = await startContained({
    what: 'The local SFTP server',
    dir,
    script,
    args: [rootfs, dir, sizeLimit === undefined ? '' : `size=${sizeLimit}`],
    netns: options.netns,
    isReady: (line) => line.startsWith('Server listening on'),
    hint: `See that port ${port} is free.`,
  });
  const folder = join(dir, 'data', FOLDER);
  return { ...hands, host, port, user: USER, path: `/${FOLDER}`, folder, keyFile, hostKey };
}

/** Makes the key when it is not there; its fingerprint. */
async function makeKey(rootfs: string, file: string, type: 'ed25519' | 'rsa'): Promise<string> {
  const keygen = async (...args: string[]): Promise<string> => {
    const [program, ...rest] = programOf(await loaderOf(rootfs), 'usr/bin/ssh-keygen', args);
    return (await execa(program, rest, { stdin: 'ignore' })).stdout;
  };
  const isThere = await readFile(file).then(
    () => true,
    () => false,
  );
  if (!isThere) await keygen('-q', '-t', type, '-N', '', '-C', 'keyturn-local', '-f', file);
  return (await keygen('-l', '-f', `${file}.pub`)).split(' ')[1] ?? '';
}

function configuration(options: SftpOptions, host: string): string {
  const unknown = (options.unknownRequests ?? []).join(',');
  return [
    ...(options.sshdConfig ?? []),
    `ListenAddress ${host}`,
    `Port ${options.port}`,
    'HostKey /etc/ssh/host_key',
    'AuthorizedKeysFile /etc/ssh/authorized_keys',
    'PidFile none',
    'UsePAM no',
    'UseDNS no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    `AllowUsers ${USER}`,
    // Tests log in wrongly on purpose, again and again.
    'PerSourcePenalties no',
    'MaxStartups 100',
    'Subsystem sftp internal-sftp',
    'ChrootDirectory /srv',
    `ForceCommand internal-sftp${unknown === '' ? '' : ` -P ${unknown}`}`,
    'DisableForwarding yes',
    'PermitTTY no',
    '',
  ].join('\n');
}

const script = `
root=$2/root
mount --bind "$1" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$2/etc" "$root/etc/ssh"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in tmp run var/log; do mount -t tmpfs -o size=16m,mode=755 tmpfs "$root/$place"; done
mkdir "$root/run/sshd"
if [ -n "$3" ]; then mount -t tmpfs -o "$3,mode=755" tmpfs "$root/srv"; else mount --bind "$2/data" "$root/srv"; fi
mkdir -p "$root/srv/${FOLDER}"
chown ${UID}:${UID} "$root/srv/${FOLDER}"
chmod 700 "$root/srv/${FOLDER}"
exec chroot "$root" /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config 2>&1
`;
