/** Owns the programs zstd and age: the bot needs the first where Node has none of its own, tests read with both what the bot wrote. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { openMirror } from './apt.ts';
import { builtOnce } from './built-once.ts';
import { withFileLock } from './lock.ts';
import { loaderOf } from './programs.ts';
import { ensureRootfs, type RootfsOptions } from './rootfs.ts';

const PACKAGES = ['zstd', 'age'];
const PROGRAMS = ['zstd', 'age', 'age-keygen'];

/**
 * A search path that has Debian's zstd, age and age-keygen first, whatever the host has. Fetched and unpacked once.
 * Throws LocalPartsError.
 */
export async function pathWithTools(options: RootfsOptions): Promise<string> {
  const { cacheDir, onProgress } = options;
  const rootfs = await ensureRootfs('services', options);
  const recipe = { PACKAGES, PROGRAMS, rootfs };
  const dir = await builtOnce({ dir: join(cacheDir, 'tools'), name: 'encoding', recipe }, async (building) => {
    onProgress?.('tools: fetching zstd and age');
    const mirror = await withFileLock(join(cacheDir, 'apt.lock'), () =>
      openMirror(join(cacheDir, 'apt'), ['trixie', 'bookworm']),
    );
    await mirror.unpack('trixie', PACKAGES, building);
    await mkdir(join(building, 'bin'));
    const { file, libraries } = await loaderOf(rootfs);
    for (const program of PROGRAMS) {
      const script = join(building, 'bin', program);
      const argv = `'${file}' --library-path '${libraries}' "\${0%/*}/../usr/bin/${program}" "$@"`;
      await writeFile(script, `#!/bin/sh\nexec ${argv}\n`);
      await chmod(script, 0o755);
    }
  });
  return [join(dir, 'bin'), process.env['PATH']].filter(Boolean).join(delimiter);
}
