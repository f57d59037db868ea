/** Owns the words for what can be wrong with one object in a tree of directories. */
import { KeyturnError } from '../domain/error.ts';

export function objectMissing(store: string, key: string): KeyturnError {
  return new KeyturnError('store.not-found', `Store ${store} has no object ${key}.`, {
    hint: 'List the snapshots; it may have been removed meanwhile.',
  });
}

/** `path`: of the whole store. */
export function linkInTheWay(store: string, path: string, key: string): KeyturnError {
  return new KeyturnError('store.refused', `In store ${store} a link or file stands in the way of ${key}.`, {
    hint: `Replace it under ${path} by a folder; Keyturn follows no links.`,
  });
}

export function abortedElsewhere(store: string, key: string): KeyturnError {
  return new KeyturnError('store.refused', `The upload of ${key} to store ${store} is gone: it was aborted.`, {
    hint: 'Take the backup again; another Keyturn may have cleaned up after this one.',
  });
}

/** `hint`: where to look. */
export function keptTooLittle(store: string, key: string, kept: number, size: number, hint: string): KeyturnError {
  return new KeyturnError('store.corrupt', `Store ${store} kept ${kept} of ${size} bytes of ${key}.`, { hint });
}
