/** Owns how Debian packages are had without touching the host: the host's mirror, but sources, lists and state of our own. */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { systemPath } from './host.ts';
import { LocalPartsError, lastLines } from './problem.ts';

/** The Debian releases that parts are taken from. */
export type Release = 'bookworm' | 'trixie';

/** What apt trusts; it comes with every Debian. */
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Access to Debian's packages. */
export interface DebianMirror {
  /** The mirror's address, as in a sources list. */
  readonly uri: string;
  /** One line of a sources list. */
  sourceLine(release: Release): string;
  /** Downloads the release's packages (without what they depend on) and unpacks them into `dir`. */
  unpack(release: Release, packages: readonly string[], dir: string): Promise<void>;
  /** Unpacks what its authors released of a source package into `dir`, without Debian's changes. Needs `sources`. */
  unpackSource(release: Release, sourcePackage: string, dir: string): Promise<void>;
}

/**
 * Addresses of Debian archives in the host's own apt sources, in their order, without security archives (they hold
 * updates only). Takes the text of files in one-line form (`*.list`) and in deb822 form (`*.sources`).
 */
export function archivesOf(files: readonly { readonly name: string; readonly text: string }[]): string[] {
  const found = files.flatMap(({ name, text }) => (name.endsWith('.sources') ? deb822(text) : oneLine(text)));
  const archives = found.filter(({ suites }) => suites.some((suite) => debianSuite.test(suite))).map(({ uri }) => uri);
  return [...new Set(archives.map((uri) => uri.replace(/\/+$/, '')))];
}

/** A release of Debian itself: third parties name theirs differently, updates and security are no whole archives. */
const debianSuite = /^(stable|oldstable|oldoldstable|testing|unstable|sid|bullseye|bookworm|trixie|forky)$/;

interface Source {
  readonly uri: string;
  readonly suites: readonly string[];
}

/** `deb [options] URI SUITE COMPONENT…` */
function oneLine(text: string): Source[] {
  return [...text.matchAll(/^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+(\S+)/gm)].map(([, uri = '', suite = '']) => ({
    uri,
    suites: [suite],
  }));
}

/** Stanzas of `Field: values`; a line that starts with a blank goes on, one that starts with # is a comment. */
function deb822(text: string): Source[] {
  const stanzas = text.replace(/^#.*\n?/gm, '').split(/\n\s*\n/);
  return stanzas.flatMap((stanza) => {
    const field = (name: string): string[] => {
      const value = new RegExp(`^${name}:((?:.*\\n?)(?:[ \\t]+.*\\n?)*)`, 'im').exec(stanza)?.[1] ?? '';
      return value.split(/\s+/).filter((word) => word !== '');
    };
    if (!field('Types').includes('deb') || field('Enabled')[0]?.toLowerCase() === 'no') return [];
    return field('URIs').map((uri) => ({ uri, suites: field('Suites') }));
  });
}

/**
 * Finds a mirror that has all `releases` among the host's own. Keeps apt's lists in `stateDir`; with `sources`
 * those of source packages too (give them a `stateDir` of their own: nobody else needs their 20 MB).
 * Throws LocalPartsError when none answers; it says what apt said of each.
 */
export async function openMirror(
  stateDir: string,
  releases: readonly Release[],
  { sources = false }: { readonly sources?: boolean } = {},
): Promise<DebianMirror> {
  const candidates = archivesOf(await hostSources());
  const refused: string[] = [];
  for (const uri of candidates) {
    const lines = releases.flatMap((release) => {
      const line = sourceLine(uri, release);
      return sources ? [line, line.replace(/^deb /, 'deb-src ')] : [line];
    });
    const apt = await privateApt(join(stateDir, encodeURIComponent(uri)), lines);
    try {
      await apt(['update', '-o', 'APT::Update::Error-Mode=any']);
      return mirror(uri, apt);
    } catch (error) {
      refused.push(`${uri}: ${lastLines(error, 3)}`);
    }
  }
  if (candidates.length === 0) {
    throw new LocalPartsError("This machine's apt names no Debian archive.", {
      hint: 'Name one in /etc/apt/sources.list.d (the local parts are Debian packages), then run this again.',
    });
  }
  throw new LocalPartsError(`No Debian mirror has ${releases.join(' and ')}:\n${refused.join('\n')}`, {
    hint: 'See that this machine reaches a Debian mirror (`apt-get update` works), then run this again.',
  });
}

type Apt = (args: readonly string[], cwd?: string) => Promise<void>;

const sourceLine = (uri: string, release: Release): string => `deb [signed-by=${keyring}] ${uri} ${release} main`;

function mirror(uri: string, apt: Apt): DebianMirror {
  return {
    uri,
    sourceLine: (release) => sourceLine(uri, release),
    unpack: async (release, packages, dir) => {
      const download = ['download', ...packages.map((name) => `${name}/${release}`)];
      await unpackAll(apt, download, dir, (file) => ['dpkg', '-x', file, dir]);
    },
    unpackSource: async (release, sourcePackage, dir) => {
      const download = ['source', '--download-only', '--tar-only', `${sourcePackage}/${release}`];
      await unpackAll(apt, download, dir, (file) => ['tar', '-xf', file, '-C', dir, '--strip-components=1']);
    },
  };
}

/** Runs apt-get in a folder beside `dir`, and `unpack` on each file that it puts there. */
async function unpackAll(
  apt: Apt,
  download: readonly string[],
  dir: string,
  unpack: (file: string) => [string, ...string[]],
): Promise<void> {
  const downloads = `${dir}.downloads`;
  await rm(downloads, { recursive: true, force: true });
  await mkdir(downloads, { recursive: true });
  await mkdir(dir, { recursive: true });
  await apt(download, downloads);
  for (const name of await readdir(downloads)) {
    const [program, ...args] = unpack(join(downloads, name));
    await execa(program, args);
  }
  await rm(downloads, { recursive: true });
}

/** apt-get with sources and state of its own in `dir`; the host's proxy settings still hold. */
async function privateApt(dir: string, lines: readonly string[]): Promise<Apt> {
  await mkdir(join(dir, 'lists/partial'), { recursive: true });
  await mkdir(join(dir, 'archives/partial'), { recursive: true });
  const list = join(dir, 'sources.list');
  await writeFile(list, lines.map((line) => `${line}\n`).join(''));
  const settings = {
    'Dir::State': dir,
    'Dir::State::lists': join(dir, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': dir,
    'Dir::Cache::archives': join(dir, 'archives'),
    'Dir::Etc::sourcelist': list,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return async (args, cwd = dir) => {
    await execa('apt-get', [...options, '-q', ...args], {
      cwd,
      env: { PATH: systemPath, LC_ALL: 'C.UTF-8' },
      stdin: 'ignore',
    });
  };
}

async function hostSources(): Promise<{ name: string; text: string }[]> {
  const dir = '/etc/apt/sources.list.d';
  const names = (await readdir(dir).catch(() => [])).filter((name) => /\.(list|sources)$/.test(name)).sort();
  const files = ['/etc/apt/sources.list', ...names.map((name) => join(dir, name))];
  return Promise.all(files.map(async (name) => ({ name, text: await readFile(name, 'utf8').catch(() => '') })));
}
