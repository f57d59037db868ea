/**
 * Owns the log: JSON lines on pino, errors with code, hint and causes, and no secret in any of them, wherever in a line
 * it would stand.
 */
import type { Writable } from 'node:stream';
import { pino, type DestinationStream } from 'pino';
import { KeyturnError } from '../domain/error.ts';
import type { Log } from '../ports.ts';

/** Knows the secrets of this process, so that nothing that leaves it shows one. */
export interface SecretRegistry {
  /** From now on `value` is hidden. Values too short to be a secret (under 4 characters) are not taken. */
  register(value: string): void;
  /** `text` with each secret, and each line of a secret of many lines, replaced by `[secret]`. */
  redact(text: string): string;
}

const SHORTEST = 4;
const HIDDEN = '[secret]';

export function secretRegistry(): SecretRegistry {
  const forms = new Set<string>();
  /** Longest first: a secret may contain another one. */
  let ordered: readonly string[] = [];
  return {
    register(value) {
      for (const form of formsOf(value)) forms.add(form);
      ordered = [...forms].sort((a, b) => b.length - a.length);
    },
    redact(text) {
      return ordered.reduce((rest, form) => rest.replaceAll(form, HIDDEN), text);
    },
  };
}

/** How a secret can turn up in a line: as it is, in JSON, in a URL, in base64, and, as private keys do, line by line. */
function formsOf(value: string): string[] {
  const parts = [value, ...value.split(/\r?\n/)].map((part) => part.trim()).filter((part) => !isPublic(part));
  const forms = parts.flatMap((part) => [
    part,
    JSON.stringify(part).slice(1, -1),
    encodeURIComponent(part),
    Buffer.from(part).toString('base64'),
  ]);
  return forms.filter((form) => form.length >= SHORTEST);
}

/** Lines like `-----BEGIN PRIVATE KEY-----` are in every key; to hide them says nothing and hides much. */
function isPublic(part: string): boolean {
  return part.length < SHORTEST || /^-----(BEGIN|END) [A-Z ]+-----$/.test(part);
}

/**
 * The program's log from `level` on. Fields named `error` or `err`, or any that hold an Error, are written with what an
 * operator needs. `destination` defaults to standard output.
 */
export function pinoLog(
  level: 'debug' | 'info' | 'warn' | 'error',
  secrets: SecretRegistry,
  destination: Writable | DestinationStream = process.stdout,
): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // What stands under `err` is serialised already; pino's own way would run message and causes together.
      serializers: { err: (value: unknown) => value },
    },
    { write: (line: string) => void destination.write(secrets.redact(line)) },
  );
  const write = (at: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) =>
    logger[at](serialised(fields), message);
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

function serialised(fields: object): object {
  if (fields instanceof Error) return { error: errorFields(fields) };
  return Object.fromEntries(Object.entries(fields).map(([name, value]: [string, unknown]) => [name, plain(value)]));
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return errorFields(value);
  return typeof value === 'bigint' ? value.toString() : value;
}

/** So many causes are followed: a chain can be a circle. */
const DEEPEST_CAUSE = 5;

interface ErrorFields {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly stack?: string;
  readonly cause?: unknown;
}

function errorFields(error: Error, depth = 0): ErrorFields {
  const code = (error as { code?: unknown }).code;
  const { cause } = error;
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(error instanceof KeyturnError ? { hint: error.hint } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(cause === undefined || depth >= DEEPEST_CAUSE
      ? {}
      : { cause: cause instanceof Error ? errorFields(cause, depth + 1) : plain(cause) }),
  };
}
