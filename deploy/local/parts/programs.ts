/** Owns how a program of a root file system runs without chroot: by that file system's own loader and libraries. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalPartsError } from './problem.ts';

/** Loader and libraries of an unpacked Debian. */
export interface Loader {
  readonly rootfs: string;
  /** The dynamic loader's file. */
  readonly file: string;
  /** For its `--library-path`. */
  readonly libraries: string;
}

/** Finds the loader; any architecture of Debian. Throws LocalPartsError when `rootfs` is no Debian root file system. */
export async function loaderOf(rootfs: string): Promise<Loader> {
  const lib = join(rootfs, 'usr/lib');
  const triplet = (await readdir(lib).catch(() => [])).find((name) => /-linux-gnu(eabihf)?$/.test(name));
  for (const dir of ['usr/lib64', 'usr/lib', `usr/lib/${triplet ?? ''}`]) {
    const name = (await readdir(join(rootfs, dir)).catch(() => [])).find((entry) => /^ld-linux.*\.so\.\d$/.test(entry));
    if (triplet === undefined || name === undefined) continue;
    const file = join(rootfs, dir, name);
    await stat(file);
    return { rootfs, file, libraries: [join(lib, triplet), join(lib, triplet, 'systemd')].join(':') };
  }
  throw new LocalPartsError(`${rootfs} is no Debian root file system.`, {
    hint: 'Remove it; it is built again on the next run.',
  });
}

/**
 * The argv that runs `program` (a path below the root file system, e.g. `usr/bin/redis-server`) on the host, whatever
 * the host's own libraries are. Paths among `args` are the host's.
 */
export function programOf(loader: Loader, program: string, args: readonly string[] = []): [string, ...string[]] {
  return [loader.file, '--library-path', loader.libraries, join(loader.rootfs, program), ...args];
}
