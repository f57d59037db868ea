/** Owns how something that takes long to build is built once, kept in the cache, and never taken for whole when it is not. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { withFileLock } from './lock.ts';

/**
 * The path of a directory in `dir` that `build` has filled: at once when it is there, else after `build` has run. Its name
 * carries a digest of `recipe`: a changed recipe is another directory, and whoever uses the old one keeps it. Two callers
 * at once: one builds, the other waits. `build` is given a directory that is not there yet; what it puts beside it under
 * that name with something added is removed with the leftovers of a killed build.
 */
export async function builtOnce(
  { dir, name, recipe }: { readonly dir: string; readonly name: string; readonly recipe: unknown },
  build: (building: string) => Promise<void>,
): Promise<string> {
  const digest = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 8);
  const target = join(dir, `${name}-${digest}`);
  if (await exists(target)) return target;
  return withFileLock(join(dir, `${name}.lock`), async () => {
    if (await exists(target)) return target;
    const building = `${name}.building`;
    await mkdir(dir, { recursive: true });
    await removeAll(dir, building);
    await build(join(dir, building));
    await rename(join(dir, building), target);
    await removeAll(dir, building);
    return target;
  });
}

async function removeAll(dir: string, prefix: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (name.startsWith(prefix)) await rm(join(dir, name), { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
