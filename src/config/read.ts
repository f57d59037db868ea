/** Owns what is read off the disk and the environment for a configuration: the file itself, and the secrets it refers to. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { parseConfig, renderProblem, type Config } from '../config.ts';
import type { CronCalendar } from '../ports.ts';
import { renderMissingSecret, secretRefs, type Reader } from './secrets.ts';
import type { SecretRef } from './types.ts';

export type ReadConfig =
  | { readonly ok: true; readonly config: Config }
  /** A line a problem. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** The configuration in `file`, with every secret there that `reader` will ask for. Never throws. */
export function readConfig(file: string, reader: Reader, calendar: CronCalendar): ReadConfig {
  let raw: unknown;
  try {
    raw = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    return { ok: false, problems: [`can't be read: ${(error as Error).message}`] };
  }
  const parsed = parseConfig(raw, calendar);
  if (!parsed.ok) return { ok: false, problems: parsed.problems.map(renderProblem) };
  const missing = secretRefs(parsed.config, reader).filter(({ ref }) => secretValue(ref) === undefined);
  return missing.length === 0 ? parsed : { ok: false, problems: missing.map(renderMissingSecret) };
}

/** What a reference leads to; undefined when there is nothing, and an empty one counts as nothing. */
export function secretValue(ref: SecretRef): string | undefined {
  try {
    const value = 'env' in ref ? process.env[ref.env] : readFileSync(ref.file, 'utf8').trim();
    return value === '' ? undefined : value;
  } catch {
    return undefined;
  }
}
