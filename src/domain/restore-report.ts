/** Owns what is told when a restore has ended: how, how long everything took, what was proven, where old data lie. */
import type { JournalEntry, JournalEvent } from './journal.ts';
import type { Phase, PhaseName, Plan } from './plan.ts';

export interface RestoreReport {
  /** 'undone': before the data were swapped, nothing was changed; 'failed': neither old nor new are known to serve. */
  readonly outcome: 'restored' | 'undone' | 'rolled-back' | 'failed';
  /** Why it is not 'restored', a full sentence and what to do. */
  readonly reason: string | undefined;
  /** ISO times. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** Each phase that was begun, in its order; a phase that was cut off has no end. */
  readonly phases: readonly {
    readonly name: PhaseName;
    readonly title: string;
    readonly startedAt: string;
    readonly endedAt: string | undefined;
  }[];
  /** From the first kube-apiserver's stop until one was seen to serve again; where there is none, etcd's. Milliseconds. */
  readonly downtimeMs: number | undefined;
  /** From the begin of the execution until all was proven. Milliseconds. */
  readonly recoveryMs: number | undefined;
  /** What was seen to hold, each a full sentence. */
  readonly verified: readonly string[];
  /** What is not as it should be, though the restore stands, each a full sentence. */
  readonly warnings: readonly string[];
  /** Absolute paths on the nodes. */
  readonly oldData: readonly { readonly node: string; readonly paths: readonly string[] }[];
}

/** The report of a restore that has ended, made of its journal alone: whoever makes it, and whenever, makes the same. */
export function reportOf(plan: Plan, startedAt: string, entries: readonly JournalEntry[]): RestoreReport {
  const events = entries.map(({ event }) => event);
  const ended = events.find((event) => event.type === 'restore.ended');
  const proven = events.filter((event) => event.type === 'proven');
  const turned = events.find((event) => event.type === 'restore.turned' && event.to !== 'forward');
  const outcome = ended?.outcome ?? 'failed';
  const why = ended?.reason ?? (turned?.type === 'restore.turned' ? turned.reason : undefined);
  return {
    outcome,
    reason: outcome === 'restored' ? undefined : why,
    startedAt,
    endedAt: ended?.at ?? events.at(-1)?.at ?? startedAt,
    phases: plan.phases.flatMap((phase) => phaseTimes(phase, events)),
    downtimeMs: downtimeOf(plan, events),
    recoveryMs: outcome === 'failed' ? undefined : msBetween(startedAt, proven.at(-1)?.at),
    verified: verifiedIn(proven),
    warnings: distinct(proven.flatMap(({ warnings }) => warnings)),
    oldData: oldDataOf(plan, events, outcome),
  };
}

type OfStep = Extract<JournalEvent, { type: 'step.begun' | 'step.ended' }>;

/** The steps of this phase on the way forward. */
function stepEvents({ steps }: Pick<Phase, 'steps'>, events: readonly JournalEvent[]): readonly OfStep[] {
  const ids = new Set(steps.map(({ id }) => id));
  return events.filter(
    (event): event is OfStep =>
      (event.type === 'step.begun' || event.type === 'step.ended') && event.doing === 'do' && ids.has(event.step),
  );
}

function phaseTimes(phase: Phase, events: readonly JournalEvent[]): RestoreReport['phases'] {
  const own = stepEvents(phase, events);
  const [first] = own;
  if (first === undefined) return [];
  const done = own.filter(({ type, ...rest }) => type === 'step.ended' && 'outcome' in rest && isDone(rest.outcome));
  const whole = new Set(done.map(({ step }) => step)).size === phase.steps.length;
  const { name, title } = phase;
  return [{ name, title, startedAt: first.at, endedAt: whole ? done.at(-1)?.at : undefined }];
}

const GOES_BACK: ReadonlySet<string> = new Set(['undo', 'roll-back']);

function isDone(outcome: string): boolean {
  return outcome === 'done' || outcome === 'was-done';
}

/** Undefined when nothing was stopped, or nothing was seen to serve again. What served before it was taken back does not count. */
function downtimeOf(plan: Plan, events: readonly JournalEvent[]): number | undefined {
  const stops = plan.phases.filter(({ name }) => name === 'stop-apiservers' || name === 'stop-etcd');
  const stop = stops.flatMap((phase) => stepEvents(phase, events)).find(({ type }) => type === 'step.begun');
  const hasApi = plan.phases.some(({ name }) => name === 'prove-serving');
  const turn = events.findLastIndex((event) => event.type === 'restore.turned' && GOES_BACK.has(event.to));
  const back = events.slice(turn + 1).find(({ type, ...rest }) => {
    return type === 'proven' && 'what' in rest && rest.what === (hasApi ? 'serving' : 'healthy');
  });
  return stop === undefined ? undefined : msBetween(stop.at, back?.at);
}

function msBetween(from: string, to: string | undefined): number | undefined {
  return to === undefined ? undefined : Math.max(0, Date.parse(to) - Date.parse(from));
}

/** Once the swap was taken back everywhere, the old data are in their place and nothing lies aside. */
function oldDataOf(
  plan: Plan,
  events: readonly JournalEvent[],
  outcome: RestoreReport['outcome'],
): RestoreReport['oldData'] {
  const swap = plan.phases.find(({ name }) => name === 'swap');
  if (swap === undefined) return [];
  const swapped = new Set(stepEvents(swap, events).map(({ node }) => node));
  const back = events.flatMap((event) =>
    event.type === 'step.ended' && event.doing === 'undo' && isDone(event.outcome) && event.step.startsWith('swap.')
      ? [event.node]
      : [],
  );
  return plan.members.flatMap(({ node, oldData }) => {
    const isAside = swapped.has(node) && !(outcome !== 'restored' && back.includes(node));
    return isAside && oldData.length > 0 ? [{ node, paths: oldData }] : [];
  });
}

/** What serves is seen node by node, whichever is ready first. */
function verifiedIn(proven: readonly Extract<JournalEvent, { type: 'proven' }>[]): readonly string[] {
  const serving = proven.filter(({ what }) => what === 'serving').flatMap(({ verified }) => verified);
  const others = proven.filter(({ what }) => what !== 'serving').flatMap(({ verified }) => verified);
  return distinct([...others, ...serving.sort()]);
}

function distinct(sentences: readonly string[]): readonly string[] {
  return [...new Set(sentences)];
}
