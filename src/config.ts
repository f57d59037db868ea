/** Owns the reading of a configuration: from a file to a Config, or to all that is wrong with it, told at once. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { buildConfig } from './config/build.ts';
import { describeIssue, referenceProblems, type ConfigProblem } from './config/problems.ts';
import { configSchema } from './config/schema.ts';
import { renderMissingSecret, secretRefs, secretValue, type Reader } from './config/secrets.ts';
import type { Config } from './config/types.ts';
import type { CronCalendar } from './ports.ts';

export type * from './config/types.ts';
export type { ConfigProblem };

export type ParsedConfig =
  { readonly ok: true; readonly config: Config } | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads what a YAML file held. Never throws; every problem is told at once. */
export function parseConfig(raw: unknown, calendar: CronCalendar): ParsedConfig {
  const parsed = configSchema(calendar).safeParse(raw);
  const shape = parsed.success ? [] : parsed.error.issues.flatMap((issue) => describeIssue(issue, raw));
  const problems = [...shape, ...referenceProblems(raw)];
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  return { ok: true, config: buildConfig(parsed.data) };
}

/** One line a problem, as `keyturn check` prints it. */
export function renderProblem({ path, value, expected }: ConfigProblem): string {
  return `${path === '' ? '(the file)' : path}: found ${value}; expected ${expected}`;
}

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
