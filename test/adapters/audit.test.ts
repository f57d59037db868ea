import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { readAuditStore } from '../../src/adapters/audit/copies.ts';
import { checkAuditFolder, readAuditFolder } from '../../src/adapters/audit/folder.ts';
import { auditTrail } from '../../src/adapters/audit/trail.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { readChain, verifyAudit, type AuditFact } from '../../src/domain/audit.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { AuditTrail } from '../../src/ports.ts';
import { memoryStore, type MemoryStore } from '../fakes/memory-store.ts';

const WRITER = ['--import', 'tsx', 'test/adapters/audit-writer.ts'];
let folder: string;
let store: MemoryStore;
let warnings: string[];
let open: AuditTrail[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyturn-audit-'));
  store = memoryStore();
  warnings = [];
  open = [];
});
afterEach(async () => {
  for (const each of open) await each.close();
  await rm(folder, { recursive: true, force: true });
});

/** One more process's trail in the same folder and store. */
function trail(change: { readonly sealMs?: number; readonly folder?: string } = {}): AuditTrail {
  const nothing = (): void => undefined;
  const log = {
    debug: nothing,
    info: nothing,
    error: nothing,
    warn: (_: object, said: string) => void warnings.push(said),
  };
  const made = auditTrail({ folder, store, sealMs: 3_600_000, clock: systemClock, log, ...change });
  open.push(made);
  return made;
}

const fact = (number: number): AuditFact => ({ type: 'test', number, text: 'é' });

/** The facts of all chains on disk but for their openings, in each chain's order. */
async function facts(chains?: Map<string, string>): Promise<unknown[]> {
  const all = [...(chains ?? (await readAuditFolder(folder)))].flatMap(([name, said]) => readChain(name, said).entries);
  return all.map((entry) => entry.fact).filter(({ type }) => type !== 'audit.opened');
}

async function opened(): Promise<AuditFact[]> {
  const all = [...(await readAuditFolder(folder))].flatMap(([name, said]) => readChain(name, said).entries);
  return all.map((entry) => entry.fact).filter(({ type }) => type === 'audit.opened');
}

test('what was recorded is on disk as a whole chain, before anybody is told, for its owner alone', async () => {
  const audit = trail();
  for (const i of [1, 2, 3]) {
    await audit.record(fact(i));
    expect(await facts()).toHaveLength(i);
  }
  const chains = await readAuditFolder(folder);
  expect(verifyAudit(chains)).toMatchObject({ whole: true, entries: 4, torn: [] });
  const [file = ''] = await readdir(folder);
  expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600);
});

test('what is recorded while the store takes a piece is in the store with the next', async () => {
  const audit = trail();
  await audit.record(fact(1));
  const put = store.put.bind(store);
  store.put = async (key, body) => {
    store.put = put;
    await audit.record(fact(2));
    await put(key, body);
  };
  await audit.seal();
  await audit.record(fact(3));
  await audit.seal();
  const chains = await readAuditStore(store);
  expect(verifyAudit(chains)).toMatchObject({ whole: true, entries: 4 });
  expect(await facts(chains)).toEqual([fact(1), fact(2), fact(3)]);
});

test('facts recorded at once keep their order and are all there', async () => {
  const audit = trail();
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  await Promise.all(numbers.map((i) => audit.record(fact(i))));
  expect(await facts()).toEqual(numbers.map(fact));
  expect(verifyAudit(await readAuditFolder(folder)).whole).toBe(true);
});

test('a fact that JSON can not hold is refused, and those beside it are kept', async () => {
  const audit = trail();
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const all = await Promise.allSettled([
    audit.record(fact(1)),
    audit.record({ type: 'test', circular }),
    audit.record(fact(2)),
  ]);
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await facts()).toEqual([fact(1), fact(2)]);
});

test('several processes in one folder write chains of their own, and all of them are whole', async () => {
  const trails = [trail(), trail(), trail()];
  await Promise.all(
    trails.flatMap((audit, i) => Array.from({ length: 20 }, (_, j) => audit.record(fact(i * 100 + j)))),
  );
  const chains = await readAuditFolder(folder);
  expect(chains.size).toBe(3);
  expect(verifyAudit(chains)).toMatchObject({ whole: true, entries: 63 });
});

test('a later process vouches for the ends of earlier ones, each once', async () => {
  for (const i of [1, 2, 3]) {
    const audit = trail();
    await audit.record(fact(i));
    await audit.close();
  }
  expect((await opened()).map(({ follows }) => (follows as unknown[]).length).sort()).toEqual([0, 1, 1]);
  const first = [...(await readAuditFolder(folder))].find(([, said]) => said.includes('"number":1'))?.[0] ?? '';
  const file = join(folder, `${first}.jsonl`);
  await truncate(file, (await readFile(file, 'utf8')).indexOf('\n') + 1);
  expect(verifyAudit(await readAuditFolder(folder)).problems).toEqual([
    `Chain ${first} ends after entry 1; it had at least 2.`,
  ]);
});

test('a line that a crash tore, even inside a character, is found and kept, and the torn file stays as it is', async () => {
  const audit = trail();
  await audit.record(fact(1));
  await audit.close();
  const [file = ''] = await readdir(folder);
  const torn = Buffer.from('{"at":"2026-11-21T06:00:00.000Z","fact":{"text":"é').subarray(0, -1);
  await appendFile(join(folder, file), torn);
  const before = await readFile(join(folder, file));

  await trail().record(fact(2));
  expect((await readFile(join(folder, file))).equals(before)).toBe(true);
  expect(await opened()).toContainEqual(
    expect.objectContaining({ torn: [{ chain: file.replace('.jsonl', ''), after: 2, text: torn.toString() }] }),
  );
  const verdict = verifyAudit(await readAuditFolder(folder));
  expect(verdict).toMatchObject({ whole: true, entries: 4 });
  expect(verdict.torn).toHaveLength(1);
});

test('a changed byte on disk is found, also one that leaves no valid text', async () => {
  const audit = trail();
  await audit.record(fact(1));
  const [file = ''] = await readdir(folder);
  const bytes = await readFile(join(folder, file));
  for (const byte of [0xff, 0x20, 0x0a]) {
    const changed = Buffer.from(bytes);
    changed[bytes.length - 100] = byte;
    await writeFile(join(folder, file), changed);
    expect(verifyAudit(await readAuditFolder(folder)).whole).toBe(false);
  }
});

test('all that was told to be kept is there after kill -9 in the middle', async () => {
  const child = spawn(process.execPath, [...WRITER, folder, '100000'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const said = text(child.stdout);
  child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), 150));
  await ended;
  const kept = (await said).split('\n').slice(0, -1).map(Number);
  expect(kept.length).toBeGreaterThan(0);
  const numbers = (await facts()).map((each) => (each as { number: number }).number);
  expect(numbers.slice(0, kept.length)).toEqual(kept);
  await trail().record(fact(1));
  expect(verifyAudit(await readAuditFolder(folder)).whole).toBe(true);
}, 30_000);

test('a disk that takes only part of a line costs no fact that was told to be kept, and breaks no chain', async () => {
  // No file may grow beyond so many bytes: the kernel cuts the write in the middle of a line.
  const limited = ['--fsize=2500', process.execPath, ...WRITER, folder, '20'];
  const { stdout } = await promisify(execFile)('prlimit', limited);
  expect(stdout.trim().split('\n').map(Number)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  const chains = await readAuditFolder(folder);
  expect(chains.size).toBeGreaterThan(1);
  const verdict = verifyAudit(chains);
  expect(verdict.problems).toEqual([]);
  expect(verdict.torn.length).toBeGreaterThan(0);
  const numbers = (await facts(chains)).map((each) => (each as { number: number }).number);
  expect([...new Set(numbers)].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
}, 30_000);

test('a fact that can not be kept is refused, and the next one is kept when the disk is back', async () => {
  const place = join(folder, 'away');
  await writeFile(place, 'a file where the folder should be');
  const audit = trail({ folder: place });
  await expect(audit.record(fact(1))).rejects.toMatchObject({ code: 'audit.failed' });
  await rm(place);
  await audit.record(fact(2));
  expect(await facts(await readAuditFolder(place))).toEqual([fact(2)]);
});

test('sealing puts every line into the store, each once', async () => {
  const audit = trail();
  for (const i of [1, 2]) await audit.record(fact(i));
  await audit.seal();
  await audit.seal();
  await audit.record(fact(3));
  await audit.seal();
  expect(store.objects.size).toBe(2);
  expect(await readAuditStore(store)).toEqual(await readAuditFolder(folder));
});

test('recorded facts reach the store by themselves', async () => {
  await trail({ sealMs: 20 }).record(fact(1));
  await vi.waitFor(async () => expect(await facts(await readAuditStore(store))).toEqual([fact(1)]), 5_000);
});

test('while the store is away facts are kept on disk, and the store has all of them when it is back', async () => {
  store.fail('put', new KeyturnError('store.unreachable', 'The store is away.', { hint: 'Wait.' }));
  const audit = trail({ sealMs: 5 });
  await audit.record(fact(1));
  await expect(audit.seal()).rejects.toMatchObject({ code: 'store.unreachable' });
  await audit.record(fact(2));
  await vi.waitFor(() => expect(warnings).not.toEqual([]), 5_000);
  store.heal();
  await vi.waitFor(async () => expect(await readAuditStore(store)).toEqual(await readAuditFolder(folder)), 5_000);
});

test('what a process that died had not put into the store the next one puts there', async () => {
  const dead = trail();
  for (const i of [1, 2]) await dead.record(fact(i));
  await dead.seal();
  await dead.record(fact(3));
  await dead.close();
  const next = trail();
  await next.record(fact(4));
  await next.seal();
  expect(await readAuditStore(store)).toEqual(await readAuditFolder(folder));
});

test('disk and store prove each other: what is cut off or written anew in one is found by the heads of the other', async () => {
  const audit = trail();
  for (const i of [1, 2]) await audit.record(fact(i));
  await audit.seal();
  const heads = verifyAudit(await readAuditStore(store)).heads;
  const [file = ''] = await readdir(folder);
  const lines = (await readFile(join(folder, file), 'utf8')).split('\n');
  await writeFile(join(folder, file), `${lines.slice(0, 2).join('\n')}\n`);
  expect(verifyAudit(await readAuditFolder(folder)).whole).toBe(true);
  expect(verifyAudit(await readAuditFolder(folder), heads).whole).toBe(false);
});

test('an object that is gone from the store is found', async () => {
  const audit = trail();
  for (const i of [1, 2, 3]) {
    await audit.record(fact(i));
    await audit.seal();
  }
  store.objects.delete([...store.objects.keys()][1] ?? '');
  expect(verifyAudit(await readAuditStore(store)).whole).toBe(false);
});

test('a folder that can be written is made and left empty; one that can not is told with what to do', async () => {
  const fresh = join(folder, 'deep', 'audit');
  expect(await checkAuditFolder(fresh)).toBe(`${fresh} can be written`);
  expect(await readdir(fresh)).toEqual([]);
  expect((await stat(fresh)).mode & 0o777).toBe(0o700);
  await writeFile(join(folder, 'file'), '');
  await expect(checkAuditFolder(join(folder, 'file', 'audit'))).rejects.toMatchObject({
    code: 'audit.failed',
    message: expect.stringContaining('ENOTDIR') as string,
  });
});
