/** Owns what systemd would start: a unit's command line, with the variables that its settings and files give it. */
import { parseEnvironmentFile } from '../../domain/etcd-commands.ts';

/** The properties that the functions here read, as arguments of `systemctl show`. */
export const UNIT_PROPERTIES =
  '-p LoadState -p ActiveState -p WantedBy -p RequiredBy -p ExecStart -p Environment -p EnvironmentFiles -p WorkingDirectory';

/** A package brings its unit along; only one that runs, or that something starts, is meant to run. */
export function isMeantToRun(shown: string): boolean {
  if (!/^LoadState=loaded$/m.test(shown)) return false;
  return /^(WantedBy|RequiredBy)=\S/m.test(shown) || /^ActiveState=(active|activating|reloading)$/m.test(shown);
}

export interface EnvironmentFile {
  readonly path: string;
  readonly mayBeMissing: boolean;
}

export function environmentFilesOf(shown: string): readonly EnvironmentFile[] {
  const files = shown.matchAll(/^EnvironmentFiles=(.+) \(ignore_errors=(yes|no)\)$/gm);
  return [...files].map(([, path = '', ignore]) => ({ path, mayBeMissing: ignore === 'yes' }));
}

export interface Started {
  readonly argv: readonly string[];
  /** `NAME=value`; of a name that is there twice the last counts. */
  readonly environment: readonly string[];
}

/** `shown`: of `systemctl show`, such as `ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --name=${NAME} ; …}`. */
export function startedBy(shown: string, files: readonly string[]): Started {
  const own = /^Environment=(.*)$/m.exec(shown)?.[1] ?? '';
  const environment = [...wordsOf(own), ...files.flatMap(parseEnvironmentFile)];
  const line = /^ExecStart=.*?argv\[\]=(.*?) ;/m.exec(shown)?.[1] ?? '';
  const values = new Map(environment.map((entry) => [nameOf(entry), entry.slice(nameOf(entry).length + 1)]));
  return { argv: wordsOf(line).flatMap((word) => expand(word, values)), environment };
}

export function workingDirectoryOf(shown: string): string {
  const path = /^WorkingDirectory=[!-]?(\/.*)$/m.exec(shown)?.[1];
  return path ?? '/';
}

/** Where systemctl prints a value with a space in it, it puts it into quotes. */
function wordsOf(line: string): readonly string[] {
  return [...line.matchAll(/"((?:\\.|[^"\\])*)"|\S+/g)].map(([word, quoted]) =>
    quoted === undefined ? word : quoted.replace(/\\(.)/g, '$1'),
  );
}

/** `$NAME` as a word of its own becomes as many words as its value has, `${NAME}` is replaced in place (systemd.service(5)). */
function expand(word: string, values: ReadonlyMap<string, string>): readonly string[] {
  const alone = /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(word)?.[1];
  if (alone !== undefined) return wordsOf(values.get(alone) ?? '');
  return [word.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => values.get(name) ?? '')];
}

function nameOf(entry: string): string {
  return entry.split('=', 1)[0] ?? '';
}
