/** Owns what counts as a time where Keyturn reads again what it has stored: ISO 8601 in UTC, exactly as it writes it. */

/** True for `2026-11-21T06:00:00.000Z`, and for nothing else that means the same moment. */
export function isTime(value: unknown): value is string {
  if (typeof value !== 'string') return false;
  const at = new Date(value);
  return !Number.isNaN(at.getTime()) && at.toISOString() === value;
}
