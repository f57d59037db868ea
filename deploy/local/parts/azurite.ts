/** Owns where Azurite, the local Azure Blob service, comes from: npm, once, into the cache. */
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { builtOnce } from './built-once.ts';
import { cloneDir } from './host.ts';
import { LocalPartsError, lastLines } from './problem.ts';

const pinned = join(cloneDir, 'deploy/local/parts/azurite');
const files = ['package.json', 'package-lock.json'] as const;

/**
 * The file of Azurite's Blob service, to be run by Node. It and all it needs are installed as the lock file beside this one
 * pins them, without install scripts: 186 MB, too much for everybody's node_modules. Throws LocalPartsError.
 */
export async function ensureAzurite(options: {
  readonly cacheDir: string;
  readonly onProgress?: (line: string) => void;
}): Promise<string> {
  const recipe = await Promise.all(files.map((file) => readFile(join(pinned, file), 'utf8')));
  const dir = await builtOnce({ dir: join(options.cacheDir, 'azurite'), name: 'azurite', recipe }, async (building) => {
    options.onProgress?.('azurite: installing');
    await mkdir(building);
    for (const file of files) await copyFile(join(pinned, file), join(building, file));
    await install(building);
  });
  return join(dir, 'node_modules/azurite/dist/src/blob/main.js');
}

async function install(dir: string): Promise<void> {
  try {
    await execa('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: dir, stdin: 'ignore' });
  } catch (error) {
    throw new LocalPartsError(`Azurite could not be installed:\n${lastLines(error)}`, {
      hint: 'See that npm reaches its registry, then run this again.',
    });
  }
}
