/** Owns what the local default needs of the machine it runs on, and says in one error what is missing. */
import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { access, constants as fileModes, readFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { LocalPartsError } from './problem.ts';

/** The clone that this file lives in. */
export const cloneDir = resolve(fileURLToPath(import.meta.url), '../../../..');

/** Where unpacked parts are kept: `KEYTURN_CACHE_DIR`, or `.cache` in the clone. */
export function defaultCacheDir(): string {
  return resolve(process.env['KEYTURN_CACHE_DIR'] ?? join(cloneDir, '.cache'));
}

/** Search path with the system programs that a plain user's path lacks. */
export const systemPath = [process.env['PATH'], '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']
  .filter((part) => part !== undefined)
  .join(delimiter);

/** The programs that are called, and the Debian package that has each. */
const programs: Readonly<Record<string, string>> = {
  'apt-get': 'apt',
  dpkg: 'dpkg',
  perl: 'perl',
  flock: 'util-linux',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  chroot: 'coreutils',
};

/** The file of a program on the search path, or undefined. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const dir of systemPath.split(delimiter)) {
    const file = join(dir, name);
    const usable = await access(file, fileModes.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return file;
  }
  return undefined;
}

/**
 * Throws one LocalPartsError that lists everything this machine lacks for running nodes: root, programs, overlayfs,
 * mount and network namespaces. Changes nothing, but that it may load the kernel's overlay module.
 */
export async function checkHost(): Promise<void> {
  const missing: string[] = [];
  for (const [program, debianPackage] of Object.entries(programs)) {
    if ((await findProgram(program)) === undefined)
      missing.push(`the program ${program} (Debian package ${debianPackage})`);
  }
  if (process.getuid?.() !== 0) missing.push('root, or sudo without a password');
  else {
    const kernel = await readFile('/proc/filesystems', 'utf8').catch(() => '');
    if (!/\boverlay$/m.test(kernel)) {
      const loaded = await works(['modprobe', 'overlay']);
      if (!loaded) missing.push('the overlay file system (kernel module overlay)');
    }
    if (!(await works(['unshare', '--mount', '--net', '--pid', '--fork', 'true']))) {
      missing.push('the right to make mount, network and process namespaces (in a container: run it privileged)');
    }
  }
  if (missing.length === 0) return;
  throw new LocalPartsError(
    `This machine can't run the local nodes. Missing:\n${missing.map((m) => `  - ${m}`).join('\n')}`,
    {
      hint:
        'Run it as root (or with sudo) on Debian 12 or newer. Without that: set KEYTURN_CONFIG to run the bot alone against ' +
        'machines of your own, or run the tests that need nothing but Node, npm run test:unit.',
    },
  );
}

/**
 * Makes sure that this program runs as root. Without root but with sudo that asks for no password it starts itself
 * again under sudo, and ends with that run's exit code; without either it returns, and `checkHost` tells what is missing.
 */
export async function becomeRoot(): Promise<void> {
  if (process.getuid?.() === 0 || spawnSync('sudo', ['-n', 'true']).status !== 0) return;
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn('sudo', ['-n', '-E', '--', ...again], { stdio: 'inherit' });
  // Ctrl-C reaches the child by itself; this process only has to outlive it.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const code = await new Promise<number>((done) => {
    child.on('exit', (status, signal) => done(status ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
  process.exit(code);
}

async function works(argv: readonly [string, ...string[]]): Promise<boolean> {
  const [program, ...args] = argv;
  const result = await execa(program, args, {
    reject: false,
    env: { PATH: systemPath },
    stdio: 'ignore',
    timeout: 10_000,
  });
  return result.exitCode === 0;
}
