/** Owns a local machine's files before its first boot: names, keys, what its role puts there, and its filesystems. */
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { programOf, type Loader } from '../parts/programs.ts';
import type { Kubernetes } from '../parts/kubernetes.ts';
import { sshUser } from '../parts/sudoers.ts';
import type { Machine } from './instance.ts';

export interface MachineSpec extends Machine {
  readonly hostname: string;
  /** Files by path on the machine, beside those that every machine has. */
  readonly files: Readonly<Record<string, MachineFile>>;
  readonly directories: readonly MachineDirectory[];
  /** Units started at boot, beside sshd. */
  readonly units: readonly string[];
  /** What it runs containers with; undefined: it runs none. */
  readonly kubernetes: Kubernetes | undefined;
  /** Names for /etc/hosts. */
  readonly hosts: readonly { readonly name: string; readonly address: string }[];
}

export interface MachineFile {
  readonly text: string;
  readonly mode: number;
  /** A user of the image; default root. */
  readonly owner?: string;
}

export interface MachineDirectory {
  readonly path: string;
  readonly mode: number;
  readonly owner: string;
  /** A filesystem of its own, which outlasts a boot. */
  readonly isMount: boolean;
}

/**
 * Writes a machine's files for its first boot below `<dir>/machines/<id>`: names, host key, the SSH user's key and sudo
 * rights. Answers its public host key (`ssh-ed25519 …`).
 */
export async function prepareMachine(
  dir: string,
  spec: MachineSpec,
  options: { readonly loader: Loader; readonly authorizedKey: string },
): Promise<string> {
  const at = join(dir, 'machines', spec.id);
  const upper = join(at, 'upper');
  for (const part of [upper, join(at, 'work'), join(at, 'root')]) await mkdir(part, { recursive: true });
  const put = async (path: string, text: string, mode: number): Promise<void> => {
    const file = join(upper, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    await chmod(file, mode);
  };
  const hostKey = join(upper, 'etc/ssh/ssh_host_ed25519_key');
  await put('etc/hostname', `${spec.hostname}\n`, 0o644);
  await put('etc/hosts', hostsFile(spec), 0o644);
  await makeSshKey(options.loader, hostKey, spec.hostname);
  const own = async (path: string, owner = 'root'): Promise<void> => {
    const { uid, gid } = await userOf(options.loader, owner);
    await chown(path, uid, gid);
  };
  for (const [path, { text, mode, owner }] of Object.entries(spec.files)) {
    await put(path, text, mode);
    await own(join(upper, path), owner);
  }
  for (const { path, mode, owner, isMount } of spec.directories) {
    const real = isMount ? diskOf(dir, spec, path) : join(upper, path);
    await mkdir(real, { recursive: true });
    await chmod(real, mode);
    await own(real, owner);
  }
  for (const unit of spec.units) {
    await put(`etc/systemd/system/multi-user.target.d/${unit}.conf`, `[Unit]\nWants=${unit}\n`, 0o644);
  }
  await authorize(upper, options);
  return publicKeyOf(hostKey);
}

/** Makes an ed25519 pair `file`, `file.pub` without passphrase. */
export async function makeSshKey(loader: Loader, file: string, comment: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const [program, ...args] = programOf(loader, 'usr/bin/ssh-keygen', [
    '-q',
    '-t',
    'ed25519',
    '-N',
    '',
    '-C',
    comment,
    '-f',
    file,
  ]);
  await execa(program, args, { stdin: 'ignore' });
}

/** The public key of a pair as it stands in authorized_keys and known_hosts, without its comment. */
export async function publicKeyOf(file: string): Promise<string> {
  return (await readFile(`${file}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ').trim();
}

/** OpenSSH's fingerprint of a public key. */
export function fingerprint(publicKey: string): string {
  const blob = Buffer.from(publicKey.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

async function authorize(
  upper: string,
  { loader, authorizedKey }: { readonly loader: Loader; readonly authorizedKey: string },
): Promise<void> {
  const { uid, gid } = await userOf(loader, sshUser);
  const home = join(upper, 'home', sshUser);
  const file = join(home, '.ssh/authorized_keys');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, authorizedKey);
  await chmod(home, 0o700);
  await chmod(dirname(file), 0o700);
  await chmod(file, 0o600);
  for (const path of [home, dirname(file), file]) await chown(path, uid, gid);
}

/** A user of the image by number. */
export async function userOf(
  { rootfs }: Loader,
  name: string,
): Promise<{ readonly uid: number; readonly gid: number }> {
  const passwd = await readFile(join(rootfs, 'etc/passwd'), 'utf8');
  const [, , uid, gid] =
    passwd
      .split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.split(':') ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`The image has no user ${name}.`);
  return { uid: Number(uid), gid: Number(gid) };
}

/** The folder of ours that is mounted at `path` on the machine: the machine's own files are an overlay, so it is another filesystem. */
function diskOf(dir: string, { id }: Machine, path: string): string {
  return join(dir, 'machines', id, 'disks', encodeURIComponent(path));
}

/** The arguments of systemd-nspawn that mount a machine's filesystems. */
export function diskArgs(dir: string, spec: MachineSpec): string[] {
  const disks = spec.directories.filter(({ isMount }) => isMount);
  return disks.map(({ path }) => `--bind=${diskOf(dir, spec, path)}:${path}`);
}

function hostsFile(spec: MachineSpec): string {
  const others = spec.hosts.filter((host) => host.name !== spec.hostname);
  return [
    '127.0.0.1 localhost',
    '::1 localhost',
    `${spec.address} ${spec.hostname}`,
    ...others.map((host) => `${host.address} ${host.name}`),
    '',
  ].join('\n');
}
