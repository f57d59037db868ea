/** Owns what a restore's journal can hold: what was begun and ended, and where it turned. Entries are JSON and never change. */

interface At {
  /** ISO time, by the clock of who appends. */
  readonly at: string;
}

interface OfStep extends At {
  /** The step's id in the plan. */
  readonly step: string;
  readonly node: string;
  /** Under which id it runs on the node: another one each time that it is run again. */
  readonly run: string;
  readonly doing: 'do' | 'undo';
}

export type JournalEvent =
  | (OfStep & { readonly type: 'step.begun' })
  | (OfStep & {
      readonly type: 'step.ended';
      readonly outcome: 'done' | 'failed' | 'vanished';
      /** Of the script, where it has one. */
      readonly code: number | undefined;
    })
  /** From here on it goes backwards, or waits for people. */
  | (At & {
      readonly type: 'restore.turned';
      readonly to: 'undo' | 'roll-back' | 'wait';
      readonly reason: string;
    })
  | (At & {
      readonly type: 'restore.ended';
      readonly outcome: 'restored' | 'undone' | 'rolled-back' | 'failed';
    });

export interface JournalEntry {
  /** Of whoever appended it; never falls. */
  readonly token: number;
  readonly event: JournalEvent;
}
