/**
 * Owns what the messages of one restore say through its life: events folded into a state that views render. Events may
 * come twice, late, out of order and from several processes: whatever their order, the same state comes out.
 */
import type { Problem } from './error.ts';
import type { RestoreEvent } from './event.ts';
import type { PhaseOutline, RestoreSummary } from './restore-summary.ts';

type Of<T extends RestoreEvent['type']> = Extract<RestoreEvent, { readonly type: T }>;

/** What is known of one step: the newest of each kind. */
export interface StepMark {
  readonly begun: Pick<Of<'restore.step-begun'>, 'at' | 'run' | 'doing'> | undefined;
  readonly ended:
    Pick<Of<'restore.step-ended'>, 'at' | 'run' | 'doing' | 'outcome' | 'code' | 'durationMs' | 'problem'> | undefined;
  /** Bytes fetched so far. */
  readonly bytes: Pick<Of<'restore.step-progress'>, 'at' | 'done' | 'total'> | undefined;
}

/** The state of a restore's messages; JSON, so that it can be kept anywhere. */
export interface RestoreMessage {
  readonly kind: 'restore';
  /** The request's id. */
  readonly operation: string;
  readonly cluster: string;
  /** The newest version that was told, with the last entry of its history only; undefined while no event had one. */
  readonly request: RestoreSummary | undefined;
  /** By the step's id. */
  readonly steps: Readonly<Record<string, StepMark>>;
  /** Where it went another way, oldest first, the newest ones only. */
  readonly turns: readonly Pick<Of<'restore.turned'>, 'at' | 'to' | 'reason'>[];
  /** Why an approved restore could not begin yet, when last looked. */
  readonly waits: Pick<Of<'restore.waits'>, 'at' | 'problem'> | undefined;
  readonly ended: Pick<Of<'restore.ended'>, 'at' | 'report'> | undefined;
  /** The newest clean-up. */
  readonly cleaned: Pick<Of<'restore.cleaned'>, 'at' | 'by' | 'removed' | 'failed'> | undefined;
}

/** So many turns are kept, and so long a problem: the whole of it is in the audit. */
const TURNS_KEPT = 12;
const LONGEST_TEXT = 600;

/** The message after `event`; `before` itself when the event says nothing new. */
export function foldRestore(before: RestoreMessage | undefined, event: RestoreEvent): RestoreMessage {
  const known = before ?? emptyMessage(event);
  const change = changeBy(known, event);
  const isNews = Object.entries(change).some(([part, value]) => known[part as keyof RestoreMessage] !== value);
  return before !== undefined && !isNews ? before : { ...known, ...change };
}

function emptyMessage({ operation, cluster }: RestoreEvent): RestoreMessage {
  return {
    kind: 'restore',
    operation,
    cluster,
    request: undefined,
    steps: {},
    turns: [],
    waits: undefined,
    ended: undefined,
    cleaned: undefined,
  };
}

/**
 * Each part is the greatest of what was told of it, so the order of telling makes no difference. A part that is not news
 * is the very same object as before.
 */
function changeBy(known: RestoreMessage, event: RestoreEvent): Partial<RestoreMessage> {
  switch (event.type) {
    case 'restore.changed':
      return (known.request?.version ?? 0) >= event.request.version
        ? {}
        : { request: { ...event.request, history: event.request.history.slice(-1) } };
    case 'restore.waits':
      return { waits: later(known.waits, { at: event.at, problem: short(event.problem) }) };
    case 'restore.step-begun': {
      const { at, run, doing } = event;
      return markStep(known, event.step, (mark) => ({ ...mark, begun: later(mark.begun, { at, run, doing }) }));
    }
    case 'restore.step-progress': {
      const { at, done, total } = event;
      return markStep(known, event.step, (mark) => ({ ...mark, bytes: later(mark.bytes, { at, done, total }) }));
    }
    case 'restore.step-ended': {
      const { at, run, doing, outcome, code, durationMs } = event;
      const problem = event.problem && short(event.problem);
      const ended = { at, run, doing, outcome, code, durationMs, problem };
      return markStep(known, event.step, (mark) => ({ ...mark, ended: later(mark.ended, ended) }));
    }
    case 'restore.turned': {
      const { at, to, reason } = event;
      return { turns: withTurn(known.turns, { at, to, reason: cut(reason) }) };
    }
    case 'restore.ended':
      return { ended: later(known.ended, { at: event.at, report: event.report }) };
    case 'restore.cleaned': {
      const { at, by, removed, failed } = event;
      return { cleaned: later(known.cleaned, { at, by, removed, failed }) };
    }
  }
}

function markStep(
  { steps }: RestoreMessage,
  step: string,
  change: (mark: StepMark) => StepMark,
): Partial<RestoreMessage> {
  const mark = steps[step] ?? { begun: undefined, ended: undefined, bytes: undefined };
  const marked = change(mark);
  const isNews = marked.begun !== mark.begun || marked.ended !== mark.ended || marked.bytes !== mark.bytes;
  return isNews ? { steps: { ...steps, [step]: marked } } : {};
}

function withTurn(turns: RestoreMessage['turns'], turn: RestoreMessage['turns'][number]): RestoreMessage['turns'] {
  const [oldest] = turns;
  if (turns.some((known) => JSON.stringify(known) === JSON.stringify(turn))) return turns;
  if (turns.length === TURNS_KEPT && oldest !== undefined && isLater(oldest, turn)) return turns;
  return [...turns, turn].sort((a, b) => (isLater(a, b) ? 1 : -1)).slice(-TURNS_KEPT);
}

interface At {
  readonly at: string;
}

function later<T extends At>(known: T | undefined, told: T): T {
  return known !== undefined && !isLater(told, known) ? known : told;
}

/** Two things of the same moment have an order too, the same everywhere. */
function isLater(a: At, b: At): boolean {
  return a.at === b.at ? JSON.stringify(a) > JSON.stringify(b) : a.at > b.at;
}

function short({ code, message, hint }: Problem): Problem {
  return { code, message: cut(message), hint: cut(hint) };
}

function cut(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT - 1)}…`;
}

// ── What the marks come to ───────────────────────────────────────────────────────────────────────────────────────────

export type StepStanding = 'waiting' | 'running' | 'done' | 'failed' | 'undoing' | 'undone' | 'not-undone';

/** An end counts when it is of the run that began last, or came after that. */
export function standingOf(mark: StepMark | undefined): StepStanding {
  const { begun, ended } = mark ?? {};
  const isOver = ended !== undefined && (begun === undefined || ended.run === begun.run || ended.at > begun.at);
  if (isOver) {
    const went = ended.outcome === 'done' || ended.outcome === 'was-done';
    if (ended.doing === 'undo') return went ? 'undone' : 'not-undone';
    return went ? 'done' : 'failed';
  }
  if (begun === undefined) return 'waiting';
  return begun.doing === 'undo' ? 'undoing' : 'running';
}

/** One word for all steps of a phase: the one that most wants to be seen. */
const BY_URGENCY: readonly StepStanding[] = ['not-undone', 'failed', 'running', 'undoing'];

export function phaseStanding({ steps: marks }: RestoreMessage, { steps }: PhaseOutline): StepStanding {
  const all = steps.map(({ id }) => standingOf(marks[id]));
  const urgent = BY_URGENCY.find((standing) => all.includes(standing));
  if (urgent !== undefined) return urgent;
  if (all.includes('undone')) return all.includes('done') ? 'undoing' : 'undone';
  if (all.every((standing) => standing === 'done')) return 'done';
  return all.includes('done') ? 'running' : 'waiting';
}

/** From the first begin of the phase to its last end; undefined while it is not done. Milliseconds. */
export function phaseMs(message: RestoreMessage, phase: PhaseOutline): number | undefined {
  if (phaseStanding(message, phase) !== 'done') return undefined;
  const marks = phase.steps.flatMap(({ id }) => message.steps[id] ?? []);
  const begun = marks.flatMap(({ begun: start }) => (start === undefined ? [] : [Date.parse(start.at)]));
  const ended = marks.flatMap(({ ended: end }) => (end === undefined ? [] : [Date.parse(end.at)]));
  if (begun.length === 0 || ended.length === 0) return undefined;
  return Math.max(0, Math.max(...ended) - Math.min(...begun));
}
