/** Owns how an argv becomes one line for the login shell of a node, with nothing left for that shell to interpret. */

/** Arguments of these characters mean themselves in every shell; all others are put into single quotes. */
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

export function quoteArgv(argv: readonly string[]): string {
  return argv.map(quote).join(' ');
}

function quote(argument: string): string {
  if (argument.includes('\0')) throw new Error('An argument of a command holds a NUL byte.');
  return PLAIN.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
