/** Owns what every RestoreJournal must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JournalEvent } from '../../src/domain/journal.ts';
import type { RestoreJournal } from '../../src/ports.ts';

export interface JournalBench {
  /** One more replica's journal on the same data. */
  open(): Promise<RestoreJournal>;
  close(): Promise<void>;
}

export const begun = (step: string): JournalEvent => ({
  type: 'step.begun',
  at: '2026-11-21T06:00:00.000Z',
  step,
  run: step,
  node: 'cp1',
  doing: 'do',
});

export function restoreJournalContract(name: string, start: () => Promise<JournalBench>): void {
  describe(`${name} keeps the contract of RestoreJournal`, () => {
    let bench: JournalBench;
    let here: RestoreJournal;
    let there: RestoreJournal;

    beforeEach(async () => {
      bench = await start();
      here = await bench.open();
      there = await bench.open();
    });
    afterEach(() => bench.close());

    test('the journal of a restore that nobody began is empty', async () => {
      expect(await here.read('r-1')).toEqual([]);
    });

    test('what one replica appended another reads whole and in order', async () => {
      const turned: JournalEvent = {
        type: 'restore.turned',
        at: '2026-11-21T06:01:00.000Z',
        to: 'roll-back',
        reason: 'cp2: "ü" is gone\n',
      };
      for (const event of [begun('a'), begun('b'), turned]) await here.append('r-1', 3, event);
      const entries = [begun('a'), begun('b'), turned].map((event) => ({ token: 3, event }));
      expect(await there.read('r-1')).toEqual(entries);
      expect(await there.takeOver('r-1', 4)).toEqual(entries);
    });

    test('an append with a lower token than the highest that appended is refused and leaves nothing', async () => {
      await here.append('r-1', 3, begun('a'));
      await there.append('r-1', 4, begun('b'));
      await expect(here.append('r-1', 3, begun('c'))).rejects.toMatchObject({ code: 'lease.lost' });
      expect(await there.read('r-1')).toEqual([
        { token: 3, event: begun('a') },
        { token: 4, event: begun('b') },
      ]);
    });

    test('taking over fences who was before, although nothing was appended since', async () => {
      await here.append('r-1', 3, begun('a'));
      await there.takeOver('r-1', 4);
      await expect(here.append('r-1', 3, begun('b'))).rejects.toMatchObject({ code: 'lease.lost' });
      await expect(here.takeOver('r-1', 3)).rejects.toMatchObject({ code: 'lease.lost' });
      expect(await here.read('r-1')).toHaveLength(1);
    });

    test('taking over twice with one token is safe', async () => {
      await here.takeOver('r-1', 4);
      await there.takeOver('r-1', 4);
      await here.append('r-1', 4, begun('a'));
      expect(await there.read('r-1')).toHaveLength(1);
    });

    test('of appends by two tokens at once none of the lower stands after one of the higher', async () => {
      await Promise.allSettled(
        Array.from({ length: 40 }, (_, i) =>
          i % 2 === 0 ? here.append('r-1', 3, begun(`${i}`)) : there.append('r-1', 4, begun(`${i}`)),
        ),
      );
      const tokens = (await here.read('r-1')).map(({ token }) => token);
      expect(tokens.filter((token) => token === 4)).toHaveLength(20);
      expect(tokens).toEqual([...tokens].sort());
    });

    test('appends by one replica at once are all there', async () => {
      await Promise.all(Array.from({ length: 20 }, (_, i) => here.append('r-1', 3, begun(`${i}`))));
      expect(await there.read('r-1')).toHaveLength(20);
    });

    test('restores do not know of each other', async () => {
      await here.append('r-1', 9, begun('a'));
      await here.append('r-2', 1, begun('b'));
      expect(await there.read('r-2')).toEqual([{ token: 1, event: begun('b') }]);
    });
  });
}
