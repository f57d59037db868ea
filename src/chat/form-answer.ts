/** Owns how a form that was sent is answered in the time that Slack gives: with what came of it, or later. */
import type { ModalView } from '@slack/types';
import type { Problem } from '../domain/error.ts';
import { explain } from './asking.ts';
import type { TalkOptions } from './asking.ts';
import type { MessageView } from './blocks.ts';
import type { FormValues } from './modal-blocks.ts';
import { answerDialog, waitDialog } from './views/dialogs.ts';

/** Slack waits three seconds for a form's answer and for a search's. */
export const PATIENCE_MS = 2000;

/** A form that was sent. `metadata` and `values` come from the form; who sent it, from Slack. */
export interface Submission {
  readonly callback: string;
  readonly metadata: string;
  readonly values: FormValues;
  readonly user: string;
}

/** What becomes of the dialog at once. */
export type DialogAnswer =
  | { readonly kind: 'close' }
  | { readonly kind: 'show'; readonly view: ModalView }
  /** A sentence for each field that wants another value. */
  | { readonly kind: 'errors'; readonly errors: Record<string, string> };

export interface SubmissionAnswer {
  readonly now: DialogAnswer;
  /** Never rejects. `words` are for who has closed the dialog meanwhile. */
  readonly later?: Promise<{ readonly view: ModalView; readonly words: MessageView }>;
}

/** A form's values hold what people typed, codes among it: none of that goes into the log. */
export function about({ callback, user }: Submission): object {
  return { callback, user };
}

/** How the outcome of some work is shown in the dialog that asked for it. */
export interface Ending<T> {
  readonly title: string;
  readonly words: (outcome: T) => MessageView;
  /** Then there is nothing left to say in the dialog: everybody sees it in the channel. */
  readonly isDone: (outcome: T) => boolean;
  /** What another value in `field` could help against. */
  readonly problemOf: (outcome: T) => Problem | undefined;
  readonly field: string;
  /** The form once more, for when the time to say it in the field is over. */
  readonly again: (problem: Problem) => ModalView;
}

/** The outcome when it is there in time, else a word that it is worked on and the outcome later. */
export async function soon<T>(
  options: TalkOptions,
  form: Submission,
  work: Promise<T>,
  ending: Ending<T>,
): Promise<SubmissionAnswer> {
  const { clock } = options;
  const outcome = work.then(
    (value) => ({ value }),
    (error: unknown) => ({ words: explain(options, error, about(form)) }),
  );
  const timer = new AbortController();
  const late = clock.sleep(PATIENCE_MS, timer.signal).then(
    () => 'late' as const,
    () => 'late' as const,
  );
  const first = await Promise.race([outcome, late]);
  timer.abort();
  if (first !== 'late') return { now: inTime(first, ending) };
  return {
    now: { kind: 'show', view: waitDialog(ending.title) },
    later: outcome.then((each) => tooLate(each, ending)),
  };
}

type Outcome<T> = { readonly value: T } | { readonly words: MessageView };

function inTime<T>(outcome: Outcome<T>, ending: Ending<T>): DialogAnswer {
  if ('words' in outcome) return { kind: 'show', view: answerDialog(ending.title, outcome.words) };
  const problem = ending.problemOf(outcome.value);
  if (problem !== undefined)
    return { kind: 'errors', errors: { [ending.field]: `${problem.message} ${problem.hint}` } };
  if (ending.isDone(outcome.value)) return { kind: 'close' };
  return { kind: 'show', view: answerDialog(ending.title, ending.words(outcome.value)) };
}

function tooLate<T>(outcome: Outcome<T>, ending: Ending<T>): { readonly view: ModalView; readonly words: MessageView } {
  if ('words' in outcome) return { view: answerDialog(ending.title, outcome.words), words: outcome.words };
  const words = ending.words(outcome.value);
  const problem = ending.problemOf(outcome.value);
  return { view: problem === undefined ? answerDialog(ending.title, words) : ending.again(problem), words };
}
