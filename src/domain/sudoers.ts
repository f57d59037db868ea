/** Owns the form of a line in /etc/sudoers that lets a login run exactly one command as root, without a password. */

/** An argument as a pattern of sudoers (a shell pattern): already escaped, nothing in it is taken literally. */
export interface Pattern {
  readonly pattern: string;
}

/** What sudoers reads as syntax or as a pattern stands for itself behind a backslash (sudoers(5), "Wildcards"). */
const SPECIAL = /[\\,:= *?[\]!]/g;

/**
 * `path` is absolute. sudo compares all arguments, joined by spaces, so the line allows nothing else; an empty argument
 * is therefore a space that belongs to the one before.
 */
export function sudoersLine(user: string, path: string, args: readonly (string | Pattern)[]): string {
  const written = args.map((arg) => {
    if (typeof arg !== 'string') return ` ${arg.pattern}`;
    return arg === '' ? '\\ ' : ` ${arg.replace(SPECIAL, '\\$&')}`;
  });
  return `${user} ALL=(root) NOPASSWD: ${path}${written.join('')}`;
}
