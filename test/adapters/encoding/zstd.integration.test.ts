/** Compression, alone and before encryption, by the zstd that this Node or this machine has. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeAgeKey } from '../../../deploy/local/parts/age-key.ts';
import { checkCompression } from '../../../src/adapters/encoding/check.ts';
import { snapshotCoder } from '../../../src/adapters/encoding/coder.ts';
import { findZstd } from '../../../src/adapters/encoding/zstd.ts';
import { PLAIN, type Encoding } from '../../../src/domain/snapshot.ts';
import type { Log } from '../../../src/ports.ts';
import { inChunks, snapshotCoderContract } from '../../contracts/snapshot-coder.ts';
import { coderOf } from '../../support/coder.ts';

const NEVER = new AbortController().signal;
const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const ZSTD: Encoding = { ...PLAIN, compression: 'zstd' };

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keyturn-zstd-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** The program, and Node's own where this Node has one. */
const KINDS = [
  { what: 'the program zstd', zstd: () => findZstd(undefined, {}) },
  ...('createZstdCompress' in zlib ? [{ what: 'the zstd of Node', zstd: () => findZstd('') }] : []),
];

describe.each(KINDS)('$what', ({ zstd }) => {
  async function bench(isEncrypted: boolean) {
    const { file, recipient } = await writeAgeKey(join(dir, 'key'));
    const recipients = isEncrypted ? [recipient] : [];
    const coder = snapshotCoder({ recipients, passphraseFile: undefined, identityFiles: [file] }, { log, zstd });
    return { coder, encoding: coder.encodingFor('zstd'), runs: 15 };
  }

  snapshotCoderContract('the coder that compresses', () => bench(false));
  snapshotCoderContract('the coder that compresses and encrypts', () => bench(true));

  test.each(KINDS)('is read by $what', async (other) => {
    const bytes = Buffer.concat([randomBytes(200_000), Buffer.alloc(500_000, 'etcd ')]);
    const options = { recipients: [], passphraseFile: undefined, identityFiles: [] };
    const [writer, reader] = [zstd, other.zstd].map((each) => snapshotCoder(options, { log, zstd: each }));
    for (const cuts of [[], [1, 65_535], Array.from({ length: 9 }, () => 50_000)]) {
      const stored = writer?.encode(ZSTD, inChunks(bytes, cuts), NEVER) ?? inChunks(bytes);
      expect((await buffer(reader?.decode(ZSTD, stored, NEVER) ?? stored)).equals(bytes)).toBe(true);
    }
  });
});

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
    const told: Log = { ...log, warn: (_, text) => void warnings.push(text) };
    const { file, recipient } = await writeAgeKey(join(dir, 'lone'));
    const options = { recipients: [recipient], passphraseFile: undefined, identityFiles: [file] };
    const coder = snapshotCoder(options, { log: told, zstd: () => undefined });
    expect(coder.encodingFor('zstd')).toEqual({ compression: 'none', encryption: 'age', recipients: [recipient] });
    expect(warnings).toEqual(['there is no zstd here: snapshots are stored uncompressed']);
    expect(await coder.obstacle(ZSTD)).toMatchObject({ code: 'compression.failed' });
  });

  test('is tried by keyturn check', async () => {
    expect((await checkCompression(NEVER)).found).toMatch(/^zstd, by the (program \/.*zstd|zstd of Node \d)/);
    expect(findZstd('', {})).toBe(undefined);
  });
});
