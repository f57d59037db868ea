/** Owns what people are told when they ask whether the audit is whole: on this machine's disk, in the store, and both against each other. */
import { verifyAudit, type AuditVerdict } from '../domain/audit.ts';
import { KeyturnError, toProblem, type Problem } from '../domain/error.ts';

/** One copy of the audit: text by the name of its chain. */
export interface AuditCopy {
  /** What people read: `disk /var/lib/keyturn/audit`, `store ceph`. */
  readonly name: string;
  readonly read: () => Promise<ReadonlyMap<string, string>>;
}

/** What `verifyAudit` says of a copy. */
export interface ProvenCopy {
  readonly copy: AuditCopy;
  readonly chains: ReadonlyMap<string, string>;
  readonly verdict: AuditVerdict;
}

export interface Proof {
  /** The disk first. */
  readonly copies: readonly ProvenCopy[];
  /** Why the store's copy could not be read; then the disk is proven alone. */
  readonly storeAway: Problem | undefined;
}

/**
 * The disk has the chains of this machine alone; the store has those of all, and may be moments behind. Throws what reading
 * the disk throws.
 */
export async function proveCopies(disk: AuditCopy, store: AuditCopy | undefined): Promise<Proof> {
  // The store first: what it has was on the disk before.
  const { inStore, away } = await readStore(store);
  const onDisk = await disk.read();
  const stored = store && inStore && { copy: store, chains: inStore, verdict: verifyAudit(inStore, [], onDisk) };
  const known = (stored?.verdict.heads ?? []).filter(({ chain }) => onDisk.has(chain));
  const own = { copy: disk, chains: onDisk, verdict: verifyAudit(onDisk, known) };
  return { copies: stored === undefined ? [own] : [own, stored], storeAway: away };
}

async function readStore(
  store: AuditCopy | undefined,
): Promise<{ readonly inStore: ReadonlyMap<string, string> | undefined; readonly away: Problem | undefined }> {
  if (store === undefined) return { inStore: undefined, away: undefined };
  try {
    return { inStore: await store.read(), away: undefined };
  } catch (error) {
    if (!(error instanceof KeyturnError)) throw error;
    return { inStore: undefined, away: toProblem(error, store.name) };
  }
}

/** A line for each copy and for each problem, and whether all is whole; what could not be read is not known to be. */
export async function proveAudit(
  disk: AuditCopy,
  store: AuditCopy | undefined,
): Promise<{ readonly whole: boolean; readonly lines: readonly string[] }> {
  const { copies, storeAway: away } = await proveCopies(disk, store);
  return {
    whole: away === undefined && copies.every(({ verdict }) => verdict.whole),
    lines: [
      ...copies.flatMap(({ copy, verdict }) => [summary(copy, verdict), ...details(verdict)]),
      ...(away === undefined ? [] : [`${store?.name ?? ''}: NOT read. ${away.message} ${away.hint}`]),
    ],
  };
}

function summary({ name }: AuditCopy, { whole, entries, heads }: AuditVerdict): string {
  const what = `${entries} ${entries === 1 ? 'entry' : 'entries'} in ${heads.length} ${heads.length === 1 ? 'chain' : 'chains'}`;
  return `${name}: ${what}, ${whole ? 'whole' : 'NOT whole'}`;
}

function details({ problems, torn }: AuditVerdict): string[] {
  const cut = torn.map(({ chain }) => `  Chain ${chain} ends in a line that a crash cut off; nobody was told of it.`);
  return [...problems.map((problem) => `  ${problem}`), ...cut];
}
