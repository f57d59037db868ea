/** Compression, alone and before encryption, by the zstd that this Node or this machine has. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeAgeKey } from '../../../deploy/local/parts/age-key.ts';
import { checkCompression } from '../../../src/adapters/encoding/check.ts';
import { snapshotCoder } from '../../../src/adapters/encoding/coder.ts';
import { findZstd } from '../../../src/adapters/encoding/zstd.ts';
import { PLAIN, type Encoding } from '../../../src/domain/snapshot.ts';
import type { SnapshotCoder } from '../../../src/ports.ts';
import { inChunks, snapshotCoderContract } from '../../contracts/snapshot-coder.ts';
import { coderOf } from '../../support/coder.ts';

const NEVER = new AbortController().signal;
const ZSTD: Encoding = { ...PLAIN, compression: 'zstd' };

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keyturn-zstd-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function benchWith(make: (file: string, recipient: string) => SnapshotCoder) {
  const { file, recipient } = await writeAgeKey(join(dir, 'key'));
  const coder = make(file, recipient);
  return { coder, encoding: coder.encodingFor('zstd'), runs: 15 };
}

snapshotCoderContract('the coder that compresses', () => benchWith(() => coderOf()));
snapshotCoderContract('the coder that compresses and encrypts', () =>
  benchWith((file, recipient) => coderOf({ recipients: [recipient], identityFiles: [file] })),
);

/** Processes of this one, zombies too. */
async function children(): Promise<string[]> {
  const pids = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  return pids.split(' ').filter(Boolean);
}

describe('compression', () => {
  test('makes what is alike small, and any zstd reads it', async () => {
    const bytes = Buffer.alloc(1_000_000, '{"kind":"Pod"} ');
    const stored = await buffer(coderOf().encode(ZSTD, inChunks(bytes), NEVER));
    expect(stored.length).toBeLessThan(10_000);
    const reading = promisify(execFile)('zstd', ['-q', '-d', '-c'], { encoding: 'buffer', maxBuffer: 2_000_000 });
    reading.child.stdin?.end(stored);
    expect((await reading).stdout.equals(bytes)).toBe(true);
  });

  test('leaves no process behind, however it ends', async () => {
    const before = await children();
    const coder = coderOf();
    const noise = randomBytes(3_000_000);
    const stored = await buffer(coder.encode(ZSTD, inChunks(noise), NEVER));
    for await (const chunk of coder.encode(ZSTD, inChunks(noise, [50_000, 50_000]), NEVER)) if (chunk.length > 0) break;
    for await (const chunk of coder.decode(ZSTD, inChunks(stored), NEVER)) if (chunk.length > 0) break;
    await expect(buffer(coder.decode(ZSTD, inChunks(noise), NEVER))).rejects.toMatchObject({
      code: 'snapshot.damaged',
    });
    const stop = new AbortController();
    const hanging = coder.encode(ZSTD, inChunks(noise), stop.signal)[Symbol.asyncIterator]();
    await hanging.next();
    stop.abort(new Error('stop'));
    await expect(
      (async () => {
        for (;;) if ((await hanging.next()).done === true) return;
      })(),
    ).rejects.toThrow('stop');
    expect(await children()).toEqual(before);
  });

  test('that can not be had is done without, encryption is not', async () => {
    const warnings: string[] = [];
    const log = {
      debug: () => {},
      info: () => {},
      warn: (_: object, text: string) => void warnings.push(text),
      error: () => {},
    };
    const { file, recipient } = await writeAgeKey(join(dir, 'lone'));
    const options = { recipients: [recipient], passphraseFile: undefined, identityFiles: [file] };
    const coder = snapshotCoder(options, { log, zstd: () => undefined });
    expect(coder.encodingFor('zstd')).toEqual({ compression: 'none', encryption: 'age', recipients: [recipient] });
    expect(warnings).toEqual(['there is no zstd here: snapshots are stored uncompressed']);
    expect(await coder.obstacle(ZSTD)).toMatchObject({ code: 'compression.failed' });
  });

  test('is tried by keyturn check', async () => {
    expect((await checkCompression(NEVER)).found).toMatch(/^zstd, by the (program \/.*zstd|zstd of Node \d)/);
    expect(findZstd('', {})).toBe(undefined);
  });
});
