/** Owns gzip, in which other tools keep their snapshots. */
import { createGunzip, createGzip } from 'node:zlib';
import { KeyturnError } from '../../domain/error.ts';
import { transformFilter, type Filter } from './filter.ts';

export const gzip = {
  compress: (): Filter => transformFilter(createGzip(), notCompressed),
  decompress: (): Filter => transformFilter(createGunzip(), notReadable),
};

function notCompressed(why: string, cause?: unknown): KeyturnError {
  return new KeyturnError('compression.failed', `The snapshot could not be compressed: ${why}.`, {
    hint: 'See that the machine that runs Keyturn has memory left.',
    cause,
  });
}

function notReadable(why: string, cause?: unknown): KeyturnError {
  return new KeyturnError('snapshot.damaged', `The gzipped bytes are not what was written: ${why}.`, {
    hint: 'Use another copy or another snapshot.',
    cause,
  });
}
