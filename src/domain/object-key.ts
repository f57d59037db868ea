/** Owns which object keys may exist: the same names in every kind of store, so that a snapshot can be copied between them. */
import { KeyturnError } from './error.ts';

const MAX_KEY_BYTES = 900; // S3 allows 1,024, and a configured prefix comes on top
const MAX_SEGMENT_BYTES = 200; // file systems allow 255, and temporary names are longer
// eslint-disable-next-line no-control-regex -- control characters are what it is there to find
const FORBIDDEN = /[\u0000-\u001f\u007f\\]|\p{Surrogate}/u;

/** True for `a/b/c.db`: no empty segment, none that starts with a dot, no control character, no backslash, not too long. */
export function isKey(key: string): boolean {
  if (FORBIDDEN.test(key) || Buffer.byteLength(key) > MAX_KEY_BYTES) return false;
  return key.split('/').every((s) => s !== '' && !s.startsWith('.') && Buffer.byteLength(s) <= MAX_SEGMENT_BYTES);
}

/** Throws store.refused for what is no key. */
export function assertKey(key: string): void {
  if (isKey(key)) return;
  throw new KeyturnError('store.refused', `${JSON.stringify(key)} is no name for an object.`, {
    hint: 'Use segments without a leading dot, joined by "/", without backslashes or control characters.',
  });
}

/** Order of keys in a listing: by their UTF-8 bytes, as S3 does it. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
