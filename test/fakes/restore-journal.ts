/** Journals in memory. */
import { KeyturnError } from '../../src/domain/error.ts';
import type { JournalEntry } from '../../src/domain/journal.ts';
import type { RestoreJournal } from '../../src/ports.ts';

export function fakeRestoreJournal(): RestoreJournal {
  const journals = new Map<string, { highest: number; readonly entries: JournalEntry[] }>();

  function guarded(request: string, token: number): JournalEntry[] {
    const journal = journals.get(request) ?? { highest: 0, entries: [] };
    journals.set(request, journal);
    if (token < journal.highest) {
      throw new KeyturnError('lease.lost', `Restore ${request} has seen token ${journal.highest}.`, { hint: 'Stop.' });
    }
    journal.highest = token;
    return journal.entries;
  }

  return {
    async takeOver(request, token) {
      return structuredClone(guarded(request, token));
    },
    async append(request, token, event) {
      guarded(request, token).push(JSON.parse(JSON.stringify({ token, event })) as JournalEntry);
    },
    async read(request) {
      return structuredClone(journals.get(request)?.entries ?? []);
    },
  };
}
