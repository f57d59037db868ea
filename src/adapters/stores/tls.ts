/** Owns what makes the line to a store that is spoken to by HTTP trustworthy: that it is encrypted, and who is trusted. */
import { readFile } from 'node:fs/promises';
import { KeyturnError } from '../../domain/error.ts';

export interface LineOptions {
  readonly name: string;
  readonly endpoint: string | undefined;
  /** `http://` endpoints are refused unless this is true. */
  readonly allowPlainHttp: boolean;
  /** PEM bundle; only who it names is trusted then. */
  readonly caFile: string | undefined;
}

/** Throws config.invalid for a plain `http://` endpoint that is not allowed. */
export function requireEncryption({ name, endpoint, allowPlainHttp }: LineOptions): void {
  if (allowPlainHttp || !(endpoint?.startsWith('http://') ?? false)) return;
  throw new KeyturnError('config.invalid', `The endpoint of store ${name} is plain http.`, {
    hint: `Use https://, or set allowPlainHttp: true for store ${name} if its network is trusted.`,
  });
}

/** Options of an HTTPS agent. Throws config.invalid when the file can't be read. */
export async function trusted({ name, caFile }: LineOptions): Promise<{ ca?: string }> {
  if (caFile === undefined) return {};
  try {
    return { ca: await readFile(caFile, 'utf8') };
  } catch (error) {
    throw new KeyturnError('config.invalid', `caFile of store ${name} can not be read: ${caFile}.`, {
      hint: 'Name a PEM file that Keyturn may read.',
      cause: error,
    });
  }
}
