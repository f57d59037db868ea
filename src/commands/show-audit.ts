/** Owns the look at what the audit has of one restore, and whether it can be believed. */
import { readChain } from '../domain/audit.ts';
import type { AuditEntry } from '../domain/audit.ts';
import { KeyturnError } from '../domain/error.ts';
import type { Person } from '../domain/permission.ts';
import type { Clock } from '../ports.ts';
import type { RestoreCommandDeps } from './deps.ts';
import { requirePermission, within } from './deps.ts';
import { knownRequest } from './known-request.ts';
import type { AuditReport } from './restore-commands.ts';
import { proveCopies } from './verify-audit.ts';
import type { AuditCopy, ProvenCopy } from './verify-audit.ts';

/** The store has an object for every few seconds in which something happened. */
const STORE_PATIENCE_MS = 60_000;

/**
 * From this machine's disk and from the store, where other machines' chains are; each entry once. Throws permission.denied,
 * queue.unavailable, request.unknown when neither the audit nor anything else knows the restore.
 */
export async function showAudit(deps: RestoreCommandDeps, actor: Person, id: string): Promise<AuditReport> {
  requirePermission(deps, actor, 'audit');
  const { disk, store } = deps.auditCopies;
  const [request, { copies, storeAway }] = await Promise.all([
    deps.requests.read(id),
    proveCopies(disk, store && inTime(deps.clock, store)),
  ]);
  if (storeAway !== undefined) deps.log.warn({ err: storeAway }, "The store's copy of the audit could not be read");
  const entries = entriesOf(copies, id);
  // The audit outlives the request.
  if (request === undefined && entries.length === 0) await knownRequest(deps, id);
  return { entries, request, problems: [...new Set(copies.flatMap(({ verdict }) => verdict.problems))], storeAway };
}

function inTime(clock: Clock, { name, read }: AuditCopy): AuditCopy {
  const late = (): KeyturnError =>
    new KeyturnError('store.unreachable', `The audit in ${name} was not read within ${STORE_PATIENCE_MS / 1000} s.`, {
      hint: 'What other machines recorded is missing here; try again, or run "keyturn audit verify".',
    });
  return { name, read: () => within(clock, STORE_PATIENCE_MS, read(), late) };
}

/** Of this restore alone, oldest first; what stands in two copies once, by its hash. */
function entriesOf(proven: readonly ProvenCopy[], id: string): readonly AuditEntry[] {
  const entries = new Map<string, AuditEntry>();
  for (const { chains } of proven) {
    for (const [chain, text] of chains) {
      if (!text.includes(id)) continue;
      for (const entry of readChain(chain, text).entries) if (isAbout(entry, id)) entries.set(entry.hash, entry);
    }
  }
  return [...entries.values()].sort((a, b) => compare(a.at, b.at) || compare(a.chain, b.chain) || a.seq - b.seq);
}

function isAbout({ fact }: AuditEntry, id: string): boolean {
  return fact['operation'] === id || fact['request'] === id;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
