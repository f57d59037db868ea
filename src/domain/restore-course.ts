/** Owns where a restore stands, read off its journal alone: which way it goes, and what became of each step. */
import type { JournalEntry, JournalEvent } from './journal.ts';
import type { PhaseName, Plan, Step } from './plan.ts';
import type { RestorePolicy } from './restore-policy.ts';

export type Doing = 'do' | 'undo';
export type Direction = 'forward' | 'undo' | 'roll-back';
export type EndOfRestore = Extract<JournalEvent, { type: 'restore.ended' }>;

export interface Standing {
  /** How often it was begun. */
  readonly begun: number;
  /** The run that was begun and of which nobody has written how it ended. */
  readonly open: string | undefined;
  /** Since the last turn; undefined: it is still to be done. */
  readonly outcome: 'done' | 'failed' | undefined;
  /** Why it failed. */
  readonly why: string | undefined;
  /** How often it vanished since the last turn. */
  readonly vanished: number;
}

export interface Course {
  readonly direction: Direction;
  /** Why it waits for people; undefined: it does not. */
  readonly waiting: string | undefined;
  /** How often it has waited for people, this time included. */
  readonly waits: number;
  /** Why it does not go forward any more; undefined as long as it does. */
  readonly turnedBecause: string | undefined;
  readonly ended: EndOfRestore | undefined;
  standing(step: string, doing: Doing): Standing;
}

/** A step that vanished so often is not begun again: its node does not stay up. */
export const MOST_VANISHED = 3;

const UNTOUCHED: Standing = { begun: 0, open: undefined, outcome: undefined, why: undefined, vanished: 0 };

export function courseOf(entries: readonly JournalEntry[]): Course {
  const standings = new Map<string, Standing>();
  let course: Omit<Course, 'standing'> = {
    direction: 'forward',
    waiting: undefined,
    waits: 0,
    turnedBecause: undefined,
    ended: undefined,
  };
  for (const { event } of entries) {
    switch (event.type) {
      case 'step.begun':
      case 'step.ended': {
        const key = keyOf(event.step, event.doing);
        standings.set(key, afterStep(standings.get(key) ?? UNTOUCHED, event));
        break;
      }
      case 'restore.turned':
        course = afterTurn(course, event);
        if (event.to !== 'wait') for (const [key, standing] of standings) standings.set(key, anotherTry(standing));
        break;
      case 'restore.ended':
        course = { ...course, waiting: undefined, ended: event };
        break;
      case 'proven':
        break;
    }
  }
  return { ...course, standing: (step, doing) => standings.get(keyOf(step, doing)) ?? UNTOUCHED };
}

/** No step's id holds a space. */
function keyOf(step: string, doing: Doing): string {
  return `${doing} ${step}`;
}

function afterStep(before: Standing, event: Extract<JournalEvent, { type: 'step.begun' | 'step.ended' }>): Standing {
  if (event.type === 'step.begun') {
    // Told twice when an answer of Redis was lost, or when a resumed worker found it begun.
    return before.open === event.run ? before : { ...before, begun: before.begun + 1, open: event.run };
  }
  switch (event.outcome) {
    case 'done':
      return { ...before, open: undefined, outcome: 'done' };
    case 'was-done':
      // The node did not begin it: what was so before is not taken back.
      return { ...before, begun: before.begun - (before.open === undefined ? 0 : 1), open: undefined, outcome: 'done' };
    case 'failed':
      return { ...before, open: undefined, outcome: 'failed', why: event.why };
    case 'vanished': {
      const vanished = before.vanished + 1;
      const why = `It was cut off ${vanished} times: the node was restarted, or something ended it.`;
      const outcome = vanished >= MOST_VANISHED ? ('failed' as const) : undefined;
      return { ...before, open: undefined, vanished, outcome, why };
    }
  }
}

function afterTurn(
  before: Omit<Course, 'standing'>,
  { to, reason }: Extract<JournalEvent, { type: 'restore.turned' }>,
): Omit<Course, 'standing'> {
  if (to === 'wait') return { ...before, waiting: reason, waits: before.waits + 1 };
  const turnedBecause = to === 'forward' ? undefined : (before.turnedBecause ?? before.waiting ?? reason);
  return { ...before, direction: to, waiting: undefined, turnedBecause };
}

function anotherTry(standing: Standing): Standing {
  return standing.outcome === 'done' ? standing : { ...standing, outcome: undefined, why: undefined, vanished: 0 };
}

/** Under which id a step runs on its node the nth time (from 1): whoever goes on with the restore finds the same. */
export function runIdOf(step: string, doing: Doing, n: number): string {
  return `${step}${doing === 'undo' ? '.undo' : ''}${n === 1 ? '' : `.${n}`}`;
}

export function stepsOf(plan: Plan, ...phases: readonly PhaseName[]): readonly Step[] {
  return plan.phases.filter(({ name }) => phases.includes(name)).flatMap(({ steps }) => steps);
}

/** Whether any step of these phases was begun, or was found done. */
export function isTouched(plan: Plan, course: Course, ...phases: readonly PhaseName[]): boolean {
  return stepsOf(plan, ...phases).some(({ id }) => {
    const { begun, outcome } = course.standing(id, 'do');
    return begun > 0 || outcome === 'done';
  });
}

/** Where it goes when a step fails on the way forward: before data are touched it is undone, whatever the policy. */
export function turnAfterFailure(
  plan: Plan,
  course: Course,
  onFailure: RestorePolicy['onFailure'],
): 'undo' | 'roll-back' | 'wait' {
  if (!isTouched(plan, course, 'swap')) return 'undo';
  return onFailure === 'ask' ? 'wait' : 'roll-back';
}

/** From `start-apiservers` on clients may have written to the restored data: stopping is not honoured any more. */
const TOO_LATE: ReadonlySet<PhaseName> = new Set(['restart-caches', 'prove-serving']);

/** Where it goes when someone asked to stop it, at the barrier before this phase; undefined: it is too late for that. */
export function turnAfterCancel(plan: Plan, course: Course, before: PhaseName): 'undo' | 'roll-back' | undefined {
  if (TOO_LATE.has(before)) return undefined;
  return isTouched(plan, course, 'swap') ? 'roll-back' : 'undo';
}

/**
 * Whether the old cluster may be started although these nodes could not be taken back: the others are a majority of it,
 * and these can't be a majority of the restored one. In one-member mode the first member is a majority by itself.
 */
export function mayLeaveBehind({ members, mode }: Plan, nodes: readonly string[]): boolean {
  const majority = Math.floor(members.length / 2) + 1;
  if (members.length - nodes.length < majority) return false;
  if (mode === 'all-members') return nodes.length < majority;
  const restored = members.filter(({ predictedId }) => predictedId !== undefined).map(({ node }) => node);
  return nodes.length <= 1 && !nodes.some((node) => restored.includes(node));
}

/** The steps whose undo a person has to run by hand on this node, first one first. */
export function stillToUndo(plan: Plan, course: Course, node: string): readonly string[] {
  return [...plan.phases].reverse().flatMap(({ steps }) =>
    steps.flatMap(({ id, node: on, undo }) => {
      const isOpen = course.standing(id, 'do').begun > 0 && course.standing(id, 'undo').outcome !== 'done';
      return on === node && undo !== undefined && isOpen ? [id] : [];
    }),
  );
}
