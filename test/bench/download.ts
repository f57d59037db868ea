/** Puts the object of a snapshot on this disk, as people have it who restore by hand. Argument: JSON `{store, key, file}`. */
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store, type S3StoreOptions } from '../../src/adapters/stores/s3.ts';

const { store, key, file } = JSON.parse(process.argv[2] ?? '', (_, value: unknown) =>
  value === null ? undefined : value,
) as { store: S3StoreOptions; key: string; file: string };

await pipeline(await s3Store(store, systemClock).read(key, new AbortController().signal), createWriteStream(file));
process.exit(0);
