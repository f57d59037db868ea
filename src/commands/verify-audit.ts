/** Owns what people are told when they ask whether the audit is whole: on this machine's disk, in the store, and both against each other. */
import { verifyAudit, type AuditVerdict } from '../domain/audit.ts';

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

/**
 * The disk first, then the store. The disk has the chains of this machine alone; the store has those of all, and may be
 * moments behind. Throws what reading throws.
 */
export async function proveCopies(disk: AuditCopy, store: AuditCopy | undefined): Promise<readonly ProvenCopy[]> {
  // The store first: what it has was on the disk before.
  const stored = await store?.read();
  const storeVerdict = stored && verifyAudit(stored);
  const chains = await disk.read();
  const known = (storeVerdict?.heads ?? []).filter(({ chain }) => chains.has(chain));
  return [
    { copy: disk, chains, verdict: verifyAudit(chains, known) },
    ...(store && stored && storeVerdict ? [{ copy: store, chains: stored, verdict: storeVerdict }] : []),
  ];
}

/** A line for each copy and for each problem, and whether all is whole. Throws what reading throws. */
export async function proveAudit(
  disk: AuditCopy,
  store: AuditCopy | undefined,
): Promise<{ readonly whole: boolean; readonly lines: readonly string[] }> {
  const proven = await proveCopies(disk, store);
  return {
    whole: proven.every(({ verdict }) => verdict.whole),
    lines: proven.flatMap(({ copy, verdict }) => [summary(copy, verdict), ...details(verdict)]),
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
