/** Owns the real kubelet that local nodes can have: its programs, built or unpacked once, and the images that it runs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { cloneDir, systemPath } from './host.ts';
import { openMirror } from './apt.ts';
import { builtOnce } from './built-once.ts';
import { copyProgram, writeImage } from './images.ts';
import { withFileLock } from './lock.ts';
import { LocalPartsError } from './problem.ts';
import { loaderOf, type Loader } from './programs.ts';

export interface Kubernetes {
  /** kubelet, containerd and what it starts, ctr. */
  readonly programs: string;
  /** Archives of `local/…` images, one file for each name and version, e.g. `etcd-3.5.16.tar`. */
  readonly images: string;
}

const buildScript = join(cloneDir, 'deploy/local/parts/kubernetes-build.sh');
const standIns = join(cloneDir, 'deploy/local/nodes/stand-ins');

/** The newest that Debian has the source of; its containerd still speaks that kubelet's language. */
const recipe = {
  release: 'bookworm',
  source: 'kubernetes',
  version: 'v1.20.2',
  go: ['golang-1.19-go', 'golang-1.19-src'],
  packages: ['containerd', 'runc', 'busybox-static'],
} as const;

/** By the package that has them. */
const containerPrograms = ['bin/containerd', 'bin/containerd-shim-runc-v2', 'bin/ctr', 'sbin/runc'] as const;
const applets = ['sh', 'sleep', 'cat', 'ls', 'echo', 'wc', 'true'] as const;

/** The image that a pod's sandbox runs from. */
export const PAUSE_IMAGE = 'local/pause:latest';
/** Has a shell and little else, for tests. */
export const SHELL_IMAGE = 'local/shell:latest';

/**
 * What a real kubelet needs, for nodes that run from `rootfs`: kubelet and kube-apiserver built from Debian's source
 * package (about nine minutes on two cores, once), containerd and runc as Debian packages, and images made of them. Kept in
 * the cache, about 500 MB; the build needs 4 GB of disk meanwhile. Throws LocalPartsError that says what went wrong.
 */
export async function ensureKubernetes(
  rootfs: string,
  options: { readonly cacheDir: string; readonly onProgress?: (line: string) => void },
): Promise<Kubernetes> {
  const dir = join(options.cacheDir, 'kubernetes');
  const progress = (line: string): void => options.onProgress?.(`kubernetes: ${line}`);
  const script = await readFile(buildScript, 'utf8');
  const programs = await builtOnce({ dir, name: 'programs', recipe: { ...recipe, script } }, (building) =>
    makePrograms(building, options.cacheDir, progress),
  );
  const made = { programs: basename(programs), rootfs: basename(rootfs), writer: await writers() };
  const images = await builtOnce({ dir, name: 'images', recipe: made }, async (building) => {
    progress('making images');
    await makeImages(building, programs, await loaderOf(rootfs));
  });
  return { programs: join(programs, 'bin'), images };
}

/** Images are made anew when the code that makes them has changed. */
async function writers(): Promise<readonly string[]> {
  const files = [join(cloneDir, 'deploy/local/parts/images.ts'), join(standIns, 'waits.sh')];
  return Promise.all(files.map(async (file) => readFile(file, 'utf8')));
}

async function makePrograms(building: string, cacheDir: string, progress: (line: string) => void): Promise<void> {
  progress('looking for a Debian mirror');
  const mirror = await withFileLock(join(cacheDir, 'apt-sources.lock'), () =>
    openMirror(join(cacheDir, 'apt-sources'), [recipe.release], { sources: true }),
  );
  const beside = (name: string): string => `${building}.${name}`;
  progress('downloading the source, Go and containerd');
  await mirror.unpack(recipe.release, recipe.go, beside('go'));
  await mirror.unpack(recipe.release, recipe.packages, beside('packages'));
  await mirror.unpackSource(recipe.release, recipe.source, beside('source'));
  await mkdir(join(building, 'bin'), { recursive: true });
  await mkdir(join(building, 'image'), { recursive: true });
  const built = beside('built');
  const go = join(beside('go'), 'usr/lib/go-1.19');
  await run('sh', [buildScript, beside('source'), go, beside('work'), built, recipe.version], progress);
  await rename(join(built, 'kubelet'), join(building, 'bin/kubelet'));
  await rename(join(built, 'kube-apiserver'), join(building, 'image/kube-apiserver'));
  for (const path of containerPrograms) {
    await copyFile(join(beside('packages'), 'usr', path), join(building, 'bin', basename(path)));
  }
  await copyFile(join(beside('packages'), 'bin/busybox'), join(building, 'image/busybox'));
}

/** Everything that it starts ends with us. */
async function run(program: string, args: readonly string[], progress: (line: string) => void): Promise<void> {
  const inNamespace = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--', program, ...args];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...inNamespace], {
    env: { PATH: systemPath, LC_ALL: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const complaints: string[] = [];
  createInterface(child.stdout).on('line', progress);
  createInterface(child.stderr).on('line', (line) => complaints.push(line));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return;
  throw new LocalPartsError(`kubelet and kube-apiserver could not be built:\n${complaints.slice(-15).join('\n')}`, {
    hint: 'See that there are 4 GB of free disk and 4 GB of memory, then run this again.',
  });
}

async function makeImages(building: string, programs: string, loader: Loader): Promise<void> {
  const image = async (
    name: string,
    tags: readonly string[],
    fill: (content: string) => Promise<void>,
    entrypoint?: readonly string[],
  ): Promise<void> => {
    const content = `${building}.content`;
    await mkdir(join(content, 'usr/local/bin'), { recursive: true });
    await fill(content);
    await writeImage({ tags, ...(entrypoint && { entrypoint }) }, content, join(building, `${name}.tar`));
    await rm(content, { recursive: true });
  };
  await mkdir(building, { recursive: true });
  const waiting = ['pause', 'kube-scheduler', 'kube-controller-manager'];
  const tags = [PAUSE_IMAGE, SHELL_IMAGE, 'local/kube-scheduler:latest', 'local/kube-controller-manager:latest'];
  await image('shell', tags, (content) => fillShell(content, programs, waiting), ['/usr/local/bin/pause']);
  await image('kube-apiserver', ['local/kube-apiserver:latest'], (content) =>
    cp(join(programs, 'image/kube-apiserver'), join(content, 'usr/local/bin/kube-apiserver')),
  );
  const etcds = {
    '3.5.16': ['usr/bin/etcd', 'usr/bin/etcdctl', 'usr/bin/etcdutl'],
    '3.4.23': ['opt/etcd-3.4/etcd', 'opt/etcd-3.4/etcdctl'],
  };
  for (const [version, paths] of Object.entries(etcds)) {
    await image(`etcd-${version}`, [`local/etcd:${version}`], async (content) => {
      for (const path of paths) await copyProgram(loader, path, content);
    });
  }
}

/** busybox by its many names, and the script that waits for its end by those that it stands in for. */
async function fillShell(content: string, programs: string, waiting: readonly string[]): Promise<void> {
  await mkdir(join(content, 'bin'));
  await mkdir(join(content, 'tmp'));
  await copyFile(join(programs, 'image/busybox'), join(content, 'bin/busybox'));
  await chmod(join(content, 'bin/busybox'), 0o755);
  for (const applet of applets) await symlink('busybox', join(content, 'bin', applet));
  for (const name of waiting) {
    const file = join(content, 'usr/local/bin', name);
    await copyFile(join(standIns, 'waits.sh'), file);
    await chmod(file, 0o755);
  }
}
