/** Owns where the tests' browser comes from: the host's own, else Debian's headless shell. */
import { execa } from 'execa';
import { findProgram, systemPath } from './host.ts';
import { LocalPartsError, lastLines } from './problem.ts';

const names = ['chromium-headless-shell', 'chromium', 'google-chrome', 'google-chrome-stable'];
const debianPackage = 'chromium-headless-shell';

/**
 * The path of a Chromium for playwright-core's `executablePath`. Installs Debian's headless shell on the host when there
 * is none (the one thing that tests install outside the clone). Throws LocalPartsError when that can't be done.
 */
export async function ensureChromium(options: { readonly onProgress?: (line: string) => void } = {}): Promise<string> {
  const found = await findChromium();
  if (found !== undefined) return found;
  options.onProgress?.(`chromium: installing ${debianPackage}`);
  await install();
  const installed = await findChromium();
  if (installed !== undefined) return installed;
  throw cannotInstall(`The package ${debianPackage} holds no browser.`);
}

async function findChromium(): Promise<string | undefined> {
  for (const name of names) {
    const file = await findProgram(name);
    if (file !== undefined) return file;
  }
  return undefined;
}

async function install(): Promise<void> {
  // A lock that someone else's apt-get has is waited for.
  const apt = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=2'];
  const argv = process.getuid?.() === 0 ? apt : ['sudo', '-n', ...apt];
  const run = async (...args: string[]): Promise<void> => {
    const env = { PATH: systemPath, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };
    await execa('env', [...argv, ...args], { env, stdin: 'ignore' });
  };
  try {
    await run('update');
    await run('install', '-y', '--no-install-recommends', debianPackage);
  } catch (error) {
    throw cannotInstall(lastLines(error));
  }
}

function cannotInstall(why: string): LocalPartsError {
  return new LocalPartsError(`No Chromium for the browser test:\n${why}`, {
    hint: `Install a Chromium by hand (on Debian: apt-get install ${debianPackage}), then run this again.`,
  });
}
