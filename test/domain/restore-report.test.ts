import { expect, test } from 'vitest';
import type { JournalEntry, JournalEvent } from '../../src/domain/journal.ts';
import { reportOf } from '../../src/domain/restore-report.ts';
import { plan } from '../support/requests.ts';

const at = '2026-11-21T07:00:00.000Z';

function entries(...events: readonly JournalEvent[]): readonly JournalEntry[] {
  return events.map((event) => ({ token: 1, event }));
}

function proven(what: 'healthy' | 'serving', ...verified: readonly string[]): JournalEvent {
  return { type: 'proven', at, what, verified, warnings: [] };
}

test('the report lists what serves in the order of its names, whichever was ready first, and once', () => {
  const events = entries(
    proven('healthy', 'One cluster id.', 'All have one hash.'),
    proven('serving', 'kube-apiserver on cp3 is ready.'),
    proven('serving', 'All 3 nodes are ready.'),
    proven('serving', 'kube-apiserver on cp1 is ready.', 'All 3 nodes are ready.'),
  );
  expect(reportOf(plan(), at, events).verified).toEqual([
    'One cluster id.',
    'All have one hash.',
    'All 3 nodes are ready.',
    'kube-apiserver on cp1 is ready.',
    'kube-apiserver on cp3 is ready.',
  ]);
});
