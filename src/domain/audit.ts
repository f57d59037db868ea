/**
 * Owns what a record that nobody can change unseen looks like: lines of JSON, each with the hash of the one before, in
 * chains that name each other's ends. Whether a chain is whole can be told from its text alone.
 */
import { createHash } from 'node:crypto';
import { canonical } from './plan.ts';

/** Version of the line's form. */
export const AUDIT_FORMAT = 1;

/** What is told of the world: JSON, with the kind of thing that happened. */
export interface AuditFact {
  readonly type: string;
  readonly [name: string]: unknown;
}

/** The end of a chain: who knows it can tell whether something was cut off or written anew. */
export interface AuditHead {
  readonly chain: string;
  /** Of its last entry; 0 when it has none. */
  readonly seq: number;
  /** Of its last entry, lower-case hex sha256. */
  readonly hash: string;
}

export interface AuditEntry {
  readonly format: typeof AUDIT_FORMAT;
  /** Each process that writes has a chain of its own. */
  readonly chain: string;
  /** From 1, without a gap. */
  readonly seq: number;
  /** ISO time. */
  readonly at: string;
  /** `hash` of the entry before; 64 zeros for the first. */
  readonly previous: string;
  readonly fact: AuditFact;
  /** sha256 over the canonical JSON of all the rest, lower-case hex. */
  readonly hash: string;
}

/** The first fact of every chain. `follows`: the ends of all chains that were found where this one began. */
export interface ChainOpened extends AuditFact {
  readonly type: 'audit.opened';
  readonly follows: readonly AuditHead[];
  /** Beginnings of lines that a crash cut off after the entry `after`: they are no entries, and are kept here. */
  readonly torn: readonly { readonly chain: string; readonly after: number; readonly text: string }[];
  /** Chains that were found broken. */
  readonly broken: readonly string[];
}

const NOTHING_BEFORE = '0'.repeat(64);

export function emptyHead(chain: string): AuditHead {
  return { chain, seq: 0, hash: NOTHING_BEFORE };
}

/** The next entry as a line with its newline, and the head after it. Throws TypeError on what JSON can't hold. */
export function nextLine(
  head: AuditHead,
  fact: AuditFact,
  at: Date,
): { readonly line: string; readonly head: AuditHead } {
  const { chain } = head;
  const rest: Omit<AuditEntry, 'hash'> = {
    format: AUDIT_FORMAT,
    chain,
    seq: head.seq + 1,
    at: at.toISOString(),
    previous: head.hash,
    // As it will be read: what JSON leaves out is not hashed either.
    fact: JSON.parse(JSON.stringify(fact)) as AuditFact,
  };
  const hash = sha256(canonical(rest));
  return { line: `${canonical({ ...rest, hash })}\n`, head: { chain, seq: rest.seq, hash } };
}

/** What is told of one chain. */
export interface ChainVerdict {
  readonly chain: string;
  /** The end of what is whole. */
  readonly head: AuditHead;
  readonly entries: readonly AuditEntry[];
  /** A last line without its newline: a crash cut it off, and nobody was told that it was kept. Undefined: none. */
  readonly torn: string | undefined;
  /** Where it is broken, in words for people; undefined when it is whole. `line` counts from 1. */
  readonly broken: { readonly line: number; readonly why: string } | undefined;
}

/** Reads one chain's text to its end, or to where it is broken. */
export function readChain(chain: string, text: string): ChainVerdict {
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  const torn = rest === '' ? undefined : rest;
  const entries: AuditEntry[] = [];
  let head = emptyHead(chain);
  for (const [i, line] of lines.entries()) {
    const found = readEntry(head, line);
    if (typeof found === 'string') return { chain, head, entries, torn, broken: { line: i + 1, why: found } };
    entries.push(found);
    head = { chain, seq: found.seq, hash: found.hash };
  }
  return { chain, head, entries, torn, broken: undefined };
}

/** The entry of `line`, or why it can't come after `head`. */
function readEntry(head: AuditHead, line: string): AuditEntry | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
    if (canonical(value) !== line) return 'the line was changed: it is not as it was written';
  } catch {
    return 'the line is no JSON';
  }
  if (!isEntry(value)) return 'the line is no entry of a known form';
  const { hash, ...rest } = value;
  if (sha256(canonical(rest)) !== hash) return `entry ${value.seq} was changed: its hash does not fit`;
  if (value.chain !== head.chain) return `entry ${value.seq} is of another chain, ${value.chain}`;
  if (value.seq !== head.seq + 1) return `entry ${head.seq + 1} should stand here, not ${value.seq}`;
  if (value.previous !== head.hash) return `entry ${value.seq} does not follow the one before it`;
  return value;
}

function isEntry(value: unknown): value is AuditEntry {
  if (typeof value !== 'object' || value === null) return false;
  const { format, chain, seq, at, previous, fact, hash } = value as Partial<Record<keyof AuditEntry, unknown>>;
  const texts = [chain, at, previous, hash].every((each) => typeof each === 'string');
  const isFact = typeof fact === 'object' && fact !== null && 'type' in fact && typeof fact.type === 'string';
  return format === AUDIT_FORMAT && Number.isSafeInteger(seq) && texts && isFact && Object.keys(value).length === 7;
}

export interface AuditVerdict {
  readonly whole: boolean;
  readonly entries: number;
  readonly heads: readonly AuditHead[];
  /** Lines that a crash cut off; no proof of anything, and no break. */
  readonly torn: readonly { readonly chain: string; readonly text: string }[];
  /** Each a full sentence; empty when all is whole. */
  readonly problems: readonly string[];
}

/**
 * Proves chains whole, or says where they are broken. `chains`: text by name. `known`: heads that were kept elsewhere (in
 * the store, in a report); chains also vouch for those that they follow. What the last chain's end hides only such a head
 * tells: without one, entries cut off the end of the newest chain leave no trace. `elsewhere`: chains of another copy, of
 * which this one may be moments behind: an entry that is there is not missing.
 */
export function verifyAudit(
  chains: ReadonlyMap<string, string>,
  known: readonly AuditHead[] = [],
  elsewhere: ReadonlyMap<string, string> = new Map(),
): AuditVerdict {
  const verdicts = new Map([...chains].map(([name, text]) => [name, readChain(name, text)]));
  const all = [...verdicts.values()];
  const followed = all.flatMap(({ entries }) => entries.flatMap(({ fact }) => followsOf(fact)));
  const breaks = all.flatMap(({ chain, broken, head }) =>
    broken === undefined
      ? []
      : [`Chain ${chain} is broken in line ${broken.line}, after entry ${head.seq}: ${broken.why}.`],
  );
  const missing = [...known, ...followed].flatMap((head) =>
    missed(verdicts.get(head.chain), head, () => isThere(elsewhere, head)),
  );
  const problems = [...new Set([...breaks, ...missing])];
  return {
    whole: problems.length === 0,
    entries: all.reduce((sum, { entries }) => sum + entries.length, 0),
    heads: all.map(({ head }) => head),
    torn: all.flatMap(({ chain, torn }) => (torn === undefined ? [] : [{ chain, text: torn }])),
    problems,
  };
}

/** Whether a copy that has come further has this very entry. */
function isThere(chains: ReadonlyMap<string, string>, { chain, seq, hash }: AuditHead): boolean {
  const text = chains.get(chain);
  return text !== undefined && readChain(chain, text).entries[seq - 1]?.hash === hash;
}

/** The entry that someone else knows must be there, and be the same. */
function missed(
  verdict: ChainVerdict | undefined,
  { chain, seq, hash }: AuditHead,
  isElsewhere: () => boolean,
): string[] {
  if (seq === 0) return [];
  if (verdict?.entries[seq - 1] === undefined && isElsewhere()) return [];
  if (verdict === undefined) return [`Chain ${chain} is missing; it had at least ${seq} entries.`];
  const entry = verdict.entries[seq - 1];
  if (entry === undefined) {
    return verdict.broken === undefined
      ? [`Chain ${chain} ends after entry ${verdict.head.seq}; it had at least ${seq}.`]
      : [];
  }
  return entry.hash === hash
    ? []
    : [`Entry ${seq} of chain ${chain} is not the one that was known: it was written anew.`];
}

function followsOf(fact: AuditFact): readonly AuditHead[] {
  return isOpening(fact) ? fact.follows : [];
}

/** Its parts are as this program writes them: the entry's hash was found to fit. */
function isOpening(fact: AuditFact): fact is ChainOpened {
  return fact.type === 'audit.opened' && ['follows', 'torn', 'broken'].every((name) => Array.isArray(fact[name]));
}

/** The first fact of a chain that begins beside `found`: only what no chain among them tells already. */
export function openingFact(found: readonly ChainVerdict[]): ChainOpened {
  const told = found.flatMap(({ entries }) => entries.flatMap(({ fact }) => (isOpening(fact) ? [fact] : [])));
  const follows = told.flatMap((fact) => fact.follows);
  const torn = told.flatMap((fact) => fact.torn);
  const broken = told.flatMap((fact) => fact.broken);
  return {
    type: 'audit.opened',
    follows: found
      .map(({ head }) => head)
      .filter(({ chain, seq }) => seq > 0 && !follows.some((each) => each.chain === chain && each.seq >= seq)),
    torn: found.flatMap(({ chain, head, torn: text }) =>
      text === undefined || torn.some((each) => each.chain === chain) ? [] : [{ chain, after: head.seq, text }],
    ),
    broken: found.filter((each) => each.broken !== undefined && !broken.includes(each.chain)).map(({ chain }) => chain),
  };
}

/** Lines of one chain out of pieces that may overlap; pieces that differ where they overlap stay in, and break the chain. */
export function joinSegments(segments: readonly { readonly first: number; readonly text: string }[]): string {
  const lines = new Map<string, readonly [number, string]>();
  for (const { first, text } of segments) {
    for (const [i, line] of text.split('\n').slice(0, -1).entries())
      lines.set(`${first + i} ${line}`, [first + i, line]);
  }
  return [...lines.values()]
    .sort(([a], [b]) => a - b)
    .map(([, line]) => `${line}\n`)
    .join('');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
