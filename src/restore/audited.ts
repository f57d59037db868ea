/** Owns the order in which an event is made known: kept for good first, told to people afterwards. */
import type { KeyturnEvent } from '../domain/event.ts';
import type { AuditTrail, Publish } from '../ports.ts';

/** Told many times a second, and said again by the event that ends it: the audit would be full of it. */
const NOT_KEPT: ReadonlySet<KeyturnEvent['type']> = new Set([
  'backup.progress',
  'restore.step-progress',
  'verify.progress',
]);

/** A Publish that records each event before `tell` hears of it. Throws audit.failed: then nobody was told. */
export function audited(audit: Pick<AuditTrail, 'record'>, tell: Publish): Publish {
  return async (event) => {
    if (!NOT_KEPT.has(event.type)) await audit.record({ ...event });
    await tell(event);
  };
}
