/** Owns sudo on a node: how a command is run as root, how a refusal looks, and what is told then. */
import { KeyturnError } from '../../domain/error.ts';
import type { ExecResult } from '../../ports.ts';

/** `-n`: never asks. LC_ALL=C: refusals are told by their English text. */
export function withSudo(argv: readonly string[]): readonly string[] {
  return ['env', 'LC_ALL=C', 'sudo', '-n', '--', ...argv];
}

/** What sudo itself prints when it does not run the command; sudo 1.8 to 1.9 (plugins/sudoers: check.c, logging.c). */
const REFUSALS: readonly RegExp[] = [
  /^sudo: a password is required$/m,
  /^sudo: .*no tty present/m,
  /^sudo: a terminal is required/m,
  /^sudo: sorry, you must have a tty to run sudo$/m,
  /^Sorry, user .* (is not allowed to execute|may not run sudo)/m,
  /is not in the sudoers file/m,
  /is not allowed to run sudo on/m,
];

export function isRefusal(result: ExecResult): boolean {
  return result.code === 1 && REFUSALS.some((refusal) => refusal.test(result.stderr));
}

export function isSudoMissing(result: ExecResult): boolean {
  return result.code === 127 && /sudo.*(not found|No such file)/.test(result.stderr);
}

export function sudoDenied(node: string, user: string, line: string): KeyturnError {
  return new KeyturnError(
    'node.sudo-denied',
    `sudo on ${node} did not let ${user} run a command as root without a password.`,
    { hint: `Add this line to /etc/sudoers.d/keyturn on ${node} (the README has the whole file): ${line}` },
  );
}

export function sudoMissing(node: string, user: string): KeyturnError {
  return new KeyturnError('node.sudo-denied', `${node} has no sudo, and ${user} is not root.`, {
    hint: `Install sudo on ${node}, or log in there as root (ssh.user: root, ssh.sudo: false).`,
  });
}
