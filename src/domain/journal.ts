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
      /** 'was-done': it needed no doing, and was not begun under this id. */
      readonly outcome: 'done' | 'was-done' | 'failed' | 'vanished';
      /** Of the script, where it has one. */
      readonly code: number | undefined;
      /** Why it failed, a full sentence. */
      readonly why?: string | undefined;
    })
  /** Seen from outside, for the report: full sentences. The first one of 'serving' ends the downtime. */
  | (At & {
      readonly type: 'proven';
      readonly what: 'healthy' | 'serving' | 'nothing';
      readonly verified: readonly string[];
      readonly warnings: readonly string[];
    })
  /** From here on it goes backwards, waits for people, or, as they said, tries again: what failed counts no more. */
  | (At & {
      readonly type: 'restore.turned';
      readonly to: 'undo' | 'roll-back' | 'wait' | 'forward';
      readonly reason: string;
    })
  | (At & {
      readonly type: 'restore.ended';
      readonly outcome: 'restored' | 'undone' | 'rolled-back' | 'failed';
      /** Why it is not 'restored': full sentences, with what to do. */
      readonly reason?: string | undefined;
    });

export interface JournalEntry {
  /** Of whoever appended it; never falls. */
  readonly token: number;
  readonly event: JournalEvent;
}
