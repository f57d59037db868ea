/**
 * Owns where the audit lies: a file a chain on this machine's disk, synced before anybody is told, and the same lines as
 * sealed objects in a store. Nothing that was written is ever written again.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import {
  emptyHead,
  joinSegments,
  nextLine,
  openingFact,
  readChain,
  type AuditFact,
  type AuditHead,
  type ChainVerdict,
} from '../domain/audit.ts';
import { KeyturnError } from '../domain/error.ts';
import type { AuditTrail, Clock, Log, SnapshotStore } from '../ports.ts';

export interface AuditOptions {
  /** On disk; made with mode 0700. Several processes may share it: each writes files of its own. */
  readonly folder: string;
  /** Where the copy goes; undefined: there is none. */
  readonly store: SnapshotStore | undefined;
  /** What is recorded is in the store after so long, when the store is there. Milliseconds, default 5,000. */
  readonly sealMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

const SUFFIX = '.jsonl';
/** Beside the folders of the clusters in a store. */
const PREFIX = 'keyturn-audit/';
/** `<chain>/<first>-<last>.jsonl` */
const SEGMENT = /^([A-Za-z0-9-]+)\/(\d{9})-(\d{9})\.jsonl$/;
/** Objects of the store that are read at the same time: there may be tens of thousands. */
const SIDE_BY_SIDE = 16;
/** A line that is being written right now is not a torn one. */
const SECOND_LOOK_MS = 200;

/** Begins nothing on disk before the first fact is recorded. */
export function auditTrail(options: AuditOptions): AuditTrail {
  const { folder, store, clock, log, sealMs = 5_000 } = options;
  const waiting: Waiting[] = [];
  /** On disk, not yet in the store. */
  let unsealed: Line[] = [];
  let chain: OpenChain | undefined;
  /** Chains of processes that died may have lines that never got into the store. */
  let othersToSeal = false;
  let writing: Promise<void> | undefined;
  let sealing: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  /** One after the other; what comes meanwhile is written and synced at once. */
  async function writeAll(): Promise<void> {
    while (waiting.length > 0) await write(waiting.splice(0));
    writing = undefined;
  }

  async function write(batch: readonly Waiting[]): Promise<void> {
    try {
      if (chain === undefined) {
        chain = await beginChain(folder, clock);
        othersToSeal = store !== undefined;
        unsealed.push(chain.first);
      }
      const { lines, head } = linesOf(chain.head, batch, clock.now());
      await append(chain.file, lines);
      chain.head = head;
      unsealed.push(...lines);
      for (const { resolve } of batch) resolve();
    } catch (error) {
      // What reached the disk of it is unknown: nothing is written behind it, the next fact begins a chain.
      await chain?.file.close().catch(() => undefined);
      chain = undefined;
      for (const { reject } of batch) reject(failed(folder, error));
    }
  }

  async function sealNow(): Promise<void> {
    if (store === undefined) return;
    // First, because what is recorded here may vouch for them.
    if (othersToSeal) await sealOthers(folder, store, chain?.head.chain);
    othersToSeal = false;
    while (unsealed.length > 0) {
      const { chain: name } = unsealed[0] as Line;
      const end = unsealed.findIndex((line) => line.chain !== name);
      // A copy: what is recorded while it is put is not part of it.
      const lines = unsealed.slice(0, end === -1 ? unsealed.length : end);
      await putSegment(store, lines);
      unsealed = unsealed.slice(lines.length);
    }
  }

  function seal(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const next = sealing.catch(() => undefined).then(sealNow);
    sealing = next;
    return next;
  }

  function sealLater(ms: number): void {
    if (store === undefined || timer !== undefined) return;
    const trySealing = async (): Promise<void> => {
      await seal().catch((error: unknown) => {
        log.warn({ err: error }, `the audit could not be copied to store ${store.name}; it is tried again`);
        sealLater(6 * sealMs);
      });
    };
    timer = setTimeout(() => void trySealing(), ms).unref();
  }

  return {
    async record(fact) {
      // What JSON can't hold is refused here, not among the facts of others.
      const plain = JSON.parse(JSON.stringify(fact)) as AuditFact;
      await new Promise<void>((resolve, reject) => {
        waiting.push({ fact: plain, resolve, reject });
        writing ??= writeAll();
      });
      sealLater(sealMs);
    },
    seal,
    async close() {
      await writing;
      clearTimeout(timer);
      await chain?.file.close();
      chain = undefined;
    },
  };
}

interface Waiting {
  readonly fact: AuditFact;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Line {
  readonly chain: string;
  readonly seq: number;
  readonly text: string;
}

interface OpenChain {
  readonly file: FileHandle;
  readonly first: Line;
  head: AuditHead;
}

function linesOf(from: AuditHead, batch: readonly Waiting[], at: Date): { lines: Line[]; head: AuditHead } {
  let head = from;
  const lines = batch.map(({ fact }) => {
    const next = nextLine(head, fact, at);
    head = next.head;
    return { chain: head.chain, seq: head.seq, text: next.line };
  });
  return { lines, head };
}

async function append(file: FileHandle, lines: readonly Line[]): Promise<void> {
  await file.appendFile(lines.map(({ text }) => text).join(''));
  await file.datasync();
}

/** A new file, whose first entry names the ends of all chains found beside it. */
async function beginChain(folder: string, clock: Clock): Promise<OpenChain> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lookAround(folder, clock);
  const at = clock.now();
  const chain = `${at.toISOString().replace(/[-:]|\.\d+/g, '')}-${randomBytes(6).toString('hex')}`;
  const { line, head } = nextLine(emptyHead(chain), openingFact(found), at);
  const first = { chain, seq: head.seq, text: line };
  const file = await open(join(folder, `${chain}${SUFFIX}`), 'ax', 0o600);
  try {
    await append(file, [first]);
    await syncFolder(folder);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { file, first, head };
}

/** What lies there, each chain read to its end; a torn end counts only when it stays as it is. */
async function lookAround(folder: string, clock: Clock): Promise<ChainVerdict[]> {
  const read = async (): Promise<ChainVerdict[]> =>
    [...(await readAuditFolder(folder))].map(([name, text]) => readChain(name, text));
  const first = await read();
  if (first.every(({ torn }) => torn === undefined)) return first;
  await clock.sleep(SECOND_LOOK_MS);
  const before = new Map(first.map(({ chain, torn }) => [chain, torn]));
  return (await read()).map((each) => (each.torn === before.get(each.chain) ? each : { ...each, torn: undefined }));
}

/** Puts into the store what other processes' chains have on this disk and not there. */
async function sealOthers(folder: string, store: SnapshotStore, own: string | undefined): Promise<void> {
  const sealed = new Map<string, number>();
  for await (const { chain, last } of segmentsIn(store)) sealed.set(chain, Math.max(last, sealed.get(chain) ?? 0));
  for (const [name, text] of await readAuditFolder(folder)) {
    if (name === own) continue;
    const done = sealed.get(name) ?? 0;
    const lines = text.split('\n').slice(0, -1);
    const rest = lines.map((line, i) => ({ chain: name, seq: i + 1, text: `${line}\n` })).slice(done);
    if (rest.length > 0) await putSegment(store, rest);
  }
}

async function putSegment(store: SnapshotStore, lines: readonly Line[]): Promise<void> {
  const [first, last] = [lines.at(0), lines.at(-1)];
  if (first === undefined || last === undefined) return;
  const number = (seq: number): string => String(seq).padStart(9, '0');
  const key = `${PREFIX}${first.chain}/${number(first.seq)}-${number(last.seq)}${SUFFIX}`;
  await store.put(key, Buffer.from(lines.map(({ text }) => text).join('')));
}

interface Segment {
  readonly key: string;
  readonly chain: string;
  readonly first: number;
  readonly last: number;
}

async function* segmentsIn(store: SnapshotStore): AsyncGenerator<Segment> {
  for await (const { key } of store.list(PREFIX)) {
    const [, chain, first, last] = SEGMENT.exec(key.slice(PREFIX.length)) ?? [];
    if (chain !== undefined) yield { key, chain, first: Number(first), last: Number(last) };
  }
}

/** Proves that entries can be kept in `folder`, and makes it where there is none; leaves nothing in it. Throws audit.failed. */
export async function checkAuditFolder(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `check-${randomBytes(6).toString('hex')}`);
    const file = await open(path, 'wx', 0o600);
    try {
      await file.appendFile('check');
      await file.datasync();
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
    return `${folder} can be written`;
  } catch (error) {
    throw failed(folder, error);
  }
}

/** The text of every chain on disk, by its name; empty when there is no such folder. For `verifyAudit`. */
export async function readAuditFolder(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  const chains = new Map<string, string>();
  for (const name of names.filter((each) => each.endsWith(SUFFIX)).sort()) {
    chains.set(name.slice(0, -SUFFIX.length), decode(await readFile(join(folder, name))));
  }
  return chains;
}

/** The same out of the store. Throws store.*. */
export async function readAuditStore(store: SnapshotStore): Promise<Map<string, string>> {
  const segments: Segment[] = [];
  for await (const segment of segmentsIn(store)) segments.push(segment);
  const pieces = new Map<string, { readonly first: number; readonly text: string }[]>();
  for (let at = 0; at < segments.length; at += SIDE_BY_SIDE) {
    const some = segments.slice(at, at + SIDE_BY_SIDE);
    const texts = await Promise.all(some.map(async ({ key }) => decode(await store.get(key))));
    for (const [i, { chain, first }] of some.entries())
      pieces.set(chain, [...(pieces.get(chain) ?? []), { first, text: texts[i] ?? '' }]);
  }
  return new Map([...pieces].map(([chain, segments]) => [chain, joinSegments(segments)]));
}

/** Whole lines that are no UTF-8 become lines that no hash fits; a torn end may be cut in the middle of a character. */
function decode(bytes: Uint8Array): string {
  const end = bytes.lastIndexOf(0x0a) + 1;
  const whole = Buffer.from(bytes.subarray(0, end));
  const text = whole.toString('utf8');
  const torn = Buffer.from(bytes.subarray(end)).toString('utf8');
  return `${Buffer.from(text).equals(whole) ? text : whole.toString('latin1')}${torn}`;
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function failed(folder: string, cause: unknown): KeyturnError {
  const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  return new KeyturnError('audit.failed', `The audit could not be written to ${folder}: ${why}.`, {
    hint: `Make room on the disk of ${folder}, and let Keyturn's user write there; nothing is done that is not recorded.`,
    cause,
  });
}
