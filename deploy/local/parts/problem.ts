/** Owns the one error of the local default: what this machine lacks, and what to do about it. */

export class LocalPartsError extends Error {
  override readonly name = 'LocalPartsError';
  /** What to do next, as an imperative sentence; never empty. */
  readonly hint: string;

  constructor(message: string, options: { hint: string; cause?: unknown }) {
    super(`${message}\n${options.hint}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}

/** The last lines of what a failed program printed; enough to see why, short enough to read. */
export function lastLines(error: unknown, count = 15): string {
  const { stderr, stdout, message } = error as { stderr?: unknown; stdout?: unknown; message?: unknown };
  const said = [stderr, stdout, message].find((text) => typeof text === 'string' && text.trim() !== '');
  return typeof said === 'string' ? said.trimEnd().split('\n').slice(-count).join('\n') : String(error);
}
