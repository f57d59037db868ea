/** Owns the Debian root file systems that nodes and services run from: what is in each, and that each is built once. */
import { mkdir, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { execa } from 'execa';
import { openMirror, type DebianMirror } from './apt.ts';
import { builtOnce } from './built-once.ts';
import { checkHost, systemPath } from './host.ts';
import { withFileLock } from './lock.ts';
import { LocalPartsError, lastLines } from './problem.ts';

export type RootfsName = 'node' | 'services' | 'bench-node' | 'ceph';

export interface RootfsOptions {
  /** Kept between runs, e.g. `defaultCacheDir()`. Belongs to root. */
  readonly cacheDir: string;
  /** Told one line at a time while something is built; not called when all is there. */
  readonly onProgress?: (line: string) => void;
}

interface Recipe {
  /** Packages of Debian trixie. */
  readonly packages: readonly string[];
  /** etcd 3.4 from bookworm, as /opt/etcd-3.4/{etcd,etcdctl}. */
  readonly etcd34: boolean;
  /** Shell commands run at the end with the root file system as `$1`. */
  readonly finish: readonly string[];
}

const nodePackages = [
  ...['systemd', 'systemd-sysv', 'systemd-container', 'dbus', 'openssh-server', 'sudo'],
  ...['openssl', 'iproute2', 'iptables', 'procps', 'etcd-server', 'etcd-client'],
  // The stand-ins for kubelet and kube-apiserver.
  'python3-yaml',
];

const nodeFinish = [
  // Else every node would show the same host key.
  'rm -f "$1"/etc/ssh/ssh_host_*',
  'rm -f "$1"/etc/machine-id "$1"/var/lib/dbus/machine-id; touch "$1"/etc/machine-id',
  'chroot "$1" useradd --create-home --shell /bin/bash --password "*" keyturn',
  // A directory that the image has too can't be renamed on an overlay; data directories are.
  'rm -r "$1"/var/lib/etcd',
  // A node starts what it is given, and nothing by itself.
  'chroot "$1" systemctl disable etcd.service',
  'chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-journal-flush.service getty.target console-getty.service',
];

const recipes: Readonly<Record<RootfsName, Recipe>> = {
  node: { packages: nodePackages, etcd34: true, finish: nodeFinish },
  'bench-node': { packages: [...nodePackages, 's3cmd', 'curl', 'ca-certificates'], etcd34: true, finish: nodeFinish },
  services: {
    packages: [
      ...['redis-server', 'swift', 'swift-proxy', 'swift-account', 'swift-container', 'swift-object', 'python3-swift'],
      ...[
        'python3-keystonemiddleware',
        'memcached',
        'openssl',
        'procps',
        'curl',
        'ca-certificates',
        'attr',
        'iproute2',
      ],
    ],
    etcd34: false,
    finish: [],
  },
  ceph: { packages: ['ceph-mon', 'ceph-osd', 'radosgw', 'ceph-common'], etcd34: false, finish: [] },
};

/**
 * The path of an unpacked Debian root file system, built on first use (20 to 60 s) and kept in the cache. Treat it as
 * read-only: put an overlay on it. Two callers at once: one builds, the other waits. A killed build leaves nothing that
 * a later one would take for whole. Throws LocalPartsError that says what is missing on this machine.
 */
export async function ensureRootfs(name: RootfsName, options: RootfsOptions): Promise<string> {
  const recipe = recipes[name];
  return builtOnce({ dir: join(options.cacheDir, 'rootfs'), name, recipe }, async (building) => {
    await checkHost();
    await build(recipe, building, options.cacheDir, (line) => options.onProgress?.(`${name}: ${line}`));
  });
}

async function build(recipe: Recipe, dir: string, cacheDir: string, progress: (line: string) => void): Promise<void> {
  progress('looking for a Debian mirror');
  const mirror = await withFileLock(join(cacheDir, 'apt.lock'), () =>
    openMirror(join(cacheDir, 'apt'), ['trixie', 'bookworm']),
  );
  const mmdebstrap = await ensureMmdebstrap(mirror, cacheDir);
  await debootstrap(mmdebstrap, mirror, recipe, dir, progress);
  if (recipe.etcd34) await addEtcd34(mirror, dir, progress);
}

async function ensureMmdebstrap(mirror: DebianMirror, cacheDir: string): Promise<string> {
  const recipe = ['trixie', 'mmdebstrap'] as const;
  const dir = await builtOnce({ dir: join(cacheDir, 'tools'), name: 'mmdebstrap', recipe }, (building) =>
    mirror.unpack(recipe[0], [recipe[1]], building),
  );
  return join(dir, 'usr/bin/mmdebstrap');
}

async function debootstrap(
  mmdebstrap: string,
  mirror: DebianMirror,
  recipe: Recipe,
  dir: string,
  progress: (line: string) => void,
): Promise<void> {
  const debian = execa(
    // In namespaces of its own that end with us: a killed build leaves no process and no mount.
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--'],
      ...['perl', mmdebstrap, '--mode=root', '--variant=minbase', '--format=directory'],
      `--include=${recipe.packages.join(',')}`,
      '--aptopt=Acquire::Retries "2"',
      // Nothing is started inside while packages are set up.
      `--essential-hook=printf '#!/bin/sh\\nexit 101\\n' >"$1"/usr/sbin/policy-rc.d; chmod 755 "$1"/usr/sbin/policy-rc.d`,
      ...recipe.finish.map((command) => `--customize-hook=${command}`),
      '--customize-hook=rm "$1"/usr/sbin/policy-rc.d',
      ...['trixie', dir, mirror.sourceLine('trixie')],
    ],
    { env: { PATH: systemPath, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' }, stdin: 'ignore' },
  );
  createInterface(debian.stderr).on('line', (line) => {
    if (/^I: (?!running --|finding|chroot)/.test(line)) progress(line.slice(3));
  });
  await debian.catch((error: unknown) => {
    throw new LocalPartsError(`A Debian root file system could not be built:\n${lastLines(error)}`, {
      hint: 'See that there are 2 GB of free disk and that the Debian mirror answers, then run this again.',
      cause: error,
    });
  });
}

async function addEtcd34(mirror: DebianMirror, rootfs: string, progress: (line: string) => void): Promise<void> {
  progress('adding etcd 3.4');
  const unpacked = `${rootfs}.etcd34`;
  await mirror.unpack('bookworm', ['etcd-server', 'etcd-client'], unpacked);
  const target = join(rootfs, 'opt/etcd-3.4');
  await mkdir(target, { recursive: true });
  for (const program of ['etcd', 'etcdctl']) await rename(join(unpacked, 'usr/bin', program), join(target, program));
  await rm(unpacked, { recursive: true });
}
