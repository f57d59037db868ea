/**
 * Owns how the audit is kept: written to this machine's disk and synced before anybody is told, and copied to a store soon
 * after. Nothing that was written is ever written again.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import {
  emptyHead,
  nextLine,
  openingFact,
  readChain,
  type AuditFact,
  type AuditHead,
  type ChainVerdict,
} from '../../domain/audit.ts';
import type { AuditTrail, Clock, Log, SnapshotStore } from '../../ports.ts';
import { putSegment, sealOthers, type Line } from './copies.ts';
import { failed, readAuditFolder, SUFFIX, syncFolder } from './folder.ts';

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
