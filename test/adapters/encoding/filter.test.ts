/** Bytes on their way through programs and through streams of Node's own, with programs that every machine has. */
import { buffer } from 'node:stream/consumers';
import { createGunzip, createGzip, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { programFilter, through, transformFilter } from '../../../src/adapters/encoding/filter.ts';
import { findZstd } from '../../../src/adapters/encoding/zstd.ts';
import { inChunks } from '../../contracts/snapshot-coder.ts';

const NEVER = new AbortController().signal;
const MUCH = Buffer.alloc(5_000_000, 'etcd ');

const failed = (why: string): Error => new Error(why);
const sh = (script: string) => () => programFilter(['sh', '-c', script], failed);

describe('a program', () => {
  test('gets all and gives all', async () => {
    expect((await buffer(through(sh('cat'), inChunks(MUCH, [7, 70_000]), NEVER))).equals(MUCH)).toBe(true);
  });

  test('that fails is told with what it said', async () => {
    const ended = buffer(through(sh('head -c 10; echo "no  room" >&2; exit 3'), inChunks(MUCH), NEVER));
    await expect(ended).rejects.toThrow('sh ended with exit code 3: no room');
  });

  test('that is killed is told', async () => {
    await expect(buffer(through(sh('kill -9 $$'), inChunks(MUCH), NEVER))).rejects.toThrow(
      'sh ended with SIGKILL: it said nothing',
    );
  });

  test('that can not be started is told', async () => {
    const none = () => programFilter(['/no/such/program'], failed);
    await expect(buffer(through(none, inChunks(MUCH), NEVER))).rejects.toThrow(/could not be started \(ENOENT\)/);
  });

  test('that talks without end on its standard error neither hangs nor fills memory', async () => {
    const ended = buffer(through(sh('head -c 3000000 /dev/zero | tr "\\0" x >&2; exit 1'), inChunks(MUCH), NEVER));
    await expect(ended).rejects.toThrow(/^sh ended with exit code 1: x{1,2000}$/);
  });

  test('knows nothing of the environment but the search path', async () => {
    process.env['KEYTURN_TEST_SECRET'] = 'planted';
    const printed = String(await buffer(through(sh('cat >/dev/null; env'), inChunks(MUCH), NEVER)));
    delete process.env['KEYTURN_TEST_SECRET'];
    expect(printed).not.toContain('planted');
    expect(printed).toContain('PATH=');
  });

  test('that reads no more than it needs ends well when all was handed over', async () => {
    expect(String(await buffer(through(sh('head -c 3; cat >/dev/null'), inChunks(MUCH), NEVER)))).toBe('etc');
  });
});

describe('a stream of Node’s own', () => {
  const gzip = () => transformFilter(createGzip(), failed);
  const gunzip = () => transformFilter(createGunzip(), failed);

  test('gets all and gives all', async () => {
    const packed = through(gzip, inChunks(MUCH, [7, 70_000]), NEVER);
    expect((await buffer(through(gunzip, packed, NEVER))).equals(MUCH)).toBe(true);
  });

  test('that fails is told, and what follows the end is not overlooked', async () => {
    const packed = gzipSync(MUCH);
    const read = (bytes: Buffer): Promise<Buffer> => buffer(through(gunzip, inChunks(bytes), NEVER));
    await expect(read(packed.subarray(0, -3))).rejects.toThrow('unexpected end of file');
    await expect(read(Buffer.concat([packed, Buffer.alloc(9, 0)]))).rejects.toThrow('9 bytes follow its end');
  });

  test('is used for zstd where there is no such program', () => {
    const node = { createZstdCompress: createGzip, createZstdDecompress: createGunzip, constants: {} };
    expect(findZstd('/no/such/folder', node)?.name).toMatch(/^the zstd of Node /);
    expect(findZstd('/no/such/folder', {})).toBe(undefined);
  });
});
